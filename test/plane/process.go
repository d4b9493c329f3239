package plane

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is one program of the plane. Tests make it fail as machines do.
type Process struct {
	name string
	argv []string
	// Log is the file of everything the program said.
	Log string
	// ready asks whether the program serves; nil means that running is enough.
	ready func(ctx context.Context) error

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// startLimit is how long a program may take until it serves, on a machine that
// is busy with other things.
const startLimit = 2 * time.Minute

func newProcess(dir, name string, ready func(context.Context) error, argv ...string) *Process {
	return &Process{name: name, argv: argv, ready: ready, Log: filepath.Join(dir, "logs", name+".log")}
}

// Start starts the program, again if it ran before, and returns when it serves.
func (p *Process) Start(ctx context.Context) error {
	if err := p.launch(); err != nil {
		return err
	}
	return p.await(ctx)
}

func (p *Process) launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return fmt.Errorf("start %s: it runs already", p.name)
	}
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o755); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	// A test that is killed leaves nothing behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		p.mu.Lock()
		p.cmd = nil
		p.mu.Unlock()
		close(done)
	}()
	p.cmd, p.done = cmd, done
	return nil
}

// await waits until the program serves.
func (p *Process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	for p.ready != nil {
		one, end := context.WithTimeout(ctx, 5*time.Second)
		err := p.ready(one)
		end()
		if err == nil {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("start %s: it ended at once; its log %s ends in:\n%s", p.name, p.Log, tail(p.Log, 15))
		case <-ctx.Done():
			return fmt.Errorf("start %s: it does not serve: %w; its log %s ends in:\n%s", p.name, err, p.Log, tail(p.Log, 15))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// Kill ends the program as a crash does and returns when it is gone.
func (p *Process) Kill() { p.end(syscall.SIGKILL, 0) }

// Stop asks the program to end and kills it if it does not within the time.
func (p *Process) Stop(grace time.Duration) { p.end(syscall.SIGTERM, grace) }

func (p *Process) end(sig syscall.Signal, grace time.Duration) {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = syscall.Kill(cmd.Process.Pid, sig) // it may be gone already
	select {
	case <-done:
		return
	case <-time.After(grace):
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-done
}

// Freeze stops the program from running without ending it: connections stay
// open and nothing answers.
func (p *Process) Freeze() error { return p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen program go on.
func (p *Process) Thaw() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("send %s to %s: it does not run", sig, p.name)
	}
	return syscall.Kill(p.cmd.Process.Pid, sig)
}

// Running says whether the program runs, frozen or not.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// peer is one running proxy (or the origin), in a session of its own.
type peer struct {
	name, version, url string
	secure             string // the URL over TLS
	cmd                *exec.Cmd
	exited             chan struct{}
	log                *os.File
}

func startPeer(ctx context.Context, dir, name, url string, env []string, argv ...string) (*peer, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	if ahead {
		if err := goAheadOf(cmd.Process.Pid); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s is not put in front: %v\n", name, err)
		}
	}
	p := &peer{name: name, url: url, cmd: cmd, exited: make(chan struct{}), log: log}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	if err := p.awaitReady(ctx); err != nil {
		p.stop()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%s did not become ready: %w: %s", name, err, lastLine(string(text)))
	}
	return p, nil
}

func (p *peer) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/small", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("it answers %s", resp.Status)
		}
		select {
		case <-p.exited:
			return errors.New("it exited")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the whole process group and waits for it.
func (p *peer) stop() {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(3 * time.Second):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.exited
	p.log.Close()
}

// cpu is the user and system time of all the peer's processes so far.
func (p *peer) cpu() (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var ticks int64
	found := false
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has exited meanwhile
		}
		// The command name is in parentheses and may hold anything.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 13 || fields[2] != strconv.Itoa(p.cmd.Process.Pid) { // field 5 of proc(5): process group
			continue
		}
		user, err1 := strconv.ParseInt(fields[11], 10, 64)
		system, err2 := strconv.ParseInt(fields[12], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("reading %s: %w", name, err)
		}
		ticks += user + system
		found = true
	}
	if !found {
		return 0, fmt.Errorf("%s has no processes any more", p.name)
	}
	const ticksPerSecond = 100 // USER_HZ, fixed on Linux
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

type coreSplit struct{ proxy, load string }

func splitCores() (coreSplit, error) {
	if n := runtime.NumCPU(); n < 2 {
		return coreSplit{}, fmt.Errorf("this machine has %d core; the proxy and its load need one each", n)
	}
	return coreSplit{proxy: "0", load: "1"}, nil
}

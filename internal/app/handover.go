package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"serin.dev/serin/internal/builtin"
)

// handoverEnv tells a successor which descriptors it inherits, by name.
const handoverEnv = "SERIN_HANDOVER"

// handoverTimeout is how long a successor may take until it serves.
const handoverTimeout = 30 * time.Second

// takeBackPause is when a state that could not be taken back is tried again.
const takeBackPause = 2 * time.Second

// readyPipe is the pipe on which a successor says that it serves.
type readyPipe struct{ pipe *os.File }

// handed is the value of handoverEnv: descriptors by rollout and the router's
// name for them.
type handed struct {
	Sockets map[string]map[string]int `json:"sockets"`
	Ready   int                       `json:"ready"`
}

// inherit takes the sockets that a predecessor hands over, if there is one.
func inherit() (map[string]map[string]*os.File, readyPipe, error) {
	text, ok := os.LookupEnv(handoverEnv)
	if !ok {
		return nil, readyPipe{}, nil
	}
	// What this program starts later is not its successor.
	if err := os.Unsetenv(handoverEnv); err != nil {
		return nil, readyPipe{}, fmt.Errorf("take over: %w", err)
	}
	var h handed
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return nil, readyPipe{}, fmt.Errorf("take over: %s: %w", handoverEnv, err)
	}
	file := func(fd int, name string) *os.File {
		unix.CloseOnExec(fd)
		return os.NewFile(uintptr(fd), name)
	}
	sockets := map[string]map[string]*os.File{}
	for rollout, names := range h.Sockets {
		sockets[rollout] = map[string]*os.File{}
		for name, fd := range names {
			sockets[rollout][name] = file(fd, rollout+" "+name)
		}
	}
	return sockets, readyPipe{pipe: file(h.Ready, "ready")}, nil
}

// tell says that this program serves; without a predecessor it does nothing.
func (r readyPipe) tell() error {
	if r.pipe == nil {
		return nil
	}
	_, err := r.pipe.Write([]byte{1})
	return errors.Join(err, r.pipe.Close())
}

// handOver lets go of the state, starts a successor with the listeners, and
// waits until it serves. The proxies go on serving all along. When the
// successor does not come up, this program takes the state back and goes on.
func (d *daemon) handOver(ctx context.Context) error {
	if err := d.refuseRemoval(ctx); err != nil {
		return err
	}
	d.notify("RELOADING=1")
	log := d.program.opts.Logger
	log.Info("handing over to a successor")
	d.stop()
	if err := d.close(); err != nil {
		log.Warn("not everything could be let go of", "error", err)
	}
	d.releaseSockets()
	err := d.succeed()
	if err == nil {
		return nil
	}
	// Take it all back, with the proxies that have been serving all along. A
	// program that serves and watches nothing would be worse than none, so this
	// does not give up: runs may be going on.
	d.from = inherited{routers: map[string]builtin.Router{}}
	for _, h := range d.homes {
		d.from.routers[h.name()] = h.parts.Router
	}
	serving := d.homes
	for {
		d.homes = nil
		again := d.open()
		if again == nil {
			if again = d.settle(ctx); again == nil {
				break
			}
			again = errors.Join(again, d.close())
		}
		d.homes = serving // for their proxies to be closed, or taken over
		log.Error("the state cannot be taken back; it is tried again", "error", again)
		select {
		case <-time.After(takeBackPause):
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("take the state back: %w", again))
		}
	}
	d.start(ctx)
	d.keepSockets(nil)
	d.notify("READY=1")
	return err
}

// succeed starts the successor and waits for its word.
func (d *daemon) succeed() error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer read.Close()
	defer write.Close()
	h := handed{Sockets: map[string]map[string]int{}}
	passed := []uintptr{0, 1, 2} // what the successor gets, with its own numbers in order
	var open []*os.File
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	pass := func(f *os.File) (number int, err error) {
		raw, err := f.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { passed = append(passed, fd) })
		}
		return len(passed) - 1, err
	}
	for _, home := range d.homes {
		files, err := home.parts.Router.Files()
		if err != nil {
			return fmt.Errorf("hand over the sockets of %s: %w", home.name(), err)
		}
		h.Sockets[home.name()] = map[string]int{}
		for name, f := range files {
			open = append(open, f)
			if h.Sockets[home.name()][name], err = pass(f); err != nil {
				return fmt.Errorf("hand over the sockets of %s: %w", home.name(), err)
			}
		}
	}
	if h.Ready, err = pass(write); err != nil {
		return fmt.Errorf("hand over a pipe: %w", err)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("describe what is handed over: %w", err)
	}
	// Not by os/exec: it makes the sockets block, which both programs have in
	// common, and whoever accepts on one could then be ended by nothing.
	pid, err := syscall.ForkExec(exe, os.Args, &syscall.ProcAttr{
		Env: append(os.Environ(), handoverEnv+"="+string(text)), Files: passed,
	})
	if err != nil {
		return fmt.Errorf("start the successor: %w", err)
	}
	successor, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("find the successor: %w", err)
	}
	write.Close()
	if err := read.SetReadDeadline(time.Now().Add(handoverTimeout)); err != nil {
		return fmt.Errorf("wait for the successor: %w", err)
	}
	_, err = io.ReadFull(read, make([]byte, 1))
	if err != nil {
		_ = successor.Kill()
		_, _ = successor.Wait()
		if errors.Is(err, io.EOF) {
			err = errors.New("it has ended, after saying why")
		}
		return fmt.Errorf("the successor did not come up: %w", err)
	}
	d.notify(fmt.Sprintf("MAINPID=%d", pid))
	return successor.Release()
}

//go:build unix

package command

import (
	"context"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Bounds on what follows the end of a program.
const (
	// pipeGrace is how long output is awaited from a process that left the
	// group and kept the program's output open.
	pipeGrace = 500 * time.Millisecond
	// killGrace is how long a killed program may take to be gone.
	killGrace = 2 * time.Second
)

// ending is how a program ended.
type ending struct {
	notStarted error
	// killed: it was still running when ctx ended.
	killed bool
	// unkillable: it is still there, stuck in the kernel.
	unkillable bool
}

// runGroup runs cmd in a process group of its own until it ends or ctx does,
// and kills the whole group then.
func runGroup(ctx context.Context, cmd *exec.Cmd) ending {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = pipeGrace
	if err := cmd.Start(); err != nil {
		return ending{notStarted: err}
	}
	wait := sync.OnceValue(cmd.Wait)
	ended := make(chan struct{})
	go func() {
		awaitEnd(cmd.Process.Pid, wait)
		close(ended)
	}()

	var e ending
	select {
	case <-ended:
	case <-ctx.Done():
		e.killed = true
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // ESRCH: none is left

	gone := make(chan struct{})
	go func() {
		<-ended
		_ = wait() // ProcessState has the exit status
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(killGrace):
		e.unkillable = true
	}
	return e
}

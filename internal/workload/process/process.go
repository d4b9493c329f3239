package process

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one running process: a child of this Serin, or one that an earlier
// Serin started. It is told from another with the same pid by its start time.
type process struct {
	pid   int
	start string
	cmd   *exec.Cmd // nil when it is not our child
	since time.Time // when this Serin got to know it
	// logFrom is where its output begins in its log.
	logFrom int64

	exited chan struct{} // closed once it has ended and been reaped
	how    string        // how it ended; readable after exited
}

// endedWell is how a process ended that says it succeeded.
const endedWell = "status 0"

// await waits for the process to end and reaps it. It gives up when ctx ends.
func (p *process) await(ctx context.Context) {
	if err := awaitExit(ctx, p.pid, p.start); err != nil {
		return
	}
	if p.cmd != nil {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		p.how = strings.TrimPrefix(p.cmd.ProcessState.String(), "exit ")
	} else {
		p.how = reapAdopted(p.pid)
	}
	close(p.exited)
}

// reapAdopted reaps a process that is our child although this value did not
// start it: after Serin replaced itself by exec, or opened the folder twice.
func reapAdopted(pid int) string {
	var status syscall.WaitStatus
	got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
	// Its first thread may have ended a moment before its others.
	for deadline := time.Now().Add(time.Second); got == 0 && err == nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		got, err = syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
	}
	switch {
	case err != nil || got != pid:
		return "a status that only its parent knows"
	case status.Signaled():
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("status %d", status.ExitStatus())
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// describe says how the process ended, with the last line it wrote.
func (p *process) describe(last string) string {
	if last == "" {
		return p.how
	}
	return p.how + ": " + last
}

// signalAll sends sig to the process's group and to those of its descendants
// that have left the group. Only what is known to be ours gets it.
func (p *process) signalAll(sig unix.Signal, marker string) {
	if !p.hasExited() && isProcess(p.pid, p.start) {
		_ = unix.Kill(-p.pid, sig) // gone is as good as signalled
	}
	for _, pid := range p.remains(marker) {
		_ = unix.Kill(pid, sig)
	}
}

// killRemains kills what a process that has ended left behind: it could hold
// the port, or go on working on its own.
func (p *process) killRemains(marker string) {
	for range 3 { // what forks while it is being killed is found the next time
		remains := p.remains(marker)
		if len(remains) == 0 {
			return
		}
		for _, pid := range remains {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// remains returns the descendants that are still there: the members of the
// process's session and whatever bears its marker.
func (p *process) remains(marker string) []int {
	return append(sessionMembers(p.pid, p.start), marked(marker, p.pid)...)
}

// end asks the process and its descendants to end, and kills what is left after
// grace. It returns when nothing is left, or with false when ctx ends before.
func (p *process) end(ctx context.Context, sig unix.Signal, grace time.Duration, marker string) bool {
	p.signalAll(sig, marker)
	patience := time.NewTimer(grace)
	defer patience.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	exited := p.exited
	for {
		select {
		case <-exited:
			exited = nil
		case <-look.C:
		case <-patience.C:
			// Again and again: what is stuck in the kernel dies when it returns.
			p.signalAll(unix.SIGKILL, marker)
			patience.Reset(100 * time.Millisecond)
		case <-ctx.Done():
			return false
		}
		if p.hasExited() && len(p.remains(marker)) == 0 {
			return true
		}
	}
}

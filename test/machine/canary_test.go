package machine

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// A canary that dies once gets nothing until it is back; one that dies again is
// rolled back. No user sees either.
func TestACanaryThatIsKilled(t *testing.T) {
	h := newHome(t)
	// It is away for long enough that a busy machine sees it.
	h.write(plan{phases: "[{weight: 50, duration: 10m}]", process: "\n      restart: {backoff: 2s, maxBackoff: 2s}"})
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.says("weight 50 %")
	v.sees("v2")
	first := h.onlyPid("v2")
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var second int
	eventually(t, "the canary to be started again", func() bool {
		now := h.pids("v2")
		if len(now) == 1 && now[0] != first {
			second = now[0]
		}
		return second != 0
	})
	v.sees("v2") // it has its share again
	eventually(t, "half of the answers to be the canary's again", func() bool {
		recent := v.seen(time.Now().Add(-time.Second), time.Time{})
		return len(recent) > 50 && share(recent, "v2") > 35
	})
	if run.ended() {
		t.Fatalf("the first death ended the run:\n%s", run.err)
	}
	if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	run.endsUnseen(v, 2)
	h.nothingRuns()

	dir := h.archivedRun()
	h.replays(dir)
	lines := recordOf(t, dir)
	suspended, back := false, false
	for _, l := range lines {
		if l.Decision == "" || l.Weight == nil {
			continue
		}
		suspended = suspended || l.Decision == "hold" && *l.Weight == 0
		back = back || suspended && *l.Weight == 50
	}
	if !suspended || !back {
		t.Errorf("the weight was 0 while the canary was away: %v, and 50 again: %v", suspended, back)
	}
	if verdict, ok := firstDecision(lines, "rollback"); !ok || !strings.Contains(verdict.why(), "ended by itself 2 times") {
		t.Errorf("the rollback is because of %s", verdict.why())
	}
}

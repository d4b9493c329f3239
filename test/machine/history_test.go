package machine

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A daemon notes what stable uses while nothing is released, and a release is
// judged against it; a run in the foreground has no such time and says nothing
// of it.
func TestAReleaseIsHeldAgainstTheHourBefore(t *testing.T) {
	h := newHome(t)
	h.writeUse("-burn=3000", "-burn=12000", "{name: cpu, type: cpu}")
	daemon := h.serve()
	v := visit(t, h.addr)
	time.Sleep(25 * time.Second) // ticks of a second; sixteen are enough
	// A daemon that was killed forgets nothing of it.
	daemon.kill()
	daemon = h.serve()
	release := h.start(h.releaseArgs("v2", "-burn=12000")...)
	release.says("rolled back after")
	v.stop()
	release.wants(2)
	daemon.signal(syscall.SIGTERM)
	daemon.wants(0)

	dir := h.archivedRun()
	told := ""
	for _, l := range recordOf(t, dir) {
		if l.Effect == "read history" {
			told += l.Detail
		}
	}
	if !strings.Contains(told, "processor time of 4 and memory of 4") {
		t.Errorf("the record says of the time before: %q", told)
	}
	data, err := os.ReadFile(filepath.Join(dir, "record.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), `"history":{`); n != 1 {
		t.Errorf("%d ticks hold a history, want 1", n)
	}
	if !strings.Contains(string(data), `"history"]`) && !strings.Contains(string(data), `"history",`) {
		t.Error("no verdict is flagged history")
	}
	h.replays(dir)
}

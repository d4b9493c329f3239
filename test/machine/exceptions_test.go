package machine

import (
	"strings"
	"testing"
)

// A version that throws what stable does not throw is rolled back with the
// exception's name, although every request is answered well.
func TestAVersionThatThrowsSomethingNewIsRolledBack(t *testing.T) {
	for _, c := range []struct{ name, canary, because string }{
		{"an exception in its log", "-raises 0.3", "TimeoutError@cart.add"},
		{"a panic", "-panics 0.02", "critical exception panic@"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			h.write(plan{canary: c.canary, checks: "[{name: exceptions, type: exceptions}]", phases: "[{weight: 20, duration: 60s}, {weight: 50, duration: 60s}]"})
			run := h.start("run", "-f", h.file)
			v := visit(t, h.addr)
			run.wants(2)
			v.stop()
			dir := h.archivedRun()
			h.replays(dir)
			verdict, ok := firstDecision(recordOf(t, dir), "rollback")
			if !ok || !strings.Contains(verdict.why(), c.because) {
				t.Errorf("the rollback is because of %s, want %s", verdict.why(), c.because)
			}
			md := holds(t, dir, "report.md")
			class, _, _ := strings.Cut(strings.TrimPrefix(c.because, "critical exception "), "@")
			if !strings.Contains(md, class) || !strings.Contains(md, "Exceptions that stable does not have") {
				t.Errorf("the report does not tell of %s:\n%s", class, md)
			}
			if record := holds(t, dir, "record.jsonl"); strings.Contains(record, "No. 4711") {
				t.Error("the record holds what an exception's message said")
			}
		})
	}
}

func TestVersionsThatThrowAlikeArePromoted(t *testing.T) {
	h := newHome(t)
	h.write(plan{stable: "-raises 0.3", canary: "-raises 0.3", checks: "[{name: exceptions, type: exceptions}]", phases: "[{weight: 20, duration: 3s}, {weight: 50, duration: 3s}]"})
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.says("promoted after")
	v.stop()
	v.noneFailed()
}

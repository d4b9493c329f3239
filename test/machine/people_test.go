package machine

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
)

// answered is what the tests read of the answer to an intent.
type answered struct {
	Answered bool   `json:"answered"`
	Accepted bool   `json:"accepted"`
	Message  string `json:"message"`
}

// asks puts an intent to the run from another terminal; it must be answered.
func (h *home) asks(args ...string) answered {
	h.t.Helper()
	var a answered
	out := h.must(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		h.t.Fatalf("%v in %s", err, out)
	}
	if !a.Answered || !a.Accepted {
		h.t.Errorf("serin %s: %+v", strings.Join(args, " "), a)
	}
	return a
}

// A person pauses, resumes, approves and ends phases from another terminal; the
// tick is so long that an answer that waited for it would be seen.
func TestAPersonActsOnARun(t *testing.T) {
	for _, home := range []string{"run", "serve"} {
		t.Run("of serin "+home, func(t *testing.T) {
			h := newHome(t)
			h.write(plan{
				interval: "1s",
				phases:   "[{weight: 20, duration: 2s}, {weight: 50, duration: 10m, approval: true}, {weight: 80, duration: 10m}]",
				extra: `hooks:
- {name: sign-off, at: beforePromote, approval: {}}`,
			})
			var daemon, run *program
			if home == "run" {
				run = h.start("run", "-f", h.file, "--keep")
			} else {
				daemon = h.serve()
				run = h.start(h.releaseArgs("v2", "")...)
			}
			v := visit(t, h.addr)
			run.says("weight 20 %")
			v.sees("v2")

			h.asks("pause", "shop", "--reason", "lunch")
			eventually(t, "the pause to be told", func() bool { return strings.Contains(h.must("describe", "shop"), "paused the run: lunch") })
			if out := h.must("get", "shop"); !strings.Contains(out, "waiting") {
				t.Errorf("get does not say that the run waits for a person:\n%s", out)
			}
			from := time.Now()
			time.Sleep(3 * time.Second) // longer than the phase
			if got := share(v.seen(from, time.Time{}), "v2"); got > 30 {
				t.Errorf("the canary answers %.0f %% in a pause at 20 %%", got)
			}
			h.asks("resume", "shop")
			eventually(t, "the approval to be asked for", func() bool { return strings.Contains(h.must("describe", "shop"), "approval") })
			if code, _, errs := h.serin("resume", "shop"); code == 0 || !strings.Contains(errs, "not paused") {
				t.Errorf("resuming a run that is not paused exits with %d: %s", code, errs)
			}
			h.asks("promote", "shop", "--reason", "looks good")
			run.says("weight 50 %")
			h.asks("promote", "shop") // ends the phase of ten minutes
			run.says("weight 80 %")
			h.asks("promote", "shop")
			eventually(t, "the sign-off to be asked for", func() bool { return strings.Contains(h.must("describe", "shop"), "sign-off") })
			code, _, errs := h.serin("promote", "shop", "--wait")
			if code != 0 {
				t.Errorf("the last approval exits with %d: %s", code, errs)
			}
			run.endsUnseen(v, 0)
			h.runsAreWhole()
			dir := h.archivedRun()
			if md := holds(t, dir, "report.md"); !strings.Contains(md, "looks good") {
				t.Error("the report does not say why the phase was approved")
			}
			if daemon != nil {
				daemon.signal(syscall.SIGTERM)
				daemon.wants(0)
			}
		})
	}
}

// A rollback that a person asks for is in effect at once: the wait for the next
// tick would be seen.
func TestAPersonsRollbackWaitsForNothing(t *testing.T) {
	h := newHome(t)
	h.write(plan{interval: "10s", phases: "[{weight: 50, duration: 10m}]"})
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.says("weight 50 %")
	v.sees("v2")
	begun := time.Now()
	h.asks("rollback", "shop", "--reason", "support calls")
	acknowledged := time.Now()
	run.endsUnseen(v, 2)
	if last := v.lastOf("v2"); last.After(acknowledged) {
		t.Errorf("a request went to the canary %s after the rollback was acknowledged", last.Sub(acknowledged))
	}
	if took := acknowledged.Sub(begun); took > 5*time.Second {
		t.Errorf("the rollback was acknowledged after %s", took)
	}
	if !strings.Contains(run.err.String(), "support calls") {
		t.Errorf("the run does not say who asked and why:\n%s", run.err)
	}
}

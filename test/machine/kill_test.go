package machine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Serin is killed as a crash kills it, at moments nobody chose, and started
// again by the same command: the run goes on or goes back, and ends; what
// serves users has never been away; nothing is left behind.
func TestKilledAtAnyMoment(t *testing.T) {
	const slowEnds = `hooks:
- {name: slowly-back, at: onRollback, command: {argv: [sleep, "1"]}}
- {name: slowly-on, at: afterPromote, command: {argv: [sleep, "1"]}}`
	for stream, c := range []struct {
		name   string
		canary string
		// after is what Serin says before the moment; within is how long after.
		after  string
		within time.Duration
		kills  int
		ends   []int
	}{
		{"while it starts", "", "", 400 * time.Millisecond, 2, []int{0, 2}},
		{"in the first phase", "", "weight 20 %", time.Second, 2, []int{0, 2}},
		{"anywhere in a run", "", "users are served at", 5 * time.Second, 3, []int{0, 2}},
		{"in a rollback", "-errors 0.6", "rollback, weight 0 %", 1200 * time.Millisecond, 1, []int{2}},
		{"right at a rollback", "-errors 0.6", "rollback, weight 0 %", 60 * time.Millisecond, 2, []int{2}},
		{"in a promotion", "", "complete, weight", 1500 * time.Millisecond, 2, []int{0, 2}},
		{"right at a promotion", "", "complete, weight", 100 * time.Millisecond, 1, []int{0, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			chance := random(t, uint64(stream))
			h.write(plan{canary: c.canary, extra: slowEnds})
			run := h.start("run", "-f", h.file)
			var load *visitors
			for n := range c.kills {
				if c.after != "" {
					if load == nil {
						load = visit(t, h.addr)
					}
					eventually(t, fmt.Sprintf("%q or the end", c.after), func() bool {
						_, said := run.err.when(c.after)
						return said || run.ended()
					})
				}
				moment := time.Duration(chance.Int64N(int64(c.within)))
				time.Sleep(moment)
				run.kill()
				t.Logf("kill %d: %s after %q", n+1, moment, c.after)
				h.serversServe()
				before := instances(h.id)
				run = h.start("run", "-f", h.file)
				if load != nil {
					h.goesOnWith(run, before)
				}
			}
			if load == nil {
				visit(t, h.addr)
			}
			if code := run.wait(); !slices.Contains(c.ends, code) {
				t.Errorf("it exits with %d:\n%s", code, run.err)
			}
			h.nothingRuns()
			h.runsAreWhole()
		})
	}
}

// listed is what the tests read of `serin history -o json`.
type listed struct {
	Items []listedRun `json:"items"`
}

type listedRun struct {
	ID       string `json:"id"`
	Number   int    `json:"number"`
	Standing string `json:"standing"`
	Archived bool   `json:"archived"`
	State    struct {
		Status string `json:"status"`
		Stage  string `json:"stage"`
	} `json:"state"`
}

// history lists the runs, the newest first; nothing when there is no state yet.
func (h *home) history() listed {
	h.t.Helper()
	var l listed
	code, out, errs := h.serin("history", "-o", "json")
	if code == 5 && strings.Contains(errs, "nothing has run") {
		return l
	}
	if code != 0 {
		h.t.Fatalf("history exits with %d: %s", code, errs)
	}
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		h.t.Fatalf("%v in %s", err, out)
	}
	return l
}

// serversServe asserts that while nobody carries the run, what serves is there
// and answers: stable, or its successor when stable was being removed.
func (h *home) serversServe() {
	h.t.Helper()
	runs := h.history().Items
	if len(runs) == 0 || runs[0].Standing != "running" {
		return // not begun, or ended and stopping
	}
	serving := "v1"
	s := runs[0].State
	if s.Status == "promoting" && (s.Stage == "removing" || s.Stage == "finishing") {
		serving = "v2"
	}
	for range 5 {
		pids := h.pids(serving)
		if len(pids) != 1 {
			h.t.Errorf("run %s, %s %s: %d processes of %s run, and not one", runs[0].ID, s.Status, s.Stage, len(pids), serving)
			return
		}
		r, err := ask(&http.Client{Timeout: patience}, "http://"+addressOf(h.t, pids[0])+"/?for=20ms")
		if err != nil {
			h.t.Errorf("run %s, %s %s: %s does not answer: %v", runs[0].ID, s.Status, s.Stage, serving, err)
			return
		}
		if r.pid != fmt.Sprint(pids[0]) {
			h.t.Errorf("process %s answers in the place of %d", r.pid, pids[0])
		}
	}
}

// goesOnWith waits until a program started again serves, and asserts that it
// has taken over the processes it found and doubled none.
func (h *home) goesOnWith(run *program, before map[string][]int) {
	h.t.Helper()
	eventually(h.t, "the program started again to serve", func() bool {
		_, said := run.err.when("users are served at")
		return said || run.ended()
	})
	if _, goesOn := run.err.when("goes on"); !goesOn {
		return // the run had ended: a new one begins with processes of its own
	}
	for version, now := range instances(h.id) {
		if len(now) > 1 {
			h.t.Errorf("%s runs %d times after the start: %v", version, len(now), now)
		}
		if was := before[version]; version == "v1" && len(was) == 1 && len(now) == 1 && was[0] != now[0] {
			h.t.Errorf("stable's process %d was replaced by %d", was[0], now[0])
		}
	}
}

// runsAreWhole asserts that every run has ended and is archived, and that its
// record replays and never raises the weight after a rollback.
func (h *home) runsAreWhole() {
	h.t.Helper()
	var runs []listedRun
	// The daemon archives a run right after its end.
	eventually(h.t, "every run to be archived", func() bool {
		runs = h.history().Items
		return len(runs) > 0 && !slices.ContainsFunc(runs, func(r listedRun) bool { return !r.Archived })
	})
	for _, r := range runs {
		if r.Standing != "promoted" && r.Standing != "rolledBack" {
			h.t.Errorf("run %s stands %s", r.ID, r.Standing)
		}
	}
	for _, dir := range h.archived() {
		h.replays(dir)
		back := false
		for _, l := range recordOf(h.t, dir) {
			if l.Decision == "" || l.Weight == nil {
				continue
			}
			back = back || l.Decision == "rollback"
			if back && *l.Weight > 0 {
				h.t.Errorf("%s: weight %d after the rollback", dir, *l.Weight)
			}
		}
	}
}

// addressOf is where a sample server listens.
func addressOf(t *testing.T, pid int) string {
	t.Helper()
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		t.Fatalf("server %d is gone: %v", pid, err)
	}
	args := strings.Split(string(cmdline), "\x00")
	if n := slices.Index(args, "-listen"); n >= 0 && n+1 < len(args) {
		return args[n+1]
	}
	t.Fatalf("server %d has no address: %q", pid, args)
	return ""
}

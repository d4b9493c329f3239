package demo

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/cli/view"
	"serin.dev/serin/internal/demo/load"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// made is a made-up ending of a chapter: in a status, for a check.
func made(c chapter, status engine.Status, check rollout.CheckType) ending {
	m := view.Model{
		Status: status, StartedAt: noon, EndedAt: noon.Add(5 * time.Second), Report: "/somewhere/report.html",
		Checks: []view.Check{{Name: "errors", Type: rollout.ErrorRate}, {Name: "latency", Type: rollout.ResponseTime}},
	}
	for i := range m.Checks {
		if m.Checks[i].Type == check {
			m.Checks[i].Verdict = analysis.Fail
		}
	}
	if status == engine.RolledBack {
		m.Decisions = []view.Decision{{At: noon.Add(4 * time.Second), Kind: engine.Rollback, Text: string(check) + " is worse"}}
	}
	return ending{chapter: c, last: m}
}

func asTold() []ending {
	var told []ending
	for _, c := range story {
		told = append(told, made(c, c.want, c.check))
	}
	return told
}

// The demo does not call a success what was none.
func TestASurpriseIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(told []ending, counts *load.Counts)
		want   string
	}{
		"a good version is rolled back": {func(told []ending, _ *load.Counts) {
			told[0] = made(story[0], engine.RolledBack, rollout.ErrorRate)
		}, "v2 was rolled back; it should have been promoted"},
		"a bad version is promoted": {func(told []ending, _ *load.Counts) {
			told[1] = made(story[1], engine.Promoted, "")
		}, "v3 was promoted; it should have been rolled back"},
		"a bad version is rolled back for something else": {func(told []ending, _ *load.Counts) {
			told[2] = made(story[2], engine.RolledBack, rollout.ErrorRate)
		}, "v4 was rolled back for another reason than its fault"},
		"a request failed at a switch": {func(_ []ending, counts *load.Counts) {
			counts.Broken = 1
			counts.Failures = []load.Failure{{Began: noon.Add(4500 * time.Millisecond), Ended: noon.Add(4600 * time.Millisecond), What: "cut off"}}
		}, "1 requests got no answer of the shop at a switch"},
		"a request that was under way failed at a switch": {func(_ []ending, counts *load.Counts) {
			counts.Broken = 1
			counts.Failures = []load.Failure{{Began: noon, Ended: noon.Add(4010 * time.Millisecond), What: "cut off"}}
		}, "1 requests got no answer of the shop at a switch"},
		"so many failed that not all were kept": {func(_ []ending, counts *load.Counts) { counts.Broken = 7 }, "7 requests"},
	} {
		t.Run(name, func(t *testing.T) {
			told, counts := asTold(), load.Counts{Requests: 1000}
			if err := verdict(told, counts); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			c.change(told, &counts)
			err := verdict(told, counts)
			if !errors.Is(err, ErrUnexpected) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the demo ends with %v, want it to say %q", err, c.want)
			}
		})
	}
}

func closingOf(told []ending, counts load.Counts) string {
	var out bytes.Buffer
	t := newTeller(Options{Out: &out}, len(told))
	t.closing(told, counts, 40*time.Second, "/somewhere")
	return out.String()
}

func TestTheClosingSaysWhatHappened(t *testing.T) {
	told := asTold()
	told[1].before = load.Counts{Versions: map[string]load.Version{}}
	counts := load.Counts{Requests: 31500, Versions: map[string]load.Version{
		"v1": {Requests: 20000, Failed: 800}, "v2": {Requests: 10000, Failed: 320}, "v3": {Requests: 1200, Failed: 116}, "v4": {Requests: 300, Failed: 9},
	}}
	text := closingOf(told, counts)
	for _, want := range []string{
		"v2  promoted", "v3  rolled back: it answered 1,200 of 31,500 requests, 116 of them failed", "errorRate is worse",
		"v4  rolled back: it answered 300 of", "No user's request failed at a switch: the shop itself answered all 31,500",
		"All of it took 40.0 s", "/somewhere/report.html",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the closing does not say %q:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
	// A failure at a quiet time is told, and not as one of a switch.
	counts.Broken = 1
	counts.Failures = []load.Failure{{Began: noon.Add(time.Minute), Ended: noon.Add(time.Minute), What: "GET /: status 502"}}
	text = closingOf(told, counts)
	if !strings.Contains(text, "No user's request failed at a switch. 1 of 31,500 got no answer") || !strings.Contains(text, "status 502") {
		t.Errorf("a failure at a quiet time is told as:\n%s", text)
	}
	if err := verdict(told, counts); err != nil {
		t.Errorf("a failure at a quiet time made the demo fail: %v", err)
	}
	told[0] = made(story[0], engine.RolledBack, rollout.ErrorRate)
	if text = closingOf(told, counts); !strings.Contains(text, "Not as expected: v2 was rolled back") {
		t.Errorf("a surprise is not told:\n%s", text)
	}
}

func TestASurpriseOnABusyMachineIsExplained(t *testing.T) {
	for load, told := range map[float64]bool{0: false, 1.9: false, 26.3: true} {
		var out bytes.Buffer
		newTeller(Options{Out: &out}, 1).busy(load, 2)
		if got := strings.Contains(out.String(), "26 programs for 2 processors"); got != told {
			t.Errorf("with a load of %v on two processors it says %q", load, out.String())
		}
	}
}

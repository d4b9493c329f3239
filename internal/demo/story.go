package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"serin.dev/serin/internal/cli/view"
	"serin.dev/serin/internal/demo/load"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// name is the rollout's.
const name = "shop"

// version is what a version of the shop is like.
type version struct {
	failures float64 // of checkouts
	pace     float64
	errors   float64 // fault: times the failures
	slow     float64 // fault: times the response times
}

// first serves when the demo begins, and is like this.
const first = "v1"

var firstVersion = version{failures: 0.13, pace: 3, errors: 1, slow: 1}

// chapter is one release of the story: what its developers changed, what they
// say of it, and what should become of it. Serin is told none of it.
type chapter struct {
	version string
	says    string
	// change makes the new version from the one that serves.
	change func(serving version) version
	want   engine.Status
	// check is the kind of check that should give a bad version away.
	check rollout.CheckType
}

var story = []chapter{
	{
		version: "v2", says: "pages come from a cache, and fewer payments fail",
		change: func(v version) version { v.pace *= 0.75; v.failures *= 0.8; return v },
		want:   engine.Promoted,
	},
	{
		version: "v3", says: "a new payment client: payments fail three times as often",
		change: func(v version) version { v.errors *= 3; return v },
		want:   engine.RolledBack, check: rollout.ErrorRate,
	},
	{
		version: "v4", says: "a new template engine: pages take 25 % longer",
		change: func(v version) version { v.slow *= 1.25; return v },
		want:   engine.RolledBack, check: rollout.ResponseTime,
	},
}

// plan is the source document's with seconds in place of half hours. Phases at
// a small weight are longer because fewer requests reach the canary in them.
// After the last one the canary takes all traffic. It is not watched there: with
// nothing left to compare with, a busy machine would look like a slow version.
const plan = `  plan:
    prepare: 10s
    phases:
    - {weight: 5, duration: 8s}
    - {weight: 10, duration: 5s}
    - {weight: 25, duration: 4s}
    - {weight: 50, duration: 4s}
    drain: 5s
  analysis:
    interval: 250ms
    checks:
    - {name: errors, type: errorRate, rollback: {ratio: 2}}
    - {name: latency, type: responseTime, rollback: {increase: 10%}}
`

// file is the demo's rollout, in the form of a user's file.
func file(command []string) (string, error) {
	argv, err := json.Marshal(command)
	if err != nil {
		return "", fmt.Errorf("write the shop's command: %w", err)
	}
	return `# The rollout that "serin demo" runs.
apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: ` + name + `}
spec:
  workload:
    process:
      stable: {version: ` + first + `, command: ` + string(argv) + `}
      readiness: {path: /healthz, timeout: 5s}
  traffic:
    proxy: {listen: "127.0.0.1:0", timeouts: {dial: 5s}}
` + plan, nil
}

// command is how a version of the shop is run. It ends with the demo.
func command(program, label string, v version, seed uint64) []string {
	return []string{
		program, "demo-shop", "-listen", "$(ADDR)", "-version", label,
		"-payment-failures", number(v.failures), "-pace", number(v.pace),
		"-errors", number(v.errors), "-slow", number(v.slow),
		"-seed", strconv.FormatUint(seed, 10), "-owner", strconv.Itoa(os.Getpid()),
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// ending is how a chapter ended.
type ending struct {
	chapter chapter
	last    view.Model
	// before is what users had seen when the chapter began.
	before load.Counts
}

// cause is the check that a run was rolled back for, if it was one.
func (e ending) cause() (view.Check, bool) {
	for _, c := range e.last.Checks {
		if c.Type == e.chapter.check && c.Verdict == failed {
			return c, true
		}
	}
	return view.Check{}, false
}

// surprise says how a chapter ended otherwise than it should have; nothing when
// it did not.
func (e ending) surprise() string {
	c := e.chapter
	if e.last.Status != c.want {
		return fmt.Sprintf("%s was %s; it should have been %s", c.version, words[e.last.Status], words[c.want])
	}
	if _, ok := e.cause(); c.check != "" && !ok {
		return fmt.Sprintf("%s was rolled back for another reason than its fault: %s", c.version, e.reason())
	}
	return ""
}

// reason is the decision that a run ended with, in words.
func (e ending) reason() string {
	for _, d := range e.last.Decisions {
		if d.Kind == engine.Rollback {
			return strings.TrimPrefix(d.Text, "rolled back: ")
		}
	}
	return "no reason was recorded"
}

var words = map[engine.Status]string{
	engine.Promoted: "promoted", engine.RolledBack: "rolled back",
	engine.Preparing: "still being prepared", engine.Progressing: "still being watched",
	engine.Promoting: "still being promoted", engine.RollingBack: "still being rolled back",
}

// Package recordtest writes the records of runs in an imagined world: the real
// engine decides over made-up traffic, so that what reads records can be tested
// on records as they are. The same seed gives the same record.
package recordtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// World is what a run meets. Its zero fields are healthy ones.
type World struct {
	Seed uint64
	Plan engine.Plan
	// Rate is the requests a second of both arms together.
	Rate float64
	// ErrorRate and Latency (median, seconds) are stable's.
	ErrorRate, Latency float64
	// WorseErrors and WorseLatency multiply the canary's; 0 means 1.
	WorseErrors, WorseLatency float64
	// From is the time since the start from which the canary is worse.
	From time.Duration
	// Blind leaves the canary's figures out between these times.
	Blind [2]time.Duration
	// Unsplit are the arms that requests reach past the split.
	Unsplit []rollout.Arm
	// CrashAt is when the canary ends by itself; 0: never.
	CrashAt time.Duration
	// Intents arrive when their At has come.
	Intents []rollout.Intent
	// TestFails is the time from which the first continuous test fails.
	TestFails time.Duration
	// Rollout, StableVersion and CanaryVersion have defaults.
	Rollout, StableVersion, CanaryVersion, Actor string
	// Looks bounds the run; 0: 5000.
	Looks int
}

// Start is when every run begins.
func Start() time.Time { return time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC) }

// ShortPlan is a plan of three short phases.
func ShortPlan() engine.Plan {
	return engine.Plan{
		Plan: rollout.Plan{
			Prepare: rollout.Duration(time.Minute), HoldTimeout: rollout.Duration(2 * time.Minute), Drain: rollout.Duration(10 * time.Second),
			Phases: []rollout.Phase{
				{Weight: 5, Duration: rollout.Duration(5 * time.Minute)},
				{Weight: 25, Duration: rollout.Duration(5 * time.Minute)},
				{Weight: 100, Duration: rollout.Duration(2 * time.Minute)},
			},
		},
		Analysis: rollout.Analysis{Interval: rollout.Duration(10 * time.Second), Alpha: 0.01, Checks: rollout.DefaultChecks()},
	}
}

// Run lets the engine carry a run to its end and returns its record and the
// state after it.
func (w World) Run() ([]record.Line, engine.State, error) {
	w = w.complete()
	l := &life{
		World: w, random: rand.New(rand.NewPCG(w.Seed, 1)), now: Start(),
		state: engine.Start(w.Plan), jobs: map[string]bool{}, heard: map[string]bool{},
	}
	l.put(record.Header{
		Record:  record.Version,
		Rollout: record.Subject{Name: w.Rollout, Workload: "process", Traffic: "proxy"},
		Plan:    w.Plan,
		Run: record.Run{
			ID: w.Rollout + "-20260101-100000", StableVersion: w.StableVersion, CanaryVersion: w.CanaryVersion,
			StartedAt: Start(), Actor: w.Actor,
		},
	})
	for range w.Looks {
		l.look()
		if l.err != nil || l.state.Ended() {
			break
		}
	}
	return l.lines, l.state, l.err
}

func (w World) complete() World {
	or := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	name := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	or(&w.Rate, 100)
	or(&w.ErrorRate, 0.01)
	or(&w.Latency, 0.05)
	or(&w.WorseErrors, 1)
	or(&w.WorseLatency, 1)
	name(&w.Rollout, "shop")
	name(&w.StableVersion, "v1")
	name(&w.CanaryVersion, "v2")
	name(&w.Actor, "maria")
	if len(w.Plan.Phases) == 0 {
		w.Plan = ShortPlan()
	}
	if w.Looks == 0 {
		w.Looks = 5000
	}
	return w
}

// life is one run in progress.
type life struct {
	World
	random *rand.Rand
	now    time.Time
	state  engine.State
	lines  []record.Line
	err    error

	want   engine.Want
	ticked time.Time
	jobs   map[string]bool
	heard  map[string]bool
}

func (l *life) since() time.Duration { return l.now.Sub(Start()) }

func (l *life) put(v any) {
	line, err := record.Encode(v)
	if err != nil && l.err == nil {
		l.err = fmt.Errorf("line %d: %w", len(l.lines)+1, err)
	}
	l.lines = append(l.lines, line)
}

func (l *life) look() {
	o := l.observe()
	d := engine.Decide(l.Plan, l.state, o)
	l.put(record.InputOf(o))
	l.put(record.DecisionOf(o, d))
	if d.Want.Weight != l.want.Weight {
		l.put(record.Effect{Effect: "weight", At: l.now, Actor: record.Serin, Detail: fmt.Sprintf("%d -> %d", l.want.Weight, d.Want.Weight)})
	}
	if d.Want.Stable != l.want.Stable || d.Want.Canary != l.want.Canary {
		l.put(record.Effect{Effect: "workload", At: l.now, Actor: record.Serin, Detail: fmt.Sprintf("stable %d %%, canary %d %%", d.Want.Stable, d.Want.Canary)})
	}
	l.tell(d)
	l.want, l.state = d.Want, d.Next
	step := time.Second
	if wait := d.WakeAt.Sub(l.now); wait > step {
		step = min(wait, time.Duration(l.Plan.Analysis.Interval))
	}
	l.now = l.now.Add(step)
}

// tell writes the notifications of a move, as the courier does.
func (l *life) tell(d engine.Decision) {
	event, text := rollout.Event(""), ""
	switch was, next := l.state, d.Next; {
	case next.Status == was.Status && next.Phase == was.Phase:
		return
	case next.Status == engine.RollingBack && was.Status != engine.RollingBack:
		event, text = rollout.RolledBack, "is rolled back: "+d.Because[0].Message
	case next.Status == engine.Promoted:
		event, text = rollout.Promoted, "is promoted"
	case next.Status == engine.Progressing:
		event, text = rollout.PhaseBegan, fmt.Sprintf("phase %d begins at %d %%", next.Phase+1, d.Want.Weight)
	default:
		return
	}
	l.put(record.Notification{
		Notification: event, At: l.now, Actor: record.Serin, To: "team",
		Text: l.Rollout + " " + l.CanaryVersion + " " + text, Delivered: true,
	})
}

func (l *life) observe() engine.Observation {
	o := engine.Observation{
		At:     l.now,
		Weight: &engine.Weight{Known: true, InEffect: true, Percent: l.want.Weight, Promoted: l.want.Promoted},
		Stable: group(l.want.Stable), Canary: group(l.want.Canary),
	}
	if l.state.Status == engine.Preparing && l.want.Stable == 0 {
		o.Stable = group(rollout.Full) // it serves before the run begins
	}
	if l.CrashAt > 0 && l.since() >= l.CrashAt && o.Canary.Instances > 0 {
		o.Canary.Restarts, o.Canary.Ready, o.Canary.Detail = 2, 0, "exit status 3"
	}
	for _, i := range l.Intents {
		if !l.heard[i.ID] && !i.At.After(l.now) {
			l.heard[i.ID] = true
			l.put(record.Intent{Intent: i})
			o.Intents = append(o.Intents, i)
		}
	}
	for i, t := range l.Plan.Tests {
		r := engine.TestResult{Name: t.Name, Passes: 1}
		if i == 0 && l.TestFails > 0 && l.since() >= l.TestFails {
			r = engine.TestResult{Name: t.Name, Failures: max(t.Failures, 1), Message: "status 500, expected 200"}
			l.put(record.Gate{Gate: t.Name, At: l.now, Actor: record.Serin, Message: r.Message, Output: "GET /checkout: 500"})
		}
		o.Tests = append(o.Tests, r)
	}
	for _, j := range l.want.Jobs {
		if l.jobs[j.Key] {
			continue
		}
		l.jobs[j.Key] = true
		if j.Kind == engine.JobHook {
			l.put(record.Gate{Gate: j.Hook, Point: j.Point, At: l.now, Actor: record.Serin, Passed: true, Message: "exit status 0"})
		}
		o.Jobs = append(o.Jobs, engine.JobResult{Key: j.Key, Passed: true})
	}
	l.tick(&o)
	return o
}

func group(capacity int) *engine.Group {
	if capacity == 0 {
		return &engine.Group{}
	}
	n := max(1, capacity/25)
	return &engine.Group{Instances: n, Ready: n, Capacity: rollout.Full}
}

// tick closes a tick when it is due.
func (l *life) tick(o *engine.Observation) {
	interval := time.Duration(l.Plan.Analysis.Interval)
	if l.state.Status != engine.Progressing {
		l.ticked = time.Time{}
		return
	}
	if l.ticked.IsZero() {
		l.ticked = l.now
		return
	}
	if l.now.Sub(l.ticked) < interval {
		return
	}
	seconds := l.now.Sub(l.ticked).Seconds()
	l.ticked = l.now
	t := &rollout.Tick{At: l.now, Weight: l.want.Weight, Unsplit: l.Unsplit}
	share := float64(l.want.Weight) / rollout.Full
	worseErrors, worseLatency := 1.0, 1.0
	if l.since() >= l.From {
		worseErrors, worseLatency = l.WorseErrors, l.WorseLatency
	}
	t.Arms.Stable = l.sample(l.Rate*seconds*(1-share), l.ErrorRate, l.Latency, 4)
	t.Arms.Canary = l.sample(l.Rate*seconds*share, l.ErrorRate*worseErrors, l.Latency*worseLatency, 1)
	if l.Blind[1] > 0 && l.since() >= l.Blind[0] && l.since() < l.Blind[1] {
		t.Arms.Canary = nil
	}
	o.Tick = t
}

// buckets are the upper bounds of the latency histogram, 10 % apart.
func buckets() []float64 {
	var b []float64
	for v := 0.005; v < 2; v *= 1.1 {
		b = append(b, math.Round(v*1e6)/1e6)
	}
	return b
}

func (l *life) sample(requests, errorRate, median float64, instances int) *rollout.Sample {
	n := math.Round(requests)
	var errs, sum float64
	bounds := buckets()
	counts := make([]float64, len(bounds)+1)
	for range int(n) {
		if l.random.Float64() < min(errorRate, 1) {
			errs++
		}
		v := median * math.Exp(0.5*l.random.NormFloat64())
		sum += v
		at, _ := slices.BinarySearch(bounds, v)
		counts[at]++
	}
	sum = math.Round(sum*1e6) / 1e6
	return &rollout.Sample{
		Instances: &instances, Requests: &n, Errors: &errs,
		Latency: &rollout.Histogram{Bounds: bounds, Counts: counts, Sum: &sum},
	}
}

// Join writes lines as a file holds them.
func Join(lines []record.Line) []byte {
	var out []byte
	for _, line := range lines {
		out = append(append(out, line...), '\n')
	}
	return out
}

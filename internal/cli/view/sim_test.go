package view

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// player carries a run through the real engine in a made-up world, and tells a
// History of it as a record does.
type player struct {
	t       *testing.T
	run     store.Run
	history History
	lines   []json.RawMessage
	random  *rand.Rand
	now     time.Time
	// rate is requests a second; canary and stable are what the arms are like.
	rate           int
	stable, canary likeness
	intents        []rollout.Intent
	// deaf: no figures arrive.
	deaf bool
}

// likeness is what an arm is like.
type likeness struct {
	errors float64
	median time.Duration
}

var began = time.Date(2026, 3, 4, 9, 30, 0, 0, time.UTC)

func newPlayer(t *testing.T, edit func(*rollout.Spec)) *player {
	t.Helper()
	second := rollout.Duration(time.Second)
	spec := rollout.Spec{
		Plan: rollout.Plan{Prepare: 10 * second, HoldTimeout: rollout.DefaultHoldTimeout, Drain: second},
		Analysis: rollout.Analysis{Interval: second / 4, Alpha: rollout.DefaultAlpha,
			Checks: rollout.DefaultChecks()[:2]},
	}
	for i, w := range []int{5, 10, 25, 50, 100} {
		spec.Plan.Phases = append(spec.Plan.Phases, rollout.Phase{Weight: w, Duration: []rollout.Duration{8, 5, 3, 3, 3}[i] * second})
	}
	if edit != nil {
		edit(&spec)
	}
	plan := engine.PlanOf(spec)
	p := &player{
		t: t, random: rand.New(rand.NewPCG(1, 2)), now: began, rate: 400,
		stable: likeness{0.032, 20 * time.Millisecond}, canary: likeness{0.032, 19 * time.Millisecond},
		run: store.Run{
			ID: "shop-1", Number: 3, Rollout: "shop", Plan: plan, State: engine.Start(plan),
			StableVersion: "v1", CanaryVersion: "v2", StartedAt: began,
		},
	}
	return p
}

// play carries the run on for so long.
func (p *player) play(d time.Duration) *player {
	p.t.Helper()
	for end := p.now.Add(d); p.now.Before(end); {
		p.step()
	}
	return p
}

// until carries the run on until it is so.
func (p *player) until(so func(engine.State) bool) *player {
	p.t.Helper()
	for range 4000 {
		if so(p.run.State) {
			return p
		}
		p.step()
	}
	p.t.Fatalf("never so; the run is at %s", p.run.State.Position())
	return p
}

func (p *player) step() {
	p.t.Helper()
	const interval = 250 * time.Millisecond
	plan := p.run.Plan
	p.now = p.now.Add(interval)
	want := plan.Want(p.run.State)
	one := &engine.Group{Instances: 1, Ready: 1, Capacity: 100}
	o := engine.Observation{
		At: p.now, Stable: one, Canary: one, Intents: p.intents,
		Weight: &engine.Weight{Known: true, Percent: want.Weight, InEffect: true, Promoted: want.Promoted},
	}
	p.intents = nil
	for key := range p.run.State.Jobs {
		o.Jobs = append(o.Jobs, engine.JobResult{Key: key, Passed: true})
	}
	if want.Canary == 0 {
		o.Canary = &engine.Group{}
	}
	if want.Stable == 0 {
		o.Stable = &engine.Group{}
	}
	if p.run.State.Status == engine.Progressing && !p.deaf {
		n := p.rate / 4
		canary := n * want.Weight / 100
		o.Tick = &rollout.Tick{At: p.now, Weight: want.Weight, Arms: rollout.Arms{
			Stable: p.sample(n-canary, p.stable), Canary: p.sample(canary, p.canary)}}
	}
	p.tell(record.InputOf(o))
	d := engine.Decide(plan, p.run.State, o)
	p.run.State = d.Next
	if d.Next.Ended() && p.run.EndedAt.IsZero() {
		p.run.EndedAt = p.now
	}
	p.tell(record.DecisionOf(o, d))
}

func (p *player) tell(v any) {
	p.t.Helper()
	line, err := record.Encode(v)
	if err != nil {
		p.t.Fatal(err)
	}
	p.lines = append(p.lines, line)
	if err := p.history.AddLines([]json.RawMessage{line}); err != nil {
		p.t.Fatal(err)
	}
}

// bounds are those of the made-up latency buckets.
var bounds = func() (all []float64) {
	for b := 0.001; b < 1; b *= 1.02 {
		all = append(all, b)
	}
	return all
}()

func (p *player) sample(n int, a likeness) *rollout.Sample {
	one, requests, errors, sum := 1, float64(n), 0.0, 0.0
	counts := make([]float64, len(bounds)+1)
	for range n {
		if p.random.Float64() < a.errors {
			errors++
		}
		s := a.median.Seconds() * math.Exp(0.3*p.random.NormFloat64())
		sum += s
		i := int(math.Ceil(math.Log(s/0.001) / math.Log(1.02)))
		counts[min(max(i, 0), len(bounds))]++
	}
	return &rollout.Sample{Instances: &one, Requests: &requests, Errors: &errors,
		Latency: &rollout.Histogram{Bounds: bounds, Counts: counts, Sum: &sum}}
}

func (p *player) model() Model { return FromRun(p.run, &p.history, p.now) }

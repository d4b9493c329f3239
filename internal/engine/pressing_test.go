package engine_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// After any run's any look: a tick lasts an interval, or half of one and then
// not under five seconds, and only after one in which the canary plainly failed.
func TestATickIsShortOnlyAfterOneThatLookedLikeAGrossFault(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t)
		r.plan.Analysis.Interval = rollout.Duration(rapid.Int64Range(1, 120).Draw(t, "interval in s")) * rollout.Duration(time.Second)
		r.state = engine.Start(r.plan)
		whole := time.Duration(r.plan.Analysis.Interval)
		bad := false
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			o := r.world.draw(t, r.plan, r.state)
			if o.Tick != nil && r.state.Status == engine.Progressing {
				bad = o.Tick.Arms.Canary != nil && o.Tick.Arms.Canary.Errors != nil && *o.Tick.Arms.Canary.Errors >= 10
			}
			d := engine.Decide(r.plan, r.state, o)
			tick := r.plan.Tick(d.Next)
			switch {
			case tick > whole || tick < min(whole, max(whole/2, 5*time.Second)):
				t.Fatalf("a tick lasts %s of an interval of %s", tick, whole)
			case tick < whole && !bad:
				t.Fatalf("a tick lasts %s of %s after %+v", tick, whole, o.Tick)
			}
			r.state, r.world.want = d.Next, d.Want
		}
	})
}

func TestWhatLooksLikeAGrossFault(t *testing.T) {
	plan := engine.Plan{
		Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 5, Duration: rollout.Duration(time.Hour)}, {Weight: 100, Duration: rollout.Duration(time.Hour)}}},
		Analysis: rollout.Analysis{Interval: rollout.Duration(10 * time.Second), Alpha: .01, Checks: []rollout.Check{{Name: "errors", Type: rollout.ErrorRate, Rollback: rollout.Margin{Ratio: 2}}}},
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name                                       string
		requests, errors, stableRequests, ofStable float64
		short                                      bool
	}{
		{"half of the answers fail", 50, 25, 950, 1, true},
		{"a tick in whose last four seconds half fail", 50, 10, 950, 1, true},
		{"a few errors", 50, 9, 950, 1, false},
		{"many errors among many requests", 1000, 60, 19000, 20, false},
		{"stable fails as much", 50, 25, 950, 400, false},
		{"nothing was asked of the canary", 0, 0, 950, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tick := rollout.Tick{At: start.Add(10 * time.Second), Weight: 5, Arms: rollout.Arms{
				Canary: &rollout.Sample{Requests: &c.requests, Errors: &c.errors},
				Stable: &rollout.Sample{Requests: &c.stableRequests, Errors: &c.ofStable},
			}}
			ready := &engine.Group{Instances: 1, Ready: 1, Capacity: 100}
			o := engine.Observation{At: tick.At, Tick: &tick, Stable: ready, Canary: ready, Weight: &engine.Weight{Known: true, Percent: 5, InEffect: true}}
			d := engine.Decide(plan, engine.StartWatching(plan, start), o)
			want := 10 * time.Second
			if c.short {
				want = 5 * time.Second
			}
			if got := plan.Tick(d.Next); d.Kind != engine.Wait || got != want {
				t.Errorf("%s, and the next tick lasts %s, want %s", d.Kind, got, want)
			}
			if d.WakeAt.After(o.At.Add(want)) {
				t.Errorf("the next look is at %s, after the tick's end", d.WakeAt)
			}
		})
	}
}

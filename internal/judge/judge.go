// Package judge is the judge stream: ticks in, decisions out, a line for a
// line. It drives the engine as a run does, for deployers that do everything
// else themselves.
//
// It knows a plan and the lines it is handed; no file, clock, process or store.
package judge

import (
	"fmt"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// Answer is one output line.
type Answer struct {
	Tick time.Time `json:"tick"`
	// Phase counts from 1.
	Phase    int         `json:"phase"`
	Decision engine.Kind `json:"decision"`
	// Weight is what the canary should get next.
	Weight  int             `json:"weight"`
	Because []engine.Reason `json:"because"`
}

// Judge decides tick after tick.
type Judge struct {
	plan  engine.Plan
	state engine.State
	begun bool
	last  Answer
}

// New returns the judge of a plan. Tests and hooks are the deployer's own
// business: they are left out.
func New(plan engine.Plan) *Judge {
	plan.Tests, plan.Hooks = nil, nil
	return &Judge{plan: plan}
}

// healthy is how both arms are taken to be: whether they run is the deployer's
// business too.
var healthy = engine.Group{Instances: 1, Ready: 1, Capacity: rollout.Full}

// Tick decides about one tick. An error changes nothing.
func (j *Judge) Tick(t rollout.Tick) (Answer, error) {
	if err := analysis.Validate(t); err != nil {
		return Answer{}, err
	}
	if j.begun && !t.At.After(j.last.Tick) {
		return Answer{}, fmt.Errorf("tick: %s is not after the tick before it, %s; write each tick once, in the order of time",
			t.At.Format(time.RFC3339Nano), j.last.Tick.Format(time.RFC3339Nano))
	}
	if !j.begun {
		j.begun = true
		j.state = engine.StartWatching(j.plan, t.At.Add(-time.Duration(j.plan.Analysis.Interval)))
	}
	if j.Ended() {
		j.last.Tick = t.At
		return j.last, nil
	}
	stable, canary := healthy, healthy
	o := engine.Observation{
		At:     t.At,
		Weight: &engine.Weight{Known: true, Percent: t.Weight, InEffect: true},
		Stable: &stable,
		Canary: &canary,
		Tick:   &t,
	}
	if j.plan.Baseline {
		baseline := healthy
		o.Baseline = &baseline
	}
	d := engine.Decide(j.plan, j.state, o)
	j.state = d.Next
	j.last = Answer{Tick: t.At, Phase: d.Next.Phase + 1, Decision: d.Kind, Weight: d.Share(), Because: d.Because}
	return j.last, nil
}

// Ended reports whether the answer is final.
func (j *Judge) Ended() bool {
	return j.last.Decision == engine.Complete || j.last.Decision == engine.Rollback
}

// Decision is the latest decision; Wait before the first.
func (j *Judge) Decision() engine.Kind {
	if !j.begun {
		return engine.Wait
	}
	return j.last.Decision
}

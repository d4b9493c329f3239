package engine_test

import (
	"fmt"
	"math"
	"time"

	"pgregory.net/rapid"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

const (
	second   = rollout.Duration(time.Second)
	interval = 10 * second
)

// drawPlan draws a plan with short phases and everything that can stand in one.
func drawPlan(t *rapid.T) engine.Plan {
	spec := rollout.DefaultSpec()
	spec.Analysis.Interval = interval
	spec.Analysis.Checks = spec.Analysis.Checks[:1]
	seconds := func(name string, low, high int) rollout.Duration {
		return rollout.Duration(rapid.IntRange(low, high).Draw(t, name)) * second
	}
	spec.Plan.Phases = nil
	weight := 0
	for range rapid.IntRange(1, 4).Draw(t, "phases") {
		weight = rapid.IntRange(weight+1, min(100, weight+60)).Draw(t, "weight")
		spec.Plan.Phases = append(spec.Plan.Phases, rollout.Phase{
			Weight: weight, Duration: seconds("duration", 1, 60), Approval: rapid.IntRange(0, 9).Draw(t, "approval") == 0,
		})
		if weight == 100 {
			break
		}
	}
	spec.Plan.Prepare = seconds("prepare", 5, 60)
	spec.Plan.HoldTimeout = seconds("holdTimeout", 1, 60)
	spec.Plan.Drain = seconds("drain", 0, 30)
	spec.Plan.Baseline = rapid.Bool().Draw(t, "baseline")
	if rapid.Bool().Draw(t, "early") {
		spec.Plan.Early = &rollout.Early{After: seconds("after", 1, 30)}
	}
	policies := rapid.SampledFrom([]rollout.OnFailure{rollout.FailRollback, rollout.FailHold, rollout.FailIgnore})
	for i := range rapid.IntRange(0, 2).Draw(t, "tests") {
		spec.Tests = append(spec.Tests, rollout.Test{
			Name: fmt.Sprint("test", i), Failures: rapid.IntRange(0, 3).Draw(t, "failures"), OnFailure: policies.Draw(t, "means"),
		})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "hooks") {
		h := rollout.Hook{
			Name: fmt.Sprint("hook", i), At: rapid.SampledFrom(rollout.Points()).Draw(t, "at"),
			Timeout: seconds("timeout", 0, 20), Retries: rapid.IntRange(0, 2).Draw(t, "retries"), OnFailure: policies.Draw(t, "means"),
		}
		if (h.At != rollout.AfterPromote && h.At != rollout.OnRollback) && rapid.IntRange(0, 4).Draw(t, "approval") == 0 {
			h.Kind = rollout.ApprovalKind
		}
		spec.Hooks = append(spec.Hooks, h)
	}
	return engine.PlanOf(spec)
}

// outside is a world that mostly does what is wanted, and sometimes anything.
type outside struct {
	now  time.Time
	want engine.Want
	asks int
	// roomy: the canary is as large as it will ever have to be.
	roomy bool
	// byInstances: the number of instances makes the weight.
	byInstances bool
	// baseline is how the baseline is throughout: obedient, not seen, or in
	// trouble.
	baseline string
}

// often is true in most draws.
func often(t *rapid.T, name string) bool { return rapid.IntRange(0, 9).Draw(t, name) < 8 }

// benign is what is seen when everything obeys and every job passes.
func (w *outside) benign(p engine.Plan, s engine.State) engine.Observation {
	o := engine.Observation{
		At:     w.now,
		Weight: &engine.Weight{Known: true, InEffect: true, Percent: w.want.Weight, Promoted: w.want.Promoted},
		Stable: obedient(w.want.Stable),
		Canary: obedient(w.want.Canary),
	}
	if w.roomy && w.want.Canary > 0 {
		o.Canary = obedient(rollout.Full)
	}
	if p.Baseline {
		o.Baseline = obedient(w.want.Baseline)
		switch {
		case w.baseline == "unseen":
			o.Baseline = nil
		case w.baseline == "unready" && w.want.Baseline > 0:
			o.Baseline = &engine.Group{Instances: 1}
		case w.baseline == "failed" && w.want.Baseline > 0:
			o.Baseline = &engine.Group{Instances: 1, Restarts: 3, Failed: "exit status 1"}
		}
	}
	if w.byInstances {
		o.Weight.ByInstances = true
		o.Weight.InEffect = w.want.Canary >= w.want.Weight
	}
	for _, test := range p.Tests {
		o.Tests = append(o.Tests, engine.TestResult{Name: test.Name, Passes: 1})
	}
	for _, j := range w.want.Jobs {
		o.Jobs = append(o.Jobs, engine.JobResult{Key: j.Key, Passed: true})
	}
	if s.Status == engine.Progressing {
		o.Tick = w.tick(1000*float64(100-w.want.Weight-w.want.BaselineWeight)/100, 1000*float64(w.want.Weight)/100, 0.01)
		if n := 10 * float64(w.want.BaselineWeight); n > 0 {
			o.Tick.Arms.Baseline = arm(n, n*0.01)
		}
	}
	return o
}

func obedient(capacity int) *engine.Group {
	if capacity == 0 {
		return &engine.Group{}
	}
	return &engine.Group{Instances: 1, Ready: 1, Capacity: capacity}
}

func (w *outside) tick(stable, canary, rate float64) *rollout.Tick {
	s, c := arm(stable, stable*0.01), arm(canary, canary*rate)
	return &rollout.Tick{At: w.now, Weight: w.want.Weight, Arms: rollout.Arms{Stable: s, Canary: c}}
}

func arm(requests, errors float64) *rollout.Sample {
	return &rollout.Sample{Requests: &requests, Errors: &errors}
}

// draw is what is seen next: benign, with anything about it changed.
func (w *outside) draw(t *rapid.T, p engine.Plan, s engine.State) engine.Observation {
	w.now = w.now.Add(w.drawTime(t))
	o := w.benign(p, s)
	if !often(t, "weight obeys") {
		o.Weight = drawWeight(t)
		if o.Weight != nil {
			o.Weight.ByInstances = w.byInstances
		}
	}
	if !often(t, "stable obeys") {
		o.Stable = drawGroup(t)
	}
	if !often(t, "canary obeys") {
		o.Canary = drawGroup(t)
	}
	if !often(t, "baseline obeys") {
		o.Baseline = drawGroup(t)
	}
	if !often(t, "figures arrive") {
		o.Tick = w.drawTick(t)
	}
	if !often(t, "tests pass") {
		o.Tests = nil
		for _, test := range p.Tests {
			o.Tests = append(o.Tests, engine.TestResult{Name: test.Name, Failures: rapid.IntRange(0, 4).Draw(t, "failures"), Passes: rapid.IntRange(0, 1).Draw(t, "passes")})
		}
	}
	if !often(t, "jobs pass") {
		for i := range o.Jobs {
			o.Jobs[i].Passed = rapid.Bool().Draw(t, "passed")
		}
		if rapid.Bool().Draw(t, "silent") {
			o.Jobs = []engine.JobResult{{Key: "nobody/asked", Passed: true}}
		}
	}
	if !often(t, "nobody asks") {
		for range rapid.IntRange(1, 3).Draw(t, "intents") {
			o.Intents = append(o.Intents, w.drawIntent(t))
		}
	}
	rare := func(name string) bool { return rapid.IntRange(0, 39).Draw(t, name) == 0 }
	if rare("unsaved") {
		o.Unsaved = "disk full"
	}
	if rare("superseded") {
		o.Superseded = "another version"
	}
	o.Resumed = rare("resumed")
	return o
}

func (w *outside) drawTime(t *rapid.T) time.Duration {
	if often(t, "time is even") {
		return time.Duration(interval)
	}
	return rapid.SampledFrom([]time.Duration{0, time.Second, 25 * time.Second, time.Hour, -time.Hour, -time.Second}).Draw(t, "time")
}

func (w *outside) drawIntent(t *rapid.T) rollout.Intent {
	w.asks++
	kinds := []rollout.IntentKind{rollout.Promote, rollout.Promote, rollout.Pause, rollout.Resume, rollout.Rollback, rollout.Complain, "dance"}
	return rollout.Intent{
		Arm: rapid.SampledFrom([]rollout.Arm{"", rollout.Stable, rollout.Canary}).Draw(t, "arm"),
		ID:  fmt.Sprint(w.asks), Actor: "ana", At: w.now,
		Kind: rapid.SampledFrom(kinds).Draw(t, "intent"), Full: rapid.IntRange(0, 3).Draw(t, "full") == 0,
	}
}

func drawWeight(t *rapid.T) *engine.Weight {
	if rapid.Bool().Draw(t, "router silent") {
		return nil
	}
	w := &engine.Weight{
		Known: rapid.Bool().Draw(t, "known"), Percent: rapid.IntRange(-1, 101).Draw(t, "percent"),
		InEffect: rapid.Bool().Draw(t, "inEffect"), Promoted: rapid.Bool().Draw(t, "promoted"),
		CanaryInflight: rapid.IntRange(-1, 3).Draw(t, "inflight"), DrainingInflight: rapid.IntRange(-1, 3).Draw(t, "draining"),
	}
	if rapid.IntRange(0, 3).Draw(t, "changed") == 0 {
		w.ChangedBy = "kubectl"
	}
	return w
}

func drawGroup(t *rapid.T) *engine.Group {
	if rapid.Bool().Draw(t, "workload silent") {
		return nil
	}
	g := &engine.Group{
		Instances: rapid.IntRange(0, 3).Draw(t, "instances"), Ready: rapid.IntRange(0, 3).Draw(t, "ready"),
		Capacity: rapid.IntRange(-1, 101).Draw(t, "capacity"), Restarts: rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "restarts"),
	}
	if rapid.IntRange(0, 9).Draw(t, "failed") == 0 {
		g.Failed = "exit status 1"
	}
	return g
}

// drawTick is bad, lacking or nonsense.
func (w *outside) drawTick(t *rapid.T) *rollout.Tick {
	switch rapid.IntRange(0, 5).Draw(t, "figures") {
	case 0:
		return nil
	case 1:
		return w.tick(900, 100, 0.2)
	case 2:
		return w.tick(1000, 0, 0)
	case 3:
		tick := w.tick(900, 100, 0.01)
		tick.Arms.Canary = nil
		return tick
	case 4:
		tick := w.tick(900, 100, 0.01)
		tick.Arms.Stable = nil
		return tick
	}
	figures := rapid.SampledFrom([]float64{0, -1, 1e300, math.MaxFloat64, math.NaN(), math.Inf(1), math.SmallestNonzeroFloat64})
	tick := w.tick(0, 0, 0)
	tick.Arms.Stable = arm(figures.Draw(t, "stable requests"), figures.Draw(t, "stable errors"))
	tick.Arms.Canary = arm(figures.Draw(t, "canary requests"), figures.Draw(t, "canary errors"))
	tick.Weight = rapid.IntRange(-200, 200).Draw(t, "tick weight")
	if rapid.Bool().Draw(t, "tick of another time") {
		tick.At = tick.At.Add(-time.Hour)
	}
	return tick
}

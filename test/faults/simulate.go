package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
)

const runID = "shop-1"

// Result is how one simulated run ended.
type Result struct {
	Violation string
	Status    engine.Status
	Waiting   bool
	Steps     int
}

// plan is a short one, so that a run is a few dozen steps.
func plan() engine.Plan {
	interval := rollout.Duration(10 * time.Second)
	spec := rollout.Spec{
		Plan: rollout.Plan{
			Prepare: 2 * rollout.Duration(time.Minute),
			Phases: []rollout.Phase{
				{Weight: 5, Duration: 3 * interval}, {Weight: 25, Duration: 3 * interval}, {Weight: 100, Duration: 3 * interval},
			},
			HoldTimeout: rollout.Duration(time.Minute), Drain: interval,
		},
		Analysis: rollout.Analysis{
			Interval: interval, Alpha: 0.01,
			Checks: []rollout.Check{{Name: "errors", Type: rollout.ErrorRate, Rollback: rollout.Margin{Ratio: 2}}},
		},
		Tests: []rollout.Test{{Name: "smoke", Failures: 3, OnFailure: rollout.FailRollback}},
		Hooks: []rollout.Hook{
			{Name: "migrate", At: rollout.BeforeCanary, Timeout: interval, OnFailure: rollout.FailRollback},
			{Name: "board", At: rollout.BeforePhase, Weights: []int{25}, Timeout: interval, OnFailure: rollout.FailHold},
			{Name: "tell", At: rollout.OnRollback, Timeout: interval, OnFailure: rollout.FailIgnore},
		},
	}
	return engine.PlanOf(spec)
}

// simulate carries one run through a schedule. A broken invariant ends it.
func simulate(seed uint64, faults schedule, trace func(string, ...any)) (res Result) {
	if trace == nil {
		trace = func(string, ...any) {}
	}
	w := &world{
		plan: plan(), schedule: faults, rng: rand.New(rand.NewPCG(seed, 1)), trace: trace,
		now:    time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		stable: group{capacity: rollout.Full}, bad: 1,
		jobs: map[string]engine.JobResult{}, check: &checker{},
		byInstances: seed%3 == 2,
	}
	w.plan.Baseline = seed%2 == 1 && !w.byInstances
	w.store = &memStore{Store: &memory.Store{}, world: w, state: engine.Start(w.plan)}
	defer func() {
		if v, ok := recover().(violation); ok {
			res.Violation = v.text
		}
	}()
	w.create()
	r := w.start()
	const maxSteps = 900
	settled := 0
	for res.Steps = 1; res.Steps <= maxSteps; res.Steps++ {
		began := w.boundary
		outcome, died, err := w.step(r)
		if died {
			trace("%s the process dies and is started again", w.now.Format("15:04:05"))
			w.check.unsaved("the process died")
			w.jobs = map[string]engine.JobResult{}
			r = w.start()
			continue
		}
		look := r.Last()
		trace("%s step %d: %s, weight %d, router %d%s%s", w.now.Format("15:04:05"), res.Steps, look.Decision.Position, look.Decision.Weight, w.weight, first(look), failed(err))
		w.check.stepped(w, look, err, faults.touches(began, w.boundary) || err != nil)
		if wait := outcome.WakeAt.Sub(w.now); wait > 0 {
			w.now = w.now.Add(min(wait, 10*time.Second))
		} else {
			w.now = w.now.Add(100 * time.Millisecond)
		}
		s := w.store.durable()
		res.Status, res.Waiting = s.Status, s.Waiting()
		resting := outcome.Ended || s.Waiting() && err == nil
		if w.boundary <= faults.last() && !outcome.Ended || !resting {
			settled = 0
			continue
		}
		if settled++; settled > 3 || outcome.Ended {
			if outcome.Ended {
				// What is wanted is asserted again with every step.
				_, died, err := w.step(r)
				if died {
					r = w.start()
				}
				if died || err != nil {
					continue
				}
			}
			w.check.ended(w)
			return res
		}
	}
	w.check.broken("L1", "after %d steps the run is at %s, neither ended nor waiting for a person", maxSteps, w.store.durable().Position())
	return res
}

// step is one step of the process, which may die in it.
func (w *world) step(r *runner.Runner) (out runner.Outcome, died bool, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case crash:
			died = true
		default:
			panic(p)
		}
	}()
	out, err = r.Step(context.Background())
	return out, false, err
}

// create stores the run, as the program does when a release begins.
func (w *world) create() {
	header, err := record.Encode(record.Header{Record: record.Version, Plan: w.plan, Run: record.Run{ID: runID}})
	if err != nil {
		panic(err)
	}
	err = w.store.Create(context.Background(), store.Run{
		ID: runID, Rollout: "shop", Plan: w.plan, StableVersion: "v1", CanaryVersion: "v2",
		StartedAt: w.now, State: engine.Start(w.plan),
	}, []record.Line{header}, nil)
	if err != nil {
		panic(err)
	}
}

// touches reports whether a fault falls on an effect from begin up to end.
func (s schedule) touches(begin, end int) bool {
	for _, f := range s {
		if f.at >= begin && f.at < end {
			return true
		}
	}
	return false
}

func first(l runner.Look) string {
	if len(l.Decision.Because) == 0 {
		return ""
	}
	return ": " + l.Decision.Because[0].Message
}

func failed(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf(" (%v)", err)
}

// shrink drops faults as long as an invariant is still broken.
func shrink(seed uint64, faults schedule) schedule {
	for again := true; again; {
		again = false
		for i := range faults {
			fewer := append(append(schedule{}, faults[:i]...), faults[i+1:]...)
			if simulate(seed, fewer, nil).Violation != "" {
				faults, again = fewer, true
				break
			}
		}
	}
	return faults
}

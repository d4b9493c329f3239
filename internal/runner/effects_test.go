package runner

import (
	"context"
	"errors"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// away is a world that can be cut off: nothing of it can be seen then.
type away struct {
	*obedient
	cut bool
}

var errAway = errors.New("no route to host")

type awayRouter struct{ *away }

func (w awayRouter) Apply(ctx context.Context, s traffic.Split) error {
	return obedientRouter{w.obedient}.Apply(ctx, s)
}

func (w awayRouter) Observe(ctx context.Context) (traffic.Observed, error) {
	if w.cut {
		return traffic.Observed{}, errAway
	}
	return obedientRouter{w.obedient}.Observe(ctx)
}

type awayWorkload struct{ *away }

func (w awayWorkload) Apply(ctx context.Context, want workload.Want) error {
	return obedientWorkload{w.obedient}.Apply(ctx, want)
}

func (w awayWorkload) Observe(ctx context.Context) (workload.Status, error) {
	if w.cut {
		return workload.Status{}, errAway
	}
	return obedientWorkload{w.obedient}.Observe(ctx)
}

func (awayWorkload) Close() error { return nil }

// When all of the world is away for a while, the record says so once for each
// thing that does not work, and again only after it has worked meanwhile.
func TestFailuresThatRepeatTogetherAreRecordedOnce(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	st := &memory.Store{}
	run := store.Run{ID: "shop-1", Rollout: "shop", Plan: engine.Plan{
		Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 5}}, Prepare: rollout.Duration(time.Hour), HoldTimeout: rollout.Duration(time.Hour)},
		Analysis: rollout.Analysis{Interval: rollout.Duration(10 * time.Second)},
	}}
	run.State = engine.Start(run.Plan)
	if err := st.Create(t.Context(), run, nil, nil); err != nil {
		t.Fatal(err)
	}
	w := &away{obedient: &obedient{Store: st}}
	r := New(run.ID, Ports{Store: w, Router: awayRouter{w}, Workload: awayWorkload{w}, Jobs: noJobs{}, Tests: noTests{}},
		Options{Now: func() time.Time { return now }, Synchronous: true})
	looks := func(n int) {
		for range n {
			if _, err := r.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Second)
		}
	}
	for range 2 {
		w.cut = true
		looks(20)
		w.cut = false
		looks(1)
	}
	lines, err := st.Lines(t.Context(), run.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	failures := map[string]int{}
	for _, l := range lines {
		e, err := record.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		if e.Effect != nil && e.Effect.Error != "" {
			failures[e.Effect.Effect]++
		}
	}
	for _, effect := range []string{"observe router", "observe workload"} {
		if failures[effect] != 2 {
			t.Errorf("%q failed during two outages of 20 looks and is recorded %d times, want twice", effect, failures[effect])
		}
	}
}

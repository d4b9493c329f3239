package runner

import (
	"context"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// obedient is a world that does at once what is wanted, and counts the saves.
type obedient struct {
	store.Store
	saves int
	split traffic.Split
	want  workload.Want
	sized int
}

func (w *obedient) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	w.saves++
	return w.Store.Save(ctx, r, c)
}

type obedientRouter struct{ *obedient }

func (w obedientRouter) Apply(_ context.Context, s traffic.Split) error { w.split = s; return nil }

func (w obedientRouter) Observe(context.Context) (traffic.Observed, error) {
	return traffic.Observed{Known: true, InEffect: true, Weight: w.split.Weight, CanaryInflight: -1, DrainingInflight: -1}, nil
}

type obedientWorkload struct{ *obedient }

func (w obedientWorkload) Apply(_ context.Context, want workload.Want) error {
	w.want = want
	w.sized++
	return nil
}

func (w obedientWorkload) Observe(context.Context) (workload.Status, error) {
	group := func(capacity int) workload.Group {
		if capacity == 0 {
			return workload.Group{}
		}
		return workload.Group{Capacity: capacity, Instances: []rollout.Instance{{Name: "a", Ready: true}}}
	}
	return workload.Status{Stable: group(w.want.Stable), Canary: group(w.want.Canary)}, nil
}

func (w obedientWorkload) Close() error { return nil }

type noJobs struct{}

func (noJobs) Start(engine.Job, store.Run, workload.Status) {}
func (noJobs) Results() []engine.JobResult                  { return nil }

type noTests struct{}

func (noTests) Watch(int, int, store.Run, workload.Status) {}
func (noTests) Results() []engine.TestResult               { return nil }

// While a rollback drains it is looked at every second, and written down once
// an interval, although what is wanted is asserted with every look.
func TestALookThatLearntNothingIsNotSaved(t *testing.T) {
	const interval, drain = 10 * time.Second, 60 * time.Second
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	st := &memory.Store{}
	run := store.Run{ID: "shop-1", Rollout: "shop", Plan: engine.Plan{
		Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 5}}, Drain: rollout.Duration(drain), HoldTimeout: rollout.Duration(time.Hour)},
		Analysis: rollout.Analysis{Interval: rollout.Duration(interval)},
	}}
	run.State = engine.State{
		Status: engine.RollingBack, Stage: engine.Draining, CanaryAsked: true, At: now,
		Cause: []engine.Reason{{Rule: "intent", Message: "ana asked for a rollback"}},
	}
	if err := st.Create(t.Context(), run, nil, nil); err != nil {
		t.Fatal(err)
	}
	w := &obedient{Store: st, want: workload.Want{Stable: 100, Canary: 5}}
	r := New(run.ID, Ports{Store: w, Router: obedientRouter{w}, Workload: obedientWorkload{w}, Jobs: noJobs{}, Tests: noTests{}},
		Options{Now: func() time.Time { return now }, Synchronous: true})
	looks := 0
	for r.Last().Run.State.Stage != engine.Gathering {
		if _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if looks++; looks > 200 {
			t.Fatalf("the run stays at %s", r.Last().Run.State.Position())
		}
		now = now.Add(time.Second)
	}
	if looks < int(drain/time.Second)-2 {
		t.Errorf("the drain of %s was over after %d looks", drain, looks)
	}
	if most := int(drain/interval) + 4; w.saves > most {
		t.Errorf("%d looks made %d saves, want at most %d", looks, w.saves, most)
	}
	if w.sized != looks {
		t.Errorf("what is wanted was asserted %d times in %d looks", w.sized, looks)
	}
	state := r.Last().Run.State
	if took := state.Elapsed - run.State.Elapsed; time.Duration(took) < drain {
		t.Errorf("the run's clock has moved by %s in %s", took, drain)
	}
	loaded, err := st.Load(t.Context(), run.ID)
	if err != nil || loaded.State.Position() != state.Position() {
		t.Errorf("stored is %s (%v), the runner is at %s", loaded.State.Position(), err, state.Position())
	}
}

package runner

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/traffic"
)

// mute is a store that holds a run and answers nothing more in time.
type mute struct{ store.Store }

func (mute) Intents(ctx context.Context, _ string) ([]rollout.Intent, error) {
	<-ctx.Done()
	return nil, store.ErrUnavailable
}

func (mute) Save(ctx context.Context, _ store.Run, _ store.Change) (int64, error) {
	<-ctx.Done()
	return 0, store.ErrUnavailable
}

type timedRouter struct {
	obedientRouter
	returned time.Time
}

func (r *timedRouter) Apply(ctx context.Context, s traffic.Split) error {
	if s.Weight == 0 && r.returned.IsZero() {
		r.returned = time.Now()
	}
	return r.obedientRouter.Apply(ctx, s)
}

// A rollback that was decided before goes on at once, although the store, which
// is asked what people want meanwhile, does not answer.
func TestARollbackUnderWayDoesNotWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &memory.Store{}
		run := store.Run{ID: "shop-1", Rollout: "shop", Plan: engine.Plan{
			Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 25}}, HoldTimeout: rollout.Duration(time.Hour)},
			Analysis: rollout.Analysis{Interval: rollout.Duration(10 * time.Second)},
		}}
		run.State = engine.State{
			Status: engine.RollingBack, Stage: engine.Returning, CanaryAsked: true, At: time.Now(),
			Cause: []engine.Reason{{Rule: "intent", Message: "ana asked for a rollback"}},
		}
		if err := st.Create(t.Context(), run, nil, nil); err != nil {
			t.Fatal(err)
		}
		w := &obedient{Store: mute{st}, split: traffic.Split{Weight: 25}}
		router := &timedRouter{obedientRouter: obedientRouter{w}}
		r := New(run.ID, Ports{Store: w.Store, Router: router, Workload: obedientWorkload{w}, Jobs: noJobs{}, Tests: noTests{}}, Options{Synchronous: true})
		begun := time.Now()
		if _, err := r.Step(t.Context()); err == nil {
			t.Error("nothing is said of a store that does not answer")
		}
		switch {
		case w.split.Weight != 0:
			t.Errorf("the canary still gets %d %%", w.split.Weight)
		case router.returned.After(begun):
			t.Errorf("the weight went to 0 after %s, want at once", router.returned.Sub(begun))
		}
	})
}

package runner

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// stuck is a store that can be made to hang, as in a system call: no context ends
// it, unless it obeys. What was called meanwhile is carried out once it goes on.
type stuck struct {
	store.Store
	hangs        atomic.Bool
	reads, obeys bool // reads: they hang too
	goesOn       chan struct{}
}

func (s *stuck) hang(ctx context.Context) error {
	obeyed := ctx.Done()
	if !s.obeys {
		obeyed = nil
	}
	select {
	case <-s.goesOn:
		return nil
	case <-obeyed:
		return store.ErrUnavailable
	}
}

func (s *stuck) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	if s.hangs.Load() {
		if err := s.hang(ctx); err != nil {
			return 0, err
		}
	}
	return s.Store.Save(ctx, r, c)
}

func (s *stuck) Intents(ctx context.Context, run string) ([]rollout.Intent, error) {
	if s.hangs.Load() && s.reads {
		if err := s.hang(ctx); err != nil {
			return nil, err
		}
	}
	return s.Store.Intents(ctx, run)
}

// mortal is an obedient workload whose canary can come to nothing.
type mortal struct {
	obedientWorkload
	dead *atomic.Bool
}

func (w mortal) Observe(ctx context.Context) (workload.Status, error) {
	s, err := w.obedientWorkload.Observe(ctx)
	if w.dead.Load() {
		s.Canary.Failed = "crash loop"
	}
	return s, err
}

// atZero notes when the canary's weight went from more to 0.
type atZero struct {
	obedientRouter
	was int
	at  time.Time
}

func (r *atZero) Apply(ctx context.Context, s traffic.Split) error {
	if s.Weight == 0 && r.was > 0 && r.at.IsZero() {
		r.at = time.Now()
	}
	r.was = s.Weight
	return r.obedientRouter.Apply(ctx, s)
}

// Whatever the store does, the canary has no traffic once it has failed, or
// somebody has asked for a rollback; and when the store goes on, it is told all.
func TestAStoreThatHangsDelaysNoRollback(t *testing.T) {
	person := func(t *testing.T, st store.Store, _ *atomic.Bool) {
		if err := st.AddIntent(t.Context(), "shop-1", rollout.Intent{ID: "i1", Kind: rollout.Rollback, Actor: "ana", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	crash := func(_ *testing.T, _ store.Store, dead *atomic.Bool) { dead.Store(true) }
	for _, tt := range []struct {
		name  string
		reads bool
		obeys bool
		after time.Duration // from the beginning of the hang to what asks for the rollback
		cause func(*testing.T, store.Store, *atomic.Bool)
		most  time.Duration
	}{
		{"a person asks, and nothing can be saved", false, false, time.Minute, person, 0},
		{"the canary crashes, and nothing can be saved", false, false, time.Minute, crash, 0},
		{"the canary crashes, and no save is answered in time", false, true, time.Minute, crash, briefly},
		{"the canary crashes, and nothing is answered in time", true, true, time.Minute, crash, 2 * briefly},
		{"the canary crashes, and nothing can be read or saved", true, false, time.Minute, crash, 0},
		{"the canary crashes as the hang begins", true, false, 11 * time.Second, crash, 7 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plan := engine.Plan{
					Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 25, Duration: rollout.Duration(time.Hour)}}, Prepare: rollout.Duration(time.Minute), HoldTimeout: rollout.Duration(time.Hour)},
					Analysis: rollout.Analysis{Interval: rollout.Duration(10 * time.Second)},
				}
				header, err := record.Encode(record.Header{Record: record.Version, Plan: plan})
				if err != nil {
					t.Fatal(err)
				}
				st := &stuck{Store: &memory.Store{}, reads: tt.reads, obeys: tt.obeys, goesOn: make(chan struct{})}
				run := store.Run{ID: "shop-1", Rollout: "shop", Plan: plan, State: engine.Start(plan)}
				if err := st.Create(t.Context(), run, []record.Line{header}, nil); err != nil {
					t.Fatal(err)
				}
				w := &obedient{Store: st}
				router, dead := &atZero{obedientRouter: obedientRouter{w}}, new(atomic.Bool)
				r := New(run.ID, Ports{Store: st, Router: router, Workload: mortal{obedientWorkload{w}, dead}, Jobs: noJobs{}, Tests: noTests{}}, Options{})
				ctx, cancel := context.WithCancel(t.Context())
				wake, ended := NewWaker(), make(chan error, 1)
				go func() { ended <- r.Loop(ctx, wake, nil, nil) }()

				time.Sleep(5 * time.Second)
				synctest.Wait()
				if router.was != 25 {
					t.Errorf("the canary has %d %% of the traffic before anything hangs, want 25", router.was)
				}
				st.hangs.Store(true)
				time.Sleep(tt.after)
				tt.cause(t, st.Store, dead)
				asked := time.Now()
				wake.Wake()
				time.Sleep(time.Minute)
				synctest.Wait()
				if router.at.IsZero() || router.at.Sub(asked) > tt.most {
					t.Errorf("the weight went to 0 at %s, asked for at %s, want at most %s later", router.at, asked, tt.most)
				}

				st.hangs.Store(false)
				close(st.goesOn)
				if err := <-ended; err != nil {
					t.Errorf("the run ends with %v", err)
				}
				cancel()
				lines, err := st.Lines(t.Context(), run.ID, 0, 0)
				if err != nil {
					t.Fatal(err)
				}
				stored, err := st.Load(t.Context(), run.ID)
				if err != nil || stored.State.Status != engine.RolledBack {
					t.Errorf("the run is stored as %s (%v), want rolled back", stored.State.Status, err)
				}
				again, err := record.Replay(bytes.NewReader(recordtest.Join(lines)))
				if err != nil || len(again.Differences) > 0 || again.State.Position() != stored.State.Position() {
					t.Errorf("the record of %d decisions comes to %s, with %d differences: %v", again.Decisions, again.State.Position(), len(again.Differences), err)
				}
			})
		})
	}
}

// While the store does not say what people ask for it is asked again soon, not at
// the next tick: it may be a rollback.
func TestWhatPeopleAskForIsAskedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := engine.Plan{
			Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 25, Duration: rollout.Duration(time.Hour)}}, Prepare: rollout.Duration(time.Minute), HoldTimeout: rollout.Duration(time.Hour)},
			Analysis: rollout.Analysis{Interval: rollout.Duration(time.Minute)},
		}
		st := &stuck{Store: &memory.Store{}, reads: true, goesOn: make(chan struct{})}
		run := store.Run{ID: "shop-1", Rollout: "shop", Plan: plan, State: engine.Start(plan)}
		if err := st.Create(t.Context(), run, nil, nil); err != nil {
			t.Fatal(err)
		}
		w := &obedient{Store: st}
		r := New(run.ID, Ports{Store: st, Router: obedientRouter{w}, Workload: obedientWorkload{w}, Jobs: noJobs{}, Tests: noTests{}}, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Loop(ctx, NewWaker(), nil, nil) }()
		time.Sleep(5 * time.Second)
		st.hangs.Store(true)
		time.Sleep(time.Minute)
		if err := st.AddIntent(ctx, run.ID, rollout.Intent{ID: "i1", Kind: rollout.Rollback, Actor: "ana", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		st.hangs.Store(false)
		close(st.goesOn)
		time.Sleep(2 * briefly)
		synctest.Wait()
		if w.split.Weight != 0 {
			t.Errorf("the canary gets %d %% a second after the store goes on and a rollback can be heard", w.split.Weight)
		}
		cancel()
		<-ended
	})
}

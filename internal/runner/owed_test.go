package runner

import (
	"bytes"
	"context"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/workload"
)

// tardy is a store that gives up a save after its time, but writes it down all the
// same once it goes on: a disk that hung in the last step of a commit.
type tardy struct {
	store.Store
	hangs bool
	late  func()
}

func (s *tardy) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	if !s.hangs {
		return s.Store.Save(ctx, r, c)
	}
	if s.late == nil {
		s.late = func() { _, _ = s.Store.Save(ctx, r, c) }
	}
	return 0, store.ErrUnavailable
}

func (s *tardy) goOn() {
	s.late()
	s.hangs, s.late = false, nil
}

// frail is an obedient workload whose canary fares as it is told to.
type frail struct {
	obedientWorkload
	health *canaryHealth
}

type canaryHealth int

const (
	well canaryHealth = iota
	unready
	crashes
)

func (w frail) Observe(ctx context.Context) (workload.Status, error) {
	s, err := w.obedientWorkload.Observe(ctx)
	switch *w.health {
	case unready:
		s.Canary.Capacity = 0
	case crashes:
		s.Canary.Failed = "crash loop"
	}
	return s, err
}

// However far a rollback has come in memory when the store turns out to hold an
// earlier look that it had not answered for, the canary gets no traffic again and
// the run is rolled back.
func TestARollbackOutlivesASaveThatWasThoughtToHaveFailed(t *testing.T) {
	for name, looks := range map[string]int{"the look that decides it": 0, "it is under way": 1, "it is over": 300} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			plan := engine.Plan{
				Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 25, Duration: rollout.Duration(time.Hour)}}, Prepare: rollout.Duration(time.Minute), HoldTimeout: rollout.Duration(time.Hour)},
				Analysis: rollout.Analysis{Interval: rollout.Duration(time.Second)},
			}
			header, err := record.Encode(record.Header{Record: record.Version, Plan: plan})
			if err != nil {
				t.Fatal(err)
			}
			disk := &tardy{Store: &memory.Store{}}
			run := store.Run{ID: "shop-1", Rollout: "shop", Plan: plan, State: engine.Start(plan)}
			if err := disk.Create(t.Context(), run, []record.Line{header}, nil); err != nil {
				t.Fatal(err)
			}
			w := &obedient{Store: disk}
			health := well
			r := New(run.ID, Ports{Store: disk, Router: obedientRouter{w}, Workload: frail{obedientWorkload{w}, &health}, Jobs: noJobs{}, Tests: noTests{}},
				Options{Now: func() time.Time { return now }, Synchronous: true})
			look := func() {
				_, _ = r.Step(t.Context()) // a store that hangs is an error
				now = now.Add(time.Second)
			}
			for range 5 {
				look()
			}
			if w.split.Weight != 25 {
				t.Fatalf("the canary gets %d %% before anything hangs", w.split.Weight)
			}
			disk.hangs, health = true, unready
			look()
			health = crashes
			for range looks {
				look()
			}
			disk.goOn()
			look()
			health = well // nothing says any more that the canary is bad
			for range 300 {
				if w.split.Weight != 0 {
					t.Fatalf("the canary gets %d %% after a rollback", w.split.Weight)
				}
				look()
			}
			stored, err := disk.Load(t.Context(), run.ID)
			if err != nil || stored.State.Status != engine.RolledBack {
				t.Errorf("the run is stored as %s (%v), want rolled back", stored.State.Status, err)
			}
			lines, err := disk.Lines(t.Context(), run.ID, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			again, err := record.Replay(bytes.NewReader(recordtest.Join(lines)))
			if err != nil || len(again.Differences) > 0 || again.State.Position() != stored.State.Position() {
				t.Errorf("replayed, the run comes to %s, with the differences %v: %v", again.State.Position(), again.Differences, err)
			}
		})
	}
}

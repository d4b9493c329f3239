package app

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// twoVersions opens a program with a rollout whose two versions answer, over a
// store that the test stands before.
func twoVersions(t *testing.T, before func(store.Store) store.Store) (*program, *home) {
	t.Helper()
	p, h, _ := opened(t, before, `      canary: {version: v2, urls: ["http://localhost:PORT"]}`, "")
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := h.settle(t.Context()); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	if err := h.stableReady(t.Context(), 30*time.Second); err != nil {
		t.Fatal(err)
	}
	return p, h
}

// slowToCreate takes a moment to write a run down.
type slowToCreate struct{ store.Store }

func (s slowToCreate) Create(ctx context.Context, r store.Run, lines []record.Line, messages []store.Outgoing) error {
	time.Sleep(100 * time.Millisecond)
	return s.Store.Create(ctx, r, lines, messages)
}

// Two ask for the same release at the same time, as two pipelines may: one begins,
// the other is told so, and takes nothing from the one that has begun.
func TestOfTwoReleasesAtOnceOneBegins(t *testing.T) {
	p, h := twoVersions(t, func(s store.Store) store.Store { return slowToCreate{s} })
	answers := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := p.Release(t.Context(), "shop", server.Candidate{Version: "v2"})
			answers <- err
		}()
	}
	first, second := <-answers, <-answers
	if first != nil {
		first, second = second, first
	}
	if first != nil || !errors.Is(second, store.ErrActive) {
		t.Errorf("the releases are answered with %v and %v, want one begun and one told of it", first, second)
	}
	if s, err := h.parts.Workload.Observe(t.Context()); err != nil || s.Canary.Version != "v2" {
		t.Errorf("the canary is %+v (%v), want v2's", s.Canary, err)
	}
	if err := h.parts.Workload.Apply(t.Context(), workload.Want{Stable: 100, Canary: 25}); err != nil {
		t.Errorf("the run cannot have its canary: %v", err)
	}
}

// outOfReach is a store that is asked for the run that goes on once, and from then
// on answers nothing until it is back.
type outOfReach struct {
	store.Store
	asked, back atomic.Bool
	calls       atomic.Int32 // that are not answered
}

func (s *outOfReach) away() error {
	if s.asked.Load() && !s.back.Load() {
		s.calls.Add(1)
		return store.ErrUnavailable
	}
	return nil
}

func (s *outOfReach) Active(ctx context.Context, rollout string) (store.Run, error) {
	if err := s.away(); err != nil {
		return store.Run{}, err
	}
	run, err := s.Store.Active(ctx, rollout)
	if err == nil {
		s.asked.Store(true)
	}
	return run, err
}

func (s *outOfReach) Load(ctx context.Context, run string) (store.Run, error) {
	if err := s.away(); err != nil {
		return store.Run{}, err
	}
	return s.Store.Load(ctx, run)
}

func (s *outOfReach) Intents(ctx context.Context, run string) ([]rollout.Intent, error) {
	if err := s.away(); err != nil {
		return nil, err
	}
	return s.Store.Intents(ctx, run)
}

func (s *outOfReach) AddIntent(ctx context.Context, run string, i rollout.Intent) error {
	if err := s.away(); err != nil {
		return err
	}
	return s.Store.AddIntent(ctx, run, i)
}

func (s *outOfReach) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	if err := s.away(); err != nil {
		return 0, err
	}
	return s.Store.Save(ctx, r, c)
}

// leftBehind opens a program that finds a run to v2 in a state, with the canary at
// its want and the router at its weight, and whose store is out of reach as soon as
// the program has found it.
func leftBehind(t *testing.T, want workload.Want, weight int, in func(*engine.State)) (*outOfReach, *program, *home, store.Run) {
	t.Helper()
	st := &outOfReach{}
	p, h := twoVersions(t, func(s store.Store) store.Store { st.Store = s; return newUrgentStore(st) })
	v2, err := h.candidate(server.Candidate{Version: "v2"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.parts.Workload.BeginRun(v2); err != nil {
		t.Fatal(err)
	}
	run, err := h.create(t.Context(), v2, "v1", "ana")
	if err != nil {
		t.Fatal(err)
	}
	in(&run.State)
	if run.Version, err = p.store.Save(t.Context(), run, store.Change{}); err != nil {
		t.Fatal(err)
	}
	if err := h.parts.Workload.Apply(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	var s workload.Status
	for begun := time.Now(); s.Stable.Ready() == 0 || s.Canary.Ready() == 0; time.Sleep(time.Millisecond) {
		if s, err = h.parts.Workload.Observe(t.Context()); err != nil || time.Since(begun) > 30*time.Second {
			t.Fatalf("both versions are to be ready: %+v (%v)", s, err)
		}
	}
	split := traffic.Split{Weight: weight, Promoted: want.Promoted, Stable: s.Stable.Endpoints(), Canary: s.Canary.Endpoints()}
	if want.Promoted {
		split.Stable = split.Canary
	}
	if err := h.parts.Router.Apply(t.Context(), split); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&daemon{program: p}).keep(ctx, h)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return st, p, h, run
}

// ends waits for a run's end.
func ends(t *testing.T, p *program, run string) engine.Status {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		r, err := p.store.Load(t.Context(), run)
		switch {
		case err == nil && r.State.Ended() && r.Archived:
			return r.State.Status
		case time.Since(begun) > 30*time.Second:
			t.Fatalf("the run has not ended: %+v (%v)", r.State, err)
		}
	}
}

// A run is being promoted and the store cannot be read for a while: what has become
// stable is not replaced by the version before, and the promotion is gone on with
// when the store is back.
func TestAStoreThatCannotBeReadUndoesNoRun(t *testing.T) {
	st, p, h, run := leftBehind(t, workload.Want{Stable: 100, Canary: 100, Promoted: true}, 0, func(s *engine.State) {
		s.Status, s.Stage, s.CanaryAsked, s.At = engine.Promoting, engine.Draining, true, time.Now()
	})
	for begun := time.Now(); st.calls.Load() < 8; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the store was asked %d times", st.calls.Load())
		}
	}
	if o, err := h.parts.Router.Observe(t.Context()); err != nil || !o.Promoted {
		t.Errorf("the router is at %+v (%v), want the tested instances as stable", o, err)
	}
	if s, err := h.parts.Workload.Observe(t.Context()); err != nil || s.Stable.Ready() == 0 {
		t.Errorf("the old version is at %+v (%v), which is written down nowhere", s.Stable, err)
	}
	st.back.Store(true)
	if got := ends(t, p, run.ID); got != engine.Promoted {
		t.Errorf("the run ends %s", got)
	}
	if got := h.parts.Workload.Serving().Version; got != "v2" {
		t.Errorf("%s serves, want v2", got)
	}
}

// A program finds a run, and a moment later the store can neither be read nor
// written: a person's rollback is carried out at once all the same, and written
// down when the store is back.
func TestARollbackIsHeardIfTheStoreIsLostAtTheStart(t *testing.T) {
	st, p, h, run := leftBehind(t, workload.Want{Stable: 100, Canary: 25}, 25, func(s *engine.State) {
		s.Status, s.CanaryAsked, s.At, s.Seen = engine.Progressing, true, time.Now(), 25
	})
	for begun := time.Now(); st.calls.Load() < 5; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the store was asked %d times", st.calls.Load())
		}
	}
	weight := func() int {
		o, err := h.parts.Router.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return o.Weight
	}
	if got := weight(); got != 25 {
		t.Fatalf("the weight is %d before anybody asks for anything, want 25", got)
	}
	c := server.NewClient(server.InProcess(server.New(p, "test"), "ana"))
	defer c.Close()
	begun := time.Now()
	said, err := c.Ask(t.Context(), run.ID, server.IntentRequest{Intent: rollout.Rollback, Reason: "users complain"})
	if err != nil || !said.Accepted {
		t.Errorf("the rollback is answered with %+v (%v)", said, err)
	}
	for ; weight() != 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatal("the canary keeps its traffic")
		}
	}
	if st.back.Load() || st.calls.Load() == 0 {
		t.Error("the store is within reach")
	}
	t.Logf("the canary has no traffic after %s", time.Since(begun))
	st.back.Store(true)
	if got := ends(t, p, run.ID); got != engine.RolledBack {
		t.Errorf("the run ends %s", got)
	}
	if r, err := p.store.Load(t.Context(), run.ID); err != nil || len(r.State.Cause) == 0 || !strings.Contains(r.State.Cause[0].Message, "users complain") {
		t.Errorf("the reason is stored as %+v (%v)", r.State.Cause, err)
	}
}

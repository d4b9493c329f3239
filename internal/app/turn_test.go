package app

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
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
	if err := h.settle(t.Context()); err != nil {
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

// flapping is a store that answers at first, and then for a while not at all.
type flapping struct {
	store.Store
	calls chan struct{} // of Active that are not answered
	once  bool
}

func (s *flapping) Active(ctx context.Context, rollout string) (store.Run, error) {
	run, err := s.Store.Active(ctx, rollout)
	switch {
	case err != nil:
		return run, err
	case !s.once:
		s.once = true // settle is told of the run
		return run, nil
	}
	s.calls <- struct{}{}
	return store.Run{}, store.ErrUnavailable
}

// A run goes on and the store cannot be read for a while: the canary keeps its
// traffic and its instances, and what has become stable is not replaced by the
// version before.
func TestAStoreThatCannotBeReadUndoesNoRun(t *testing.T) {
	st := &flapping{calls: make(chan struct{})}
	p, h := twoVersions(t, func(s store.Store) store.Store { st.Store = s; return st })
	v2, err := h.candidate(server.Candidate{Version: "v2"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.parts.Workload.BeginRun(v2); err != nil {
		t.Fatal(err)
	}
	candidate, err := json.Marshal(v2)
	if err != nil {
		t.Fatal(err)
	}
	plan := engine.PlanOf(h.rollout.Spec)
	run := store.Run{ID: "shop-1", Rollout: "shop", Spec: h.rollout, Plan: plan, StableVersion: "v1", CanaryVersion: "v2", Candidate: candidate, State: engine.Start(plan)}
	if err := p.store.Create(t.Context(), run, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := h.parts.Workload.Apply(t.Context(), workload.Want{Canary: 100, Promoted: true}); err != nil {
		t.Fatal(err)
	}
	s, err := h.parts.Workload.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.parts.Router.Apply(t.Context(), traffic.Split{Promoted: true, Stable: s.Canary.Endpoints()}); err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.serve(ctx, nil)
	}()
	for range 3 { // what is done after an answer that did not come is done by the next
		<-st.calls
	}
	if o, err := h.parts.Router.Observe(t.Context()); err != nil || !o.Promoted {
		t.Errorf("the router is at %+v (%v), want the tested instances as stable", o, err)
	}
	if got := h.parts.Workload.Serving().Version; got != "v2" {
		t.Errorf("%s serves, want v2 as before", got)
	}
	stop()
	select {
	case <-st.calls:
	case <-ended:
	}
	<-ended
}

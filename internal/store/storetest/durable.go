package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

func testRestart(t *testing.T, open func(*testing.T, string) store.Store) {
	dir := t.TempDir()
	s := open(t, dir)
	r := create(t, s, "shop", "a", Line("begin"))
	must(t, s.AddIntent(ctx(t), "a", rollout.Intent{ID: "i", Kind: rollout.Pause, Actor: "li"}))
	must(t, s.AddIntent(ctx(t), "a", rollout.Intent{ID: "j", Kind: rollout.Pause, Actor: "li"}))
	r.State.Phase = 1
	_, err := s.Save(ctx(t), r, store.Change{
		Lines: []record.Line{Line("x")}, Messages: []store.Outgoing{message("m", "a", time.Time{}), message("n", "a", time.Time{})}, Answered: []engine.Answer{{ID: "i", Accepted: true}},
	})
	must(t, err)
	must(t, s.Settle(ctx(t), "m", true, time.Time{}, ""))
	want, err := s.Load(ctx(t), "a")
	must(t, err)
	must(t, s.Close())

	s = open(t, dir)
	defer s.Close()
	got, err := s.Load(ctx(t), "a")
	must(t, err)
	same(t, "loaded", got, want)
	lines, err := s.Lines(ctx(t), "a", 0, 0)
	must(t, err)
	open1, err := s.Intents(ctx(t), "a")
	must(t, err)
	due, err := s.Due(ctx(t), recordtest.Start(), 0)
	must(t, err)
	if len(lines) != 4 || len(open1) != 1 || open1[0].ID != "j" || len(due) != 1 || due[0].ID != "n" {
		t.Errorf("%d lines, open intents %s, due %s", len(lines), asJSON(t, open1), asJSON(t, due))
	}
	if a, err := s.Answer(ctx(t), "a", "i"); err != nil || !a.Accepted {
		t.Errorf("answer %+v, %v", a, err)
	}
	is(t, "a second run", s.Create(ctx(t), NewRun(t, "shop", "b"), nil, nil), store.ErrActive)
	if _, err := s.Save(ctx(t), got, store.Change{}); err != nil {
		t.Errorf("the version from before the restart: %v", err)
	}
}

func testTwoHandles(t *testing.T, open func(*testing.T, string) store.Store) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	defer a.Close()
	defer b.Close()
	create(t, a, "shop", "r")
	var wg sync.WaitGroup
	const each = 20
	for _, s := range []store.Store{a, b} {
		wg.Go(func() {
			for range each {
				for {
					r, err := s.Load(ctx(t), "r")
					if err != nil {
						t.Error(err)
						return
					}
					r.State.Phase++
					if _, err = s.Save(ctx(t), r, store.Change{}); err == nil {
						break
					} else if !errors.Is(err, store.ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	r, err := a.Load(ctx(t), "r")
	must(t, err)
	if got := r.State.Phase - NewRun(t, "shop", "r").State.Phase; got != 2*each {
		t.Errorf("%d saves are there, want %d", got, 2*each)
	}
	is(t, "a second run through the other handle", b.Create(ctx(t), NewRun(t, "shop", "q"), nil, nil), store.ErrActive)
}

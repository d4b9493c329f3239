package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

func testRoundTrip(t *testing.T, s store.Store) {
	want := NewRun(t, "shop", "a")
	must(t, s.Create(ctx(t), want, nil, nil))
	got, err := s.Load(ctx(t), "a")
	must(t, err)
	want.Number, want.Version = 1, got.Version
	same(t, "loaded", got, want)
	active, err := s.Active(ctx(t), "shop")
	must(t, err)
	same(t, "active", active, want)
	if len(asJSON(t, got.State.Analysis)) < 200 {
		t.Error("the state's analysis is nearly empty; the suite shows less than it should")
	}
	ended := end(t, s, got)
	if !ended.EndedAt.Equal(recordtest.Start().Add(time.Hour)) {
		t.Errorf("ended at %v", ended.EndedAt)
	}
}

func testList(t *testing.T, s store.Store) {
	for i := range 5 {
		end(t, s, create(t, s, "shop", fmt.Sprintf("shop-%d", i)))
	}
	create(t, s, "blog", "blog-0")
	all, err := s.Runs(ctx(t), "", 0)
	must(t, err)
	var ids []string
	for _, r := range all {
		ids = append(ids, fmt.Sprintf("%s %d", r.ID, r.Number))
		if len(r.State.Analysis.Checks) > 0 {
			t.Errorf("%s is listed with its analysis", r.ID)
		}
	}
	same(t, "all", ids, []string{"blog-0 1", "shop-4 5", "shop-3 4", "shop-2 3", "shop-1 2", "shop-0 1"})
	two, err := s.Runs(ctx(t), "shop", 2)
	must(t, err)
	if len(two) != 2 || two[0].ID != "shop-4" || two[1].ID != "shop-3" {
		t.Errorf("the newest two of shop are %s", asJSON(t, two))
	}
	if two[0].State.Status != engine.RolledBack || two[0].EndedAt.IsZero() || two[0].CanaryVersion != "v2" {
		t.Errorf("a listed run lacks what it is: %s", asJSON(t, two[0]))
	}
	none, err := s.Runs(ctx(t), "nothing", 0)
	if err != nil || len(none) != 0 {
		t.Errorf("runs of an unknown rollout: %v, %v", none, err)
	}
}

func testActive(t *testing.T, s store.Store) {
	first := create(t, s, "shop", "a")
	is(t, "a second run", s.Create(ctx(t), NewRun(t, "shop", "b"), []record.Line{Line("b")}, []store.Outgoing{message("m", "b", time.Time{})}), store.ErrActive)
	if _, err := s.Load(ctx(t), "b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the refused run: %v", err)
	}
	if due, err := s.Due(ctx(t), recordtest.Start(), 0); err != nil || len(due) != 0 {
		t.Errorf("the refused run left messages: %v, %v", due, err)
	}
	create(t, s, "blog", "c")
	end(t, s, first)
	_, err := s.Active(ctx(t), "shop")
	is(t, "active after the end", err, store.ErrNotFound)
	create(t, s, "shop", "b")
}

func testConflict(t *testing.T, s store.Store) {
	old := create(t, s, "shop", "a", Line("begin"))
	r := old
	r.State.Phase = 1
	version, err := s.Save(ctx(t), r, store.Change{Lines: []record.Line{Line("one")}})
	must(t, err)
	if version == old.Version {
		t.Error("a save keeps the version")
	}
	old.State.Phase = 2
	_, err = s.Save(ctx(t), old, store.Change{Lines: []record.Line{Line("two")}, Messages: []store.Outgoing{message("m", "a", time.Time{})}})
	is(t, "a save against the old version", err, store.ErrConflict)
	got, err := s.Load(ctx(t), "a")
	must(t, err)
	if got.State.Phase != 1 || got.Version != version {
		t.Errorf("phase %d at version %d, want 1 at %d", got.State.Phase, got.Version, version)
	}
	lines, err := s.Lines(ctx(t), "a", 0, 0)
	must(t, err)
	if len(lines) != 2 {
		t.Errorf("%d lines, want 2", len(lines))
	}
	if due, err := s.Due(ctx(t), recordtest.Start(), 0); err != nil || len(due) != 0 {
		t.Errorf("the refused save left messages: %v, %v", due, err)
	}
}

func testSave(t *testing.T, s store.Store) {
	r := create(t, s, "shop", "a", Line("begin"))
	must(t, s.AddIntent(ctx(t), "a", rollout.Intent{ID: "i", Kind: rollout.Pause, Actor: "li", At: recordtest.Start()}))
	r.State.Phase = 1
	r.State.Paused = &engine.Paused{By: "li"}
	want := engine.Answer{ID: "i", Accepted: true, Message: "pause accepted"}
	version, err := s.Save(ctx(t), r, store.Change{
		Lines: []record.Line{Line("x"), Line("y")}, Messages: []store.Outgoing{message("m", "a", recordtest.Start())}, Answered: []engine.Answer{want},
	})
	must(t, err)
	got, err := s.Load(ctx(t), "a")
	must(t, err)
	r.Version = version
	same(t, "loaded", got, r)
	lines, err := s.Lines(ctx(t), "a", 0, 0)
	must(t, err)
	if len(lines) != 4 { // begin, the intent, x, y
		t.Errorf("%d lines, want 4", len(lines))
	}
	a, err := s.Answer(ctx(t), "a", "i")
	must(t, err)
	same(t, "answer", a, want)
	due, err := s.Due(ctx(t), recordtest.Start(), 0)
	must(t, err)
	if len(due) != 1 || due[0].ID != "m" {
		t.Errorf("due %s", asJSON(t, due))
	}
	// The new version is good for the next save.
	if _, err := s.Save(ctx(t), got, store.Change{}); err != nil {
		t.Error(err)
	}
}

func testArchived(t *testing.T, s store.Store) {
	end(t, s, create(t, s, "shop", "a"))
	must(t, s.SetArchived(ctx(t), "a", "/archive/a/report.html"))
	got, err := s.Load(ctx(t), "a")
	must(t, err)
	if !got.Archived || got.Report != "/archive/a/report.html" {
		t.Errorf("archived %v, report %q", got.Archived, got.Report)
	}
	is(t, "an unknown run", s.SetArchived(ctx(t), "b", ""), store.ErrNotFound)
}

func testNotFound(t *testing.T, s store.Store) {
	_, err := s.Load(ctx(t), "a")
	is(t, "Load", err, store.ErrNotFound)
	_, err = s.Active(ctx(t), "a")
	is(t, "Active", err, store.ErrNotFound)
	_, err = s.Save(ctx(t), NewRun(t, "shop", "a"), store.Change{})
	is(t, "Save", err, store.ErrNotFound)
	is(t, "Append", s.Append(ctx(t), "a", []record.Line{Line("x")}), store.ErrNotFound)
	_, err = s.Lines(ctx(t), "a", 0, 0)
	is(t, "Lines", err, store.ErrNotFound)
	is(t, "AddIntent", s.AddIntent(ctx(t), "a", rollout.Intent{ID: "1"}), store.ErrNotFound)
	_, err = s.Intents(ctx(t), "a")
	is(t, "Intents", err, store.ErrNotFound)
	_, err = s.Answer(ctx(t), "a", "1")
	is(t, "Answer", err, store.ErrNotFound)
}

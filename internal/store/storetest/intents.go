package storetest

import (
	"testing"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

func testIntents(t *testing.T, s store.Store) {
	r := create(t, s, "shop", "a")
	for _, id := range []string{"1", "2", "1", "3"} {
		must(t, s.AddIntent(ctx(t), "a", rollout.Intent{ID: id, Kind: rollout.Pause, Actor: "li", At: recordtest.Start()}))
	}
	open, err := s.Intents(ctx(t), "a")
	must(t, err)
	if len(open) != 3 || open[0].ID != "1" || open[2].ID != "3" {
		t.Fatalf("open: %s", asJSON(t, open))
	}
	lines, err := s.Lines(ctx(t), "a", 0, 0)
	must(t, err)
	if len(lines) != 3 {
		t.Errorf("%d lines for three intents", len(lines))
	}
	_, err = s.Answer(ctx(t), "a", "2")
	is(t, "an answer before there is one", err, store.ErrNotFound)
	_, err = s.Save(ctx(t), r, store.Change{Answered: []engine.Answer{{ID: "2", Accepted: false, Message: "no"}, {ID: "1", Accepted: true}}})
	must(t, err)
	open, err = s.Intents(ctx(t), "a")
	must(t, err)
	if len(open) != 1 || open[0].ID != "3" {
		t.Errorf("open after the answers: %s", asJSON(t, open))
	}
	complaint := rollout.Intent{ID: "4", Kind: rollout.Complain, Actor: "li", Reason: "no basket", Arm: rollout.Canary, At: recordtest.Start()}
	must(t, s.AddIntent(ctx(t), "a", complaint))
	open, err = s.Intents(ctx(t), "a")
	must(t, err)
	if len(open) != 2 || open[1].Arm != rollout.Canary || open[1].Reason != complaint.Reason {
		t.Errorf("open with a complaint: %s", asJSON(t, open))
	}
	_, err = s.Save(ctx(t), loaded(t, s), store.Change{Answered: []engine.Answer{{ID: "4", Accepted: true}}})
	must(t, err)
	// An intent that was answered is not heard again.
	must(t, s.AddIntent(ctx(t), "a", rollout.Intent{ID: "2", Kind: rollout.Pause, Actor: "li", At: recordtest.Start()}))
	if open, _ = s.Intents(ctx(t), "a"); len(open) != 1 {
		t.Errorf("an answered intent is open again: %s", asJSON(t, open))
	}
	a, err := s.Answer(ctx(t), "a", "2")
	must(t, err)
	if a.Accepted || a.Message != "no" {
		t.Errorf("answer %+v", a)
	}
}

// loaded is the run as it is stored now.
func loaded(t *testing.T, s store.Store) store.Run {
	t.Helper()
	r, err := s.Load(ctx(t), "a")
	must(t, err)
	return r
}

func testEnded(t *testing.T, s store.Store) {
	r := create(t, s, "shop", "a")
	must(t, s.AddIntent(ctx(t), "a", rollout.Intent{ID: "early", Kind: rollout.Rollback, Actor: "li"}))
	end(t, s, r)
	is(t, "an intent after the end", s.AddIntent(ctx(t), "a", rollout.Intent{ID: "late", Kind: rollout.Rollback, Actor: "li"}), store.ErrEnded)
	lines, err := s.Lines(ctx(t), "a", 0, 0)
	must(t, err)
	if len(lines) != 1 {
		t.Errorf("%d lines, want the early intent's only", len(lines))
	}
	// What happened still belongs into the record.
	must(t, s.Append(ctx(t), "a", []record.Line{Line("delivered")}))
}

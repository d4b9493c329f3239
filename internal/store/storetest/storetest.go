// Package storetest is the conformance suite of the store port. Every adapter's
// tests call Run; one that keeps what it stores beyond the process calls
// RunDurable too.
package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// Run asserts the port's contract on empty stores made by open, which closes
// them with the test.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// RunDurable asserts that what a store acknowledged is there when it is opened
// again, and that two handles on the same folder see and respect each other.
func RunDurable(t *testing.T, open func(t *testing.T, dir string) store.Store) {
	t.Run("what was acknowledged is there after a restart", func(t *testing.T) { testRestart(t, open) })
	t.Run("two handles respect each other", func(t *testing.T) { testTwoHandles(t, open) })
}

var cases = []struct {
	name string
	test func(*testing.T, store.Store)
}{
	{"a run comes back as it was stored", testRoundTrip},
	{"runs are numbered for each rollout and listed newest first", testList},
	{"a rollout has one run that has not ended", testActive},
	{"a save against an old version changes nothing", testConflict},
	{"a save is whole: state, lines, messages and answers", testSave},
	{"lines keep their order and place", testLines},
	{"an intent is heard once, recorded once and answered", testIntents},
	{"a run that has ended takes no intent", testEnded},
	{"a message is put in once, retried and settled", testOutbox},
	{"the archive's place is noted", testArchived},
	{"what is not there is not found", testNotFound},
	{"of many savers at once one wins each version", testConcurrentSaves},
	{"of many creators at once one wins", testConcurrentCreates},
	{"lines from many writers are all there once", testConcurrentLines},
	{"a context that is over changes nothing", testContext},
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return c
}

// NewRun is a run about to be created, with a state as rich as a real one's.
func NewRun(t testing.TB, rolloutName, id string) store.Run {
	t.Helper()
	_, state, err := recordtest.World{Seed: 1, Looks: 30, Rollout: rolloutName}.Run()
	if err != nil {
		t.Fatal(err)
	}
	plan := recordtest.ShortPlan()
	return store.Run{
		ID: id, Rollout: rolloutName, Plan: plan,
		Spec:          rollout.Rollout{APIVersion: rollout.APIVersion, Kind: rollout.Kind, Metadata: rollout.Metadata{Name: rolloutName}, Spec: rollout.Spec{Plan: plan.Plan, Analysis: plan.Analysis}},
		StableVersion: "v1", CanaryVersion: "v2", Candidate: json.RawMessage(`{"version":"v2"}`), Actor: "maria",
		StartedAt: recordtest.Start(), State: state,
	}
}

// Line is a line of a record that says what.
func Line(what string) record.Line {
	line, err := record.Encode(record.Effect{Effect: what, At: recordtest.Start(), Actor: record.Serin})
	if err != nil {
		panic(err) // a constant shape
	}
	return line
}

func message(id, run string, notUntil time.Time) store.Outgoing {
	return store.Outgoing{ID: id, To: "team", NotUntil: notUntil, Message: rollout.Message{ID: id, Run: run, Event: rollout.PhaseBegan, Text: "hello", At: recordtest.Start()}}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := asJSON(t, got), asJSON(t, want); g != w {
		t.Errorf("%s\ngot  %.600s\nwant %.600s", what, g, w)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func create(t testing.TB, s store.Store, rolloutName, id string, lines ...record.Line) store.Run {
	t.Helper()
	must(t, s.Create(ctx(t), NewRun(t, rolloutName, id), lines, nil))
	r, err := s.Load(ctx(t), id)
	must(t, err)
	return r
}

// end saves a run as ended.
func end(t testing.TB, s store.Store, r store.Run) store.Run {
	t.Helper()
	r.State.Status, r.EndedAt = engine.RolledBack, recordtest.Start().Add(time.Hour)
	_, err := s.Save(ctx(t), r, store.Change{})
	must(t, err)
	r, err = s.Load(ctx(t), r.ID)
	must(t, err)
	return r
}

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

func testLines(t *testing.T, s store.Store) {
	create(t, s, "shop", "a", Line("0"), Line("1"))
	create(t, s, "blog", "b", Line("other"))
	must(t, s.Append(ctx(t), "a", []record.Line{Line("2"), Line("3")}))
	must(t, s.Append(ctx(t), "a", nil))
	odd := record.Line("{\"effect\":\"\u2028<&>\\u0000\U0001F600\"}")
	must(t, s.Append(ctx(t), "a", []record.Line{odd}))
	want := []record.Line{Line("0"), Line("1"), Line("2"), Line("3"), odd}
	for _, c := range []struct{ after, limit, from, to int }{{0, 0, 0, 5}, {-3, 0, 0, 5}, {2, 0, 2, 5}, {1, 2, 1, 3}, {4, 9, 4, 5}, {5, 0, 5, 5}, {99, 0, 5, 5}} {
		got, err := s.Lines(ctx(t), "a", c.after, c.limit)
		must(t, err)
		if !bytes.Equal(recordtest.Join(got), recordtest.Join(want[c.from:c.to])) {
			t.Errorf("after %d, limit %d: %s", c.after, c.limit, recordtest.Join(got))
		}
	}
}

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

func testOutbox(t *testing.T, s store.Store) {
	now := recordtest.Start()
	r := create(t, s, "shop", "a")
	_, err := s.Save(ctx(t), r, store.Change{Messages: []store.Outgoing{
		message("late", "a", now.Add(time.Minute)), message("b", "a", now), message("a", "a", now.Add(-time.Minute)), message("zero", "a", time.Time{}), message("a", "a", now),
	}})
	must(t, err)
	due := func(at time.Time, limit int) (ids []string) {
		t.Helper()
		list, err := s.Due(ctx(t), at, limit)
		must(t, err)
		for _, m := range list {
			ids = append(ids, m.ID)
			if m.To != "team" || m.Message.Text != "hello" || m.Message.Run != "a" {
				t.Errorf("message %s came back as %s", m.ID, asJSON(t, m))
			}
		}
		return ids
	}
	same(t, "due", due(now, 0), []string{"zero", "a", "b"})
	same(t, "due, at most two", due(now, 2), []string{"zero", "a"})
	must(t, s.Settle(ctx(t), "zero", true, time.Time{}, ""))
	must(t, s.Settle(ctx(t), "a", false, now.Add(time.Hour), "timeout"))
	must(t, s.Settle(ctx(t), "b", false, time.Time{}, "rejected"))
	same(t, "due after settling", due(now.Add(time.Minute), 0), []string{"late"})
	list, err := s.Due(ctx(t), now.Add(2*time.Hour), 0)
	must(t, err)
	if len(list) != 2 || list[1].ID != "a" || list[1].Attempts != 1 || !list[1].NotUntil.Equal(now.Add(time.Hour)) {
		t.Errorf("the message to try again: %s", asJSON(t, list))
	}
	// What was delivered or given up is never put in again.
	r, err = s.Load(ctx(t), "a")
	must(t, err)
	_, err = s.Save(ctx(t), r, store.Change{Messages: []store.Outgoing{message("zero", "a", now), message("b", "a", now)}})
	must(t, err)
	same(t, "due after a repeated save", due(now, 0), []string(nil))
	is(t, "an unknown message", s.Settle(ctx(t), "nothing", true, time.Time{}, ""), store.ErrNotFound)
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

func testConcurrentSaves(t *testing.T, s store.Store) {
	create(t, s, "shop", "a")
	const savers, each = 6, 15
	var saved atomic.Int64
	var wg sync.WaitGroup
	for n := range savers {
		wg.Go(func() {
			for i := range each {
				for {
					r, err := s.Load(ctx(t), "a")
					if err != nil {
						t.Error(err)
						return
					}
					r.State.Phase++
					_, err = s.Save(ctx(t), r, store.Change{Lines: []record.Line{Line(fmt.Sprintf("%d/%d", n, i))}})
					if errors.Is(err, store.ErrConflict) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					saved.Add(1)
					break
				}
			}
		})
	}
	wg.Wait()
	first := NewRun(t, "shop", "a").State.Phase
	r, err := s.Load(ctx(t), "a")
	must(t, err)
	lines, err := s.Lines(ctx(t), "a", 0, 0)
	must(t, err)
	if r.State.Phase-first != savers*each || len(lines) != savers*each || saved.Load() != savers*each {
		t.Errorf("%d saves: the state counts %d, the record %d", saved.Load(), r.State.Phase-first, len(lines))
	}
	unique(t, lines)
}

func testConcurrentCreates(t *testing.T, s store.Store) {
	var won atomic.Int64
	var wg sync.WaitGroup
	run := NewRun(t, "shop", "")
	for n := range 8 {
		wg.Go(func() {
			r := run
			r.ID = fmt.Sprint(n)
			switch err := s.Create(ctx(t), r, nil, nil); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrActive):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d runs were created", won.Load())
	}
}

func testConcurrentLines(t *testing.T, s store.Store) {
	create(t, s, "shop", "a")
	create(t, s, "blog", "b")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 10 {
				run := []string{"a", "b"}[n%2]
				if err := s.Append(ctx(t), run, []record.Line{Line(fmt.Sprintf("%d/%d", n, i)), Line(fmt.Sprintf("%d/%d'", n, i))}); err != nil {
					t.Error(err)
				}
				if _, err := s.Lines(ctx(t), run, 0, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, run := range []string{"a", "b"} {
		lines, err := s.Lines(ctx(t), run, 0, 0)
		must(t, err)
		if len(lines) != 80 {
			t.Errorf("%d lines in %s, want 80", len(lines), run)
		}
		unique(t, lines)
	}
}

func unique(t testing.TB, lines []record.Line) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range lines {
		if seen[string(l)] {
			t.Errorf("%s is there twice", l)
		}
		seen[string(l)] = true
	}
}

func testContext(t *testing.T, s store.Store) {
	r := create(t, s, "shop", "a")
	over, cancel := context.WithCancel(ctx(t))
	cancel()
	r.State.Phase = 2
	_, err := s.Save(over, r, store.Change{Lines: []record.Line{Line("x")}})
	got, err2 := s.Load(ctx(t), "a")
	must(t, err2)
	if (err == nil) != (got.State.Phase == 2) {
		t.Errorf("Save says %v and the state is at phase %d", err, got.State.Phase)
	}
}

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

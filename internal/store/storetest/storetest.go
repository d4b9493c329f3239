// Package storetest is the conformance suite of the store port. Every adapter's
// tests call Run; one that keeps what it stores beyond the process calls
// RunDurable too.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
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
	{"no receiver's messages hide another's", testOutboxShares},
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

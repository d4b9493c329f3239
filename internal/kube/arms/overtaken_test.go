package arms

import (
	"context"
	"strings"
	"testing"

	"serin.dev/serin/internal/rollout"
)

// table is a route and its targets in memory.
type table struct {
	now                      Reading
	stable, canary, baseline string
	// fresh is how many of the baseline's endpoints are ready.
	fresh int
}

func (f *table) Read(context.Context) (Reading, error) { return f.now, nil }
func (f *table) Check(context.Context) error           { return nil }
func (f *table) Prepare(context.Context, bool) error   { return nil }
func (f *table) Set(_ context.Context, weight, baseline int) error {
	f.write("", weight)
	f.now.Baseline = baseline
	return nil
}

// write sets the weight in somebody's name.
func (f *table) write(who string, weight int) {
	f.now = Reading{Weight: weight, Least: weight, Writer: who, Revision: f.now.Revision + "+"}
}

func (f *table) Held(context.Context) (string, string, error) { return f.stable, f.canary, nil }
func (f *table) Hold(_ context.Context, arm rollout.Arm, group string) error {
	switch arm {
	case rollout.Stable:
		f.stable = group
	case rollout.Baseline:
		f.baseline = group
	default:
		f.canary = group
	}
	return nil
}

func (f *table) HeldBaseline(context.Context) (string, error) { return f.baseline, nil }

func (f *table) Reach(_ context.Context, arm rollout.Arm) (map[string]int, error) {
	switch arm {
	case rollout.Stable:
		if f.stable == "" {
			return map[string]int{"old": 2}, nil
		}
		return map[string]int{f.stable: 2}, nil
	case rollout.Baseline:
		return map[string]int{f.baseline: f.fresh}, nil
	}
	return map[string]int{f.canary: 1}, nil
}

// A weight that somebody sets between a look and what it does is told before it
// is taken back.
func TestAWeightSetMeanwhileIsToldBeforeItIsRaised(t *testing.T) {
	f := &table{}
	r := New(f, f, nil)
	at := func(weight int) Split { return Split{Weight: weight, Stable: "old", Canary: "new"} }
	apply := func(weight int) {
		t.Helper()
		if err := r.Apply(t.Context(), at(weight)); err != nil {
			t.Fatal(err)
		}
	}
	observe := func() Observed {
		t.Helper()
		o, err := r.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	apply(0)
	apply(20)
	if o := observe(); o.ChangedBy != "" {
		t.Fatalf("observed %+v after Serin's own write", o)
	}
	for _, meanwhile := range []int{0, 10} {
		f.write("gitops", meanwhile)
		for range 2 {
			if err := r.Apply(t.Context(), at(20)); err == nil || !strings.Contains(err.Error(), "gitops") || f.now.Weight != meanwhile {
				t.Fatalf("Apply: %v, the weight is %d; want it left at %d and gitops named", err, f.now.Weight, meanwhile)
			}
		}
		if o := observe(); o.ChangedBy != "gitops" || o.Weight != meanwhile {
			t.Fatalf("observed %+v, want gitops and %d", o, meanwhile)
		}
		// Whoever asks now knows of it.
		apply(20)
		if f.now.Weight != 20 {
			t.Fatalf("the weight is %d, want it taken back to 20", f.now.Weight)
		}
	}
	// The way back waits for no look.
	f.write("gitops", 50)
	apply(0)
	if f.now.Weight != 0 {
		t.Errorf("the weight is %d, want 0", f.now.Weight)
	}
}

// A baseline gets requests while there is somebody to answer them, and is in
// nobody's way.
func TestABaselineIsGivenNoMoreThanItCanAnswer(t *testing.T) {
	f := &table{}
	r := New(f, f, nil)
	apply := func(s Split, weight, baseline int) {
		t.Helper()
		if s.Stable == "" {
			s.Stable, s.Canary, s.Baseline = "old", "new", "old-baseline"
		}
		if err := r.Apply(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		o, err := r.Observe(t.Context())
		if err != nil || o.Weight != weight || o.Baseline != baseline {
			t.Fatalf("after %+v: %+v (%v), want %d %% and %d %%", s, o, err, weight, baseline)
		}
	}
	apply(Split{}, 0, 0)
	apply(Split{Weight: 5, BaselineWeight: 5}, 5, 0) // it has no endpoint yet
	f.fresh = 1
	apply(Split{Weight: 5, BaselineWeight: 5}, 5, 5)
	apply(Split{Weight: 25, BaselineWeight: 25}, 25, 25)
	f.fresh = 0 // it died, and nobody else knows yet
	apply(Split{Weight: 25, BaselineWeight: 25}, 25, 0)
	f.fresh = 1
	apply(Split{Weight: 25, BaselineWeight: 25}, 25, 25)
	apply(Split{Weight: 10, BaselineWeight: 25}, 10, 25)
	apply(Split{Weight: 10}, 10, 0) // it is given up
	apply(Split{Weight: 10, BaselineWeight: 10}, 10, 10)
	apply(Split{Weight: 0, BaselineWeight: 0}, 0, 0)
	if err := r.Rest(t.Context()); err != nil || f.baseline != "" {
		t.Errorf("at rest (%v) the baseline is held to %q", err, f.baseline)
	}
	f.now.NoBaseline = "a rule names none"
	if err := r.Prepare(t.Context()); !Refused(err) {
		t.Errorf("Prepare with a rule that names no baseline: %v, want a refusal", err)
	}
	apply(Split{Weight: 5, BaselineWeight: 5}, 5, 0)
}

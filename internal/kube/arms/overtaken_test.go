package arms

import (
	"context"
	"strings"
	"testing"

	"serin.dev/serin/internal/rollout"
)

// table is a route and its targets in memory.
type table struct {
	now            Reading
	stable, canary string
}

func (f *table) Read(context.Context) (Reading, error) { return f.now, nil }
func (f *table) Check(context.Context) error           { return nil }
func (f *table) Prepare(context.Context) error         { return nil }
func (f *table) Set(_ context.Context, weight int) error {
	f.write("", weight)
	return nil
}

// write sets the weight in somebody's name.
func (f *table) write(who string, weight int) {
	f.now = Reading{Weight: weight, Least: weight, Writer: who, Revision: f.now.Revision + "+"}
}

func (f *table) Held(context.Context) (string, string, error) { return f.stable, f.canary, nil }
func (f *table) Hold(_ context.Context, arm rollout.Arm, group string) error {
	if arm == rollout.Stable {
		f.stable = group
	} else {
		f.canary = group
	}
	return nil
}

func (f *table) Reach(_ context.Context, arm rollout.Arm) (map[string]int, error) {
	if arm == rollout.Stable {
		return map[string]int{f.stable: 2}, nil
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

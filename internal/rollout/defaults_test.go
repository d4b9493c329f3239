package rollout_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/rollout/rollouttest"
)

func TestAMinimalFileGetsTheSourceDocumentsPlan(t *testing.T) {
	r, err := rollout.Parse("minimal.yaml", corpus(t, "good")["minimal.yaml"], rollouttest.Catalog())
	if err != nil {
		t.Fatal(err)
	}
	var weights []int
	for _, ph := range r.Spec.Plan.Phases {
		weights = append(weights, ph.Weight)
		if time.Duration(ph.Duration) != 30*time.Minute {
			t.Errorf("the phase of %d %% lasts %s", ph.Weight, ph.Duration)
		}
	}
	if !reflect.DeepEqual(weights, []int{5, 10, 25, 50, 100}) || r.Spec.Plan.Watched() != 150*time.Minute {
		t.Errorf("weights %v, watched %s", weights, r.Spec.Plan.Watched())
	}
	margins := map[rollout.CheckType]float64{}
	for _, c := range r.Spec.Analysis.Checks {
		margins[c.Type] = c.Rollback.AsRatio()
	}
	want := map[rollout.CheckType]float64{rollout.ErrorRate: 2, rollout.ResponseTime: 1.1, rollout.CPU: 1.2, rollout.Memory: 1.2, rollout.Exceptions: 0}
	if !reflect.DeepEqual(margins, want) {
		t.Errorf("margins %v, want %v", margins, want)
	}
	got, spec := r.Spec, rollout.DefaultSpec()
	got.Workload, got.Traffic = rollout.Adapter{}, rollout.Adapter{}
	if !reflect.DeepEqual(got, spec) {
		t.Errorf("DefaultSpec says %+v,\na minimal file gets %+v", spec, got)
	}
}

// The example of the interface document writes every default out; it must say
// the same as a file that leaves them to the program.
func TestTheDocumentedDefaultsAreTheDefaults(t *testing.T) {
	written, err := rollout.Parse("formats.yaml", corpus(t, "good")["formats.yaml"], rollouttest.Catalog())
	if err != nil {
		t.Fatal(err)
	}
	spec := rollout.DefaultSpec()
	spec.Workload, spec.Traffic = written.Spec.Workload, written.Spec.Traffic
	if !reflect.DeepEqual(written.Spec, spec) {
		t.Errorf("written %+v\ndefault %+v", written.Spec, spec)
	}
}

func TestOneRolloutIsAskedForAndSeveralAreRefused(t *testing.T) {
	two := corpus(t, "good")["two-documents.yaml"]
	if all, _, err := rollout.ParseAll("two.yaml", two, rollouttest.Catalog()); err != nil || len(all) != 2 {
		t.Errorf("ParseAll: %d rollouts, %v", len(all), err)
	}
	if _, err := rollout.Parse("two.yaml", two, rollouttest.Catalog()); err == nil || !strings.Contains(err.Error(), "holds 2 rollouts") {
		t.Errorf("Parse: %v", err)
	}
}

// Who prepares nothing gets a run that begins as soon as the canary is ready, and
// is told how long that may take.
func TestNoTimeToPrepareIsTheDefault(t *testing.T) {
	minimal := string(corpus(t, "good")["minimal.yaml"])
	all, warnings, err := rollout.ParseAll("shop.yaml", []byte(minimal+"  plan: {prepare: 0s}\n"), rollouttest.Catalog())
	if err != nil {
		t.Fatal(err)
	}
	if got := all[0].Spec.Plan.Prepare; got != rollout.DefaultPrepare {
		t.Errorf("the canary may take %s, want %s", got, rollout.DefaultPrepare)
	}
	if len(warnings) != 1 || warnings[0].Field != "spec.plan.prepare" || !strings.Contains(warnings[0].Message, "may take 10m") {
		t.Errorf("warned of %v", warnings)
	}
}

func TestAHoldbackKeepsStableInTheLastPhase(t *testing.T) {
	minimal := string(corpus(t, "good")["minimal.yaml"])
	weights := func(plan string) []int {
		r, err := rollout.Parse("shop.yaml", []byte(minimal+"  plan: "+plan+"\n"), rollouttest.Catalog())
		if err != nil {
			t.Fatal(err)
		}
		var all []int
		for _, ph := range r.Spec.Plan.Phases {
			all = append(all, ph.Weight)
		}
		return all
	}
	for plan, want := range map[string][]int{
		"{holdback: 5}": {5, 10, 25, 50, 95},
		"{holdback: 0}": {5, 10, 25, 50, 100},
		"{holdback: 10, phases: [{weight: 5}, {weight: 100, duration: 1h}]}": {5, 90},
	} {
		if got := weights(plan); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: weights %v, want %v", plan, got, want)
		}
	}
}

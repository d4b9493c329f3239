package service

import (
	"strings"
	"testing"
)

// Whatever the numbers, the pods that are made never get more than the weight,
// and one more would be too many.
func TestPodsMakeTheLargestShareUpToTheWeight(t *testing.T) {
	for stable := 1; stable <= 200; stable++ {
		for weight := 1; weight < 100; weight++ {
			pods := CanaryPods(stable, weight)
			if above(pods, pods+stable, weight) {
				t.Fatalf("%d canary pods beside %d are more than %d %%", pods, stable, weight)
			}
			if !above(pods+1, pods+1+stable, weight) {
				t.Fatalf("%d canary pods beside %d, and one more would be no more than %d %%", pods, stable, weight)
			}
			if can := pods > 0; can != (weight >= Smallest(stable)) || can != (stable >= Needed(weight)) {
				t.Fatalf("weight %d with %d stable pods: can be made is %t, but the smallest weight is said to be %d and the pods needed %d",
					weight, stable, can, Smallest(stable), Needed(weight))
			}
		}
	}
}

func TestWeightsThatCannotBeMadeAreNamed(t *testing.T) {
	ps := CheckRatio(10, []int{5, 10, 25, 50, 100})
	if len(ps) != 1 || ps[0].Field != "spec.plan.phases[0].weight" || ps[0].Warning {
		t.Fatalf("problems %+v, want one about the first phase", ps)
	}
	for _, want := range []string{"5 %", "9.1 %", "write 10 or more", "run 19 pods"} {
		if !strings.Contains(ps[0].Message+"; "+ps[0].Mend, want) {
			t.Errorf("%+v does not say %q", ps[0], want)
		}
	}
	if ps := CheckRatio(19, []int{5, 10, 25, 50, 100}); len(ps) > 0 {
		t.Errorf("problems %+v, want none with 19 pods", ps)
	}
	ps = CheckRatio(10, []int{10, 80, 95, 100})
	if len(ps) != 1 || ps[0].Field != "spec.plan.phases[2].weight" || !strings.Contains(ps[0].Message, "190 canary pods beside the 10") || !strings.Contains(ps[0].Mend, "write 80 or less") {
		t.Errorf("problems %+v, want one about 190 pods", ps)
	}
}

package simulate

import (
	"testing"

	"serin.dev/serin/internal/rollout"
)

func sights(t *testing.T, rps float64) map[int]float64 {
	t.Helper()
	tr := DefaultTraffic()
	tr.RequestsPerSecond = rps
	errors := map[int]float64{}
	for _, s := range Power(plan(), tr) {
		if s.Check == 0 {
			if !s.Judged {
				t.Fatalf("at %v requests/s the error rate is not judged in phase %d", rps, s.Phase)
			}
			errors[s.Phase] = s.Ratio
		}
	}
	return errors
}

func TestMoreTrafficAndLargerSharesSeeMore(t *testing.T) {
	few, many := sights(t, 5), sights(t, 500)
	for phase := range 4 {
		if !(many[phase] > 1) || few[phase] != 0 && few[phase] <= many[phase] {
			t.Errorf("phase %d: %v at 5 requests/s, %v at 500", phase, few[phase], many[phase])
		}
		if phase > 0 && many[phase] >= many[phase-1] {
			t.Errorf("phase %d sees %v, the one before it, at a smaller share, %v", phase, many[phase], many[phase-1])
		}
	}
}

// What is said to be seen is seen: of the simulated runs with that harm, more
// than half are rolled back, for it is what is expected to be found.
func TestWhatIsSaidToBeDetectableIsDetected(t *testing.T) {
	tr := DefaultTraffic()
	tr.RequestsPerSecond = 20
	p := plan(25, 50)
	p.Analysis.Checks = p.Analysis.Checks[:1]
	p.Analysis.Checks[0].Rollback = rollout.Margin{Ratio: 1.2}
	sight := Power(p, tr)[0]
	if sight.Ratio < 1.2 || sight.Ratio > 20 {
		t.Fatalf("at 20 requests/s 25 %% in ten minutes show %v", sight.Ratio)
	}
	p.Phases = p.Phases[:1]
	bad := Scenario{Name: "bad", Faults: []Fault{{Errors: sight.Ratio}}}
	out := measure(t, Options{Plan: p, Traffic: tr, Scenarios: []Scenario{bad}, Runs: 100, Seed: seed})[0]
	if out.RolledBack <= 50 {
		t.Errorf("seed %d: %vx is said to be detectable and is rolled back in %d of 100 runs", seed, sight.Ratio, out.RolledBack)
	}
}

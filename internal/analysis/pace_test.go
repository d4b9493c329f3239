package analysis_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// quick is a demo's plan: ticks of 200 ms, phases of three seconds.
func quick() analysis.Config {
	cfg := configOf(rollout.ErrorRate, rollout.ResponseTime)
	cfg.Analysis.Interval = rollout.Duration(200 * time.Millisecond)
	for i := range cfg.Phases {
		cfg.Phases[i].Duration = rollout.Duration(3 * time.Second)
	}
	return cfg
}

// quickRun draws a run of a service of 1,600 requests a second and returns the
// phase in which it is rolled back (-1: never) and whether every phase that
// ended was acceptable to both checks.
func quickRun(rng *rand.Rand, errorRatio, slower float64) (failed int, acceptable bool) {
	cfg := quick()
	bounds := gridOf(0.001, 1.02, 350)
	arm := func(requests int, errorRate, median float64) *rollout.Sample {
		s := &rollout.Sample{Requests: num(float64(requests)), Errors: num(0), Latency: &rollout.Histogram{
			Bounds: bounds, Counts: make([]float64, len(bounds)+1), Sum: num(0),
		}}
		for range requests {
			if rng.Float64() < errorRate {
				*s.Errors++
			}
			v := median * math.Exp(0.5*rng.NormFloat64())
			*s.Latency.Sum += v
			s.Latency.Counts[max(0, min(len(bounds), int(math.Ceil(math.Log(v/0.001)/math.Log(1.02)))))]++
		}
		return s
	}
	state := analysis.Start(cfg)
	acceptable = true
	at := midnight
	for phase, p := range cfg.Phases {
		var said analysis.Assessment
		for range 15 {
			at = at.Add(200 * time.Millisecond)
			canary := 320 * p.Weight / 100
			tick := rollout.Tick{At: at, Weight: p.Weight, Arms: rollout.Arms{
				Stable: arm(320-canary, 0.03, 0.02), Canary: arm(canary, 0.03*errorRatio, 0.02*slower),
			}}
			state, said = analysis.Step(cfg, state, tick, phase)
			for _, r := range said.Results {
				if r.Verdict == analysis.Fail {
					return phase, acceptable
				}
			}
		}
		for _, r := range said.Results {
			acceptable = acceptable && r.Acceptable
		}
	}
	return -1, acceptable
}

func TestAQuickPlanIsJudgedLikeASlowOne(t *testing.T) {
	const seed, runs = 21, 30
	for name, c := range map[string]struct {
		errorRatio, slower float64
		bad                bool
	}{
		"good":               {1, 1, false},
		"three times errors": {3, 1, true},
		"a quarter slower":   {1, 1.25, true},
	} {
		t.Run(name, func(t *testing.T) {
			rolledBack, early, passed := 0, 0, 0
			for i := range runs {
				failed, acceptable := quickRun(rand.New(rand.NewPCG(seed, uint64(i))), c.errorRatio, c.slower)
				if failed >= 0 {
					rolledBack++
				}
				if failed >= 0 && failed <= 3 {
					early++
				}
				if failed < 0 && acceptable {
					passed++
				}
			}
			t.Logf("seed %d: of %d, %d rolled back, %d of them at half the traffic or less; %d passed every phase", seed, runs, rolledBack, early, passed)
			if c.bad && (rolledBack < runs || early < runs*9/10) {
				t.Errorf("a bad version was not found in time")
			}
			if !c.bad && (rolledBack > 0 || passed < runs*3/4) {
				t.Errorf("a good version was stopped")
			}
		})
	}
}

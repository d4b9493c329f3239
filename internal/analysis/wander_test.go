package analysis

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
)

// wanderRun shows a wander so many ticks of two arms that wander by a size (on
// the logarithm) and forget within so many seconds, with a noise in each tick, and
// returns the largest evidence of a shift on the way.
func wanderRun(rng *rand.Rand, w wander, ticks int, size, forget, shift, noise float64) (largest float64) {
	const seconds, stableNoise = 10, 0.03
	keep := math.Exp(-seconds / forget)
	canary, stable := size*rng.NormFloat64(), size*rng.NormFloat64()
	for range ticks {
		canary = keep*canary + math.Sqrt(1-keep*keep)*size*rng.NormFloat64()
		stable = keep*stable + math.Sqrt(1-keep*keep)*size*rng.NormFloat64()
		w.watch(stable+stableNoise*rng.NormFloat64(), stableNoise*stableNoise, seconds)
		w.add(canary-stable+shift+noise*rng.NormFloat64(), noise*noise, seconds, false)
		p := w.weights()
		largest = max(largest, w.evidence(&p, 0, 0, math.Log(1.1)))
	}
	return largest
}

func TestNoiseByALawIsTakenForAShiftNoMoreOftenThanAlpha(t *testing.T) {
	const seed, runs, alpha = 31, 400, 0.05
	for _, law := range []struct{ size, forget float64 }{{.05, 100}, {.1, 100}, {.1, 330}, {.2, 30}} {
		rng := rand.New(rand.NewPCG(seed, 0))
		found := 0
		for range runs {
			w := newWander(1, 1.1, false)
			w.Least = 1 // every law has its full weight from the beginning
			if wanderRun(rng, w, 180, law.size, law.forget, 0, .14) >= math.Log(1/alpha) {
				found++
			}
		}
		t.Logf("seed %d: %v: %d of %d", seed, law, found, runs)
		if limit := alpha*runs + 3*math.Sqrt(alpha*(1-alpha)*runs); float64(found) > limit {
			t.Errorf("noise of %v was taken for a shift in %d of %d runs, at most %.0f are allowed", law, found, runs, limit)
		}
	}
}

func TestAShiftIsFoundInQuietAndThroughWandering(t *testing.T) {
	const seed, runs = 32, 50
	for name, c := range map[string]struct {
		size, shift float64
		ticks       int
	}{
		"quiet, 20 % within six minutes":         {0, math.Log(1.2), 36},
		"quiet, 50 % within two minutes":         {0, math.Log(1.5), 12},
		"wandering by 3 %, 50 % in half an hour": {.03, math.Log(1.5), 180},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			found := 0
			for range runs {
				if wanderRun(rng, newWander(1, 1.1, false), c.ticks, c.size, 100, c.shift, .14) >= math.Log(500) {
					found++
				}
			}
			t.Logf("seed %d: %d of %d", seed, found, runs)
			if found < runs*8/10 {
				t.Errorf("found in %d of %d runs only", found, runs)
			}
		})
	}
}

func TestAStableThatKeepsStillSpeaksAgainstWandering(t *testing.T) {
	evidence := func(level func(i int) float64) float64 {
		w := newWander(1, 1.1, false)
		w.Least = 1
		for i := range 60 {
			w.watch(level(i), 1e-3, 10)
			w.add(math.Log(1.25), .02, 10, false)
		}
		p := w.weights()
		return w.evidence(&p, 0, 0, math.Log(1.1))
	}
	still := evidence(func(int) float64 { return 0 })
	moving := evidence(func(i int) float64 { return .15 * math.Sin(float64(i)/6) })
	if still < math.Log(500) || moving > still-2 {
		t.Errorf("evidence beside a stable that keeps still %.1f, beside one that moves by 15 %% %.1f", still, moving)
	}
}

func TestBothArmsMayWanderTogether(t *testing.T) {
	// What both share cancels: the difference is quiet, and says so in time.
	rng := rand.New(rand.NewPCG(33, 0))
	w := newWander(1, 1.1, false)
	both := 0.0
	for range 360 {
		both = .9*both + .1*rng.NormFloat64()
		w.watch(both, 1e-3, 10)
		w.add(math.Log(1.25)+.05*rng.NormFloat64(), .0025, 10, false)
	}
	p := w.weights()
	if got := w.evidence(&p, 0, 0, math.Log(1.1)); got < math.Log(500) {
		t.Errorf("evidence of 25 %% after an hour: %.1f", got)
	}
}

func TestAStateFromBeforeWanderingGoesOn(t *testing.T) {
	cfg := Config{
		Analysis: rollout.Analysis{Interval: rollout.DefaultInterval, Alpha: rollout.DefaultAlpha, Checks: []rollout.Check{
			{Name: "errors", Type: rollout.ErrorRate, Rollback: rollout.DefaultMargin(rollout.ErrorRate)},
			{Name: "latency", Type: rollout.ResponseTime, Rollback: rollout.DefaultMargin(rollout.ResponseTime)},
		}},
		Phases: rollout.DefaultPhases(),
	}
	s := Start(cfg)
	s.Checks[0].Errors.Counts.Wander = wander{}
	s.Checks[1].Latency.Body.Wander = wander{}
	s.Timing.Pace = 0
	for i := range 300 {
		s, _ = Step(cfg, s, rollout.Tick{
			At: time.Date(2026, 1, 1, 0, 0, 10*(i+1), 0, time.UTC), Weight: 50,
			Arms: rollout.Arms{Stable: timesAround(50e-3, 60), Canary: timesAround(60e-3, 60)},
		}, i/180)
	}
}

func TestBoundsOfWhichNothingIsKnownAreLeftOut(t *testing.T) {
	if low, high := bounds(0, 0.1, 0.003); low != 0 || high != 0 {
		t.Errorf("bounds %v to %v", low, high)
	}
	if low, high := bounds(math.Log(2), 50, 0.003); low <= 0.5 || low >= 2 || high <= 2 || high > 8 {
		t.Errorf("bounds %v to %v", low, high)
	}
}

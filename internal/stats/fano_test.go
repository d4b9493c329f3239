package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"serin.dev/serin/internal/stats"
)

func TestFanoSeesClumpsAndNoChangeOfTheLoad(t *testing.T) {
	const seed = 3
	for name, c := range map[string]struct {
		clump     float64
		rate      func(tick float64) float64
		low, high float64
	}{
		"single":               {1, func(float64) float64 { return 3 }, 0.8, 1.3},
		"single and rare":      {1, func(float64) float64 { return .1 }, 0.8, 1.3},
		"in fives":             {5, func(float64) float64 { return 1 }, 4, 6.5},
		"a load that goes by":  {1, func(i float64) float64 { return 10 * (1 + .9*math.Sin(i/60)) }, 0.8, 1.3},
		"in twenties and rare": {20, func(float64) float64 { return .05 }, 12, 30},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 4))
			var f stats.Fano
			for i := range 2000 {
				rate := c.rate(float64(i))
				// The exposure goes with the load.
				f.Add(c.clump*distuv.Poisson{Lambda: rate, Src: rng}.Rand(), 100*rate)
			}
			if phi := stats.FanoOf(1.5, &f); phi < c.low || phi > c.high {
				t.Errorf("seed %d: %.2f, want %v to %v", seed, phi, c.low, c.high)
			}
		})
	}
}

package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"serin.dev/serin/internal/stats"
)

func TestStudentQuantilesAgreeWithGonum(t *testing.T) {
	for _, freedom := range []float64{1, 2, 3, 4, 5, 7, 10, 20, 50, 500} {
		for _, p := range []float64{0.1, 0.025, 0.005, 1e-3, 1e-4, 1e-5} {
			got := stats.StudentQuantile(p, freedom)
			tail := 1 - distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.CDF(got)
			if math.Abs(tail/p-1) > 1e-3 {
				t.Errorf("%v degrees, %v: %v is exceeded with probability %v", freedom, p, got, tail)
			}
		}
	}
}

func TestStudentEvidenceHoldsAtEveryLook(t *testing.T) {
	const seed, runs, looks, alpha = 31, 20000, 60, 0.02
	rng := rand.New(rand.NewPCG(seed, 1))
	rejected := 0
	for range runs {
		scale := math.Exp(3 * rng.NormFloat64())
		var n, mean, squares float64
		for range looks {
			x := scale * rng.NormFloat64()
			n++
			off := x - mean
			mean += off / n
			squares += off * (x - mean)
			if n >= 2 && stats.LogStudentEvidence(n, mean, math.Sqrt(squares/(n-1))) >= math.Log(1/alpha) {
				rejected++
				break
			}
		}
	}
	// Only a positive mean counts, so half of the mixture is never used.
	if p := 1 - (distuv.Binomial{N: runs, P: alpha}).CDF(float64(rejected-1)); p < 0.001 {
		t.Errorf("seed %d: rejected %d of %d at %v (p %v)", seed, rejected, runs, alpha, p)
	}
	t.Logf("seed %d: rejected %d of %d; %v allowed", seed, rejected, runs, alpha*runs)
}

package stats_test

import (
	"math"
	"testing"

	"serin.dev/serin/internal/stats"
)

// A sequential test by the conditional binomial has an exact error rate. Of the
// test that takes the most likely ratio (MaxSPRT), ten events looked at one by
// one with four controls to a case, R's EmpiricalCalibration prints for
// computeCvBinomial(rep(1, 10), z = 4) what R's Sequential computes: the largest
// error rate below 5 % that a threshold can have is 0.049.
func TestTheExactErrorRateOfTheConditionalBinomialIsThePublishedOne(t *testing.T) {
	const events, controls, published = 10, 4, 0.049
	const a = 1. / controls
	evidence := func(x, k int) float64 {
		ratio := 1e12 // as good as infinite, where all events are cases
		if x < k {
			ratio = max(1, float64(x)/float64(k-x)/a)
		}
		return stats.LogLikelihoodRatio(float64(x), float64(k), a, 1, ratio)
	}
	// errorRate follows the chance of each number of cases that has not rejected.
	errorRate := func(threshold float64) (rejected float64) {
		going, p := map[int]float64{0: 1}, stats.CanaryShare(1, a)
		for k := 1; k <= events; k++ {
			next := map[int]float64{}
			for x, chance := range going {
				for cases, q := range map[int]float64{x: 1 - p, x + 1: p} {
					if evidence(cases, k) >= threshold-1e-9 {
						rejected += chance * q
					} else {
						next[cases] += chance * q
					}
				}
			}
			going = next
		}
		return rejected
	}
	largest := 0.0
	for k := 1; k <= events; k++ {
		for x := range k + 1 {
			if rate := errorRate(evidence(x, k)); rate <= 0.05 {
				largest = max(largest, rate)
			}
		}
	}
	if math.Abs(largest-published) > 0.0005 {
		t.Errorf("the largest error rate below 5 %% is %.6f, published is %v", largest, published)
	}
}

package analysis

import (
	"math"
	"time"

	"serin.dev/serin/internal/stats"
)

// ratioScale is the standard deviation of the logarithm of a ratio that the
// confidence sequences are tuned for.
const ratioScale = 0.5

// bounds is a confidence sequence for the ratio over the window of a start:
// estimate is its logarithm, information what is known of it, alpha the start's
// share of the check's: the starts share it as they share the stake, so the
// sequence holds for whichever start is shown.
func bounds(estimate, information, alpha float64) (low, high float64) {
	radius := stats.MixtureRadius(information, alpha, ratioScale)
	if math.IsInf(radius, 0) || math.IsNaN(estimate) || math.IsInf(estimate, 0) {
		return 0, 0
	}
	return math.Exp(estimate - radius), min(maxRatio, math.Exp(estimate+radius))
}

// detectableCount is the smallest rate ratio for which the evidence of a whole
// phase is expected to reach the threshold with room to spare (3 nats), given
// the phase's traffic so far; 0 when there is none or no ratio up to 100 would.
func detectableCount(p proceedCounts, stableRate, phi, alpha float64, elapsed, length time.Duration) float64 {
	if p.Exposure <= 0 || stableRate <= 0 || elapsed <= 0 || p.StableExposure <= 0 {
		return 0
	}
	whole := max(1, float64(length)/float64(elapsed))
	a := p.Exposure / p.StableExposure
	stable := stableRate * p.StableExposure * whole
	return smallestRatio(100, func(r float64) bool {
		events := stable * (1 + r*a)
		gain := events * stats.Divergence(stats.CanaryShare(r, a), stats.CanaryShare(1, a)) / phi
		return gain >= math.Log(1/alpha)+3
	})
}

// detectableShift is the same for a mean on the logarithm: information is that
// of the whole phase.
func detectableShift(variance, alpha float64) float64 {
	if variance <= 0 || math.IsInf(variance, 0) {
		return 0
	}
	r := math.Exp(math.Sqrt(2 * (math.Log(1/alpha) + 3) * variance))
	if r > 100 {
		return 0
	}
	return r
}

// smallestRatio is the smallest ratio from 1 to most that is seen, by bisection
// on the logarithm; 0 when not even most is.
func smallestRatio(most float64, seen func(r float64) bool) float64 {
	if !seen(most) {
		return 0
	}
	lo, hi := 0.0, math.Log(most)
	for range 20 {
		mid := (lo + hi) / 2
		if seen(math.Exp(mid)) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return math.Exp(hi)
}

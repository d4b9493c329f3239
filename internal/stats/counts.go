package stats

import "math"

// CanaryShare is π(r): the probability that an event belongs to the canary
// when its rate is r times stable's and its exposure a times stable's
// (conditional binomial; Przyborowski and Wilenski 1940).
func CanaryShare(r, a float64) float64 { return r * a / (1 + r*a) }

// Bet returns the factor by which a bet on "the canary's rate is r times
// stable's" multiplies its stake, after x of k events were the canary's at
// exposure ratio a, when the null rate ratio is r0.
//
// The factor is 1 + b·y with y = x/(π₀k) - 1, whose mean is at most 0 under
// the null whatever the clumping inside the tick, and a stake b that depends
// on k and a only: so its mean is at most 1 (testing by betting; Waudby-Smith
// and Ramdas 2024). clump is the clump size for which the stake is tuned; it
// moves power, never validity.
func Bet(x, k, a, r0, r, clump float64) float64 {
	p0, q := CanaryShare(r0, a), CanaryShare(r, a)
	if k <= 0 || p0 <= 0 || p0 >= 1 {
		return 1
	}
	gain := q/p0 - 1
	spread := clump * (1 + gain) * (1 - q) / (p0 * k)
	return BetFactor(x/(p0*k)-1, (q-p0)/(1-p0), gain, spread)
}

// BetKnown is Bet against a known level: mu events are expected of the canary
// at rate ratio 1. It is the limit of Bet for endless stable exposure.
func BetKnown(x, mu, r0, r, clump float64) float64 {
	if mu <= 0 {
		return 1
	}
	gain := r/r0 - 1
	spread := clump * (1 + gain) / (r0 * mu)
	return BetFactor(x/(r0*mu)-1, 0, gain, spread)
}

// BetFactor turns an outcome y ≥ -1 of mean ≤ 0 into 1 + b·y. The stake b is
// the likelihood ratio's own for a single event (floor), or what maximises the
// growth to second order when events are many.
func BetFactor(y, floor, gain, spread float64) float64 {
	return 1 + y*min(0.95, max(floor, gain/(gain*gain+spread)))
}

// LogLikelihoodRatio is ln[P(x | k, ratio r) / P(x | k, ratio r0)] of the
// conditional binomial at exposure ratio a.
func LogLikelihoodRatio(x, k, a, r0, r float64) float64 {
	return x*math.Log(r/r0) - k*math.Log1p((r-r0)*a/(1+r0*a))
}

// LogLikelihoodRatioKnown is the same against a known level (Poisson): mu
// events are expected at rate ratio 1.
func LogLikelihoodRatioKnown(x, mu, r0, r float64) float64 {
	return x*math.Log(r/r0) - mu*(r-r0)
}

// Divergence is the Kullback-Leibler divergence of Bernoulli(q) from
// Bernoulli(p): the evidence that one event carries on average.
func Divergence(q, p float64) float64 {
	var d float64
	if q > 0 {
		d += q * math.Log(q/p)
	}
	if q < 1 {
		d += (1 - q) * math.Log((1-q)/(1-p))
	}
	return d
}

package analysis

import (
	"math"

	"serin.dev/serin/internal/stats"
)

// beta bounds, for each phase, the probability that a canary at or beyond the
// promotion margin is called not inferior.
const beta = 0.05

// lowShare is the weight in percent below which a phase may end on little
// evidence, because the next phase still exposes a minority of users.
const lowShare = 25

// promotionMargin is the ratio that the canary must be proven to stay below:
// half of the way, on the logarithm, to what is rolled back.
func promotionMargin(margin float64) float64 { return math.Sqrt(margin) }

// proceedCounts is the evidence of one phase that the canary's rate is below
// the promotion margin.
type proceedCounts struct {
	Likelihoods Vector `json:"likelihoods"`
	// Mantel-Haenszel numerator and denominator of the phase, and both arms'
	// exposure in it.
	Numerator      float64 `json:"numerator"`
	Denominator    float64 `json:"denominator"`
	Exposure       float64 `json:"exposure"`
	StableExposure float64 `json:"stableExposure"`
}

const goodRatioCount = 6

// goodRatios are the true ratios for which the proof is tuned.
func goodRatios(m float64) [goodRatioCount]float64 {
	return [goodRatioCount]float64{0.25, 0.5, 0.71, 0.84, 1, math.Sqrt(m)}
}

func newProceedCounts() proceedCounts {
	return proceedCounts{Likelihoods: make(Vector, goodRatioCount)}
}

func (p proceedCounts) cloneIn(s *slab) proceedCounts {
	p.Likelihoods = s.clone(p.Likelihoods)
	return p
}

func (p *proceedCounts) add(m float64, t countTick) {
	if t.canaryExposure <= 0 {
		return
	}
	if t.level != (level{}) {
		mu := t.canaryExposure * t.level.estimate
		for i, r := range goodRatios(m) {
			p.Likelihoods[i] += stats.LogLikelihoodRatioKnown(t.canaryEvents, mu, m, min(r, m))
		}
		p.Numerator += t.canaryEvents
		p.Denominator += mu
		p.Exposure += t.canaryExposure
		return
	}
	if t.stableExposure <= 0 {
		return
	}
	a := t.canaryExposure / t.stableExposure
	for i, r := range goodRatios(m) {
		p.Likelihoods[i] += stats.LogLikelihoodRatio(t.canaryEvents, t.canaryEvents+t.stableEvents, a, m, min(r, m))
	}
	all := t.canaryExposure + t.stableExposure
	p.Numerator += t.canaryEvents * t.stableExposure / all
	p.Denominator += t.stableEvents * t.canaryExposure / all
	p.Exposure += t.canaryExposure
	p.StableExposure += t.stableExposure
}

// log is the logarithm of the e-value for "not inferior", tempered by phi.
func (p *proceedCounts) log(phi float64) float64 {
	var scaled [goodRatioCount]float64
	for i := range scaled {
		scaled[i] = p.Likelihoods[i] / phi
	}
	return stats.LogMeanExp(scaled[:])
}

// acceptable is the rule for the end of a phase without proof. At a small share
// it lets pass what is not visibly beyond the rollback margin; at a large one
// the estimate must be within the promotion margin. No event in either arm is
// nothing worse.
func (p *proceedCounts) acceptable(weight int, margin float64) (ok, lowEvidence bool) {
	if p.Exposure <= 0 {
		return false, false
	}
	if weight < lowShare {
		return p.Numerator <= margin*p.Denominator+1, true
	}
	return p.Numerator <= promotionMargin(margin)*p.Denominator, false
}

package analysis

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/stats"
)

// ratioScale is the standard deviation of the logarithm of a ratio that the
// confidence sequences are tuned for.
const ratioScale = 0.5

// unknownRadius is how far from the estimate, on the logarithm, a bound may be: a
// factor of a hundred.
var unknownRadius = math.Log(100)

// bounds is a confidence sequence for the ratio over the window of a start:
// estimate is its logarithm, information what is known of it, alpha the start's
// share of the check's: the starts share it as they share the stake, so the
// sequence holds for whichever start is shown. Both are 0 while hardly anything is
// known.
func bounds(estimate, information, alpha float64) (low, high float64) {
	radius := stats.MixtureRadius(information, alpha, ratioScale)
	// A ratio of which not even the order of magnitude is known has no bounds
	// worth showing.
	if !(radius <= unknownRadius) || math.IsNaN(estimate) || math.IsInf(estimate, 0) {
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
	need := (math.Log(1/alpha) + 3) * phi
	equal := stats.CanaryShare(1, a)
	// To second order: where to begin.
	guess := math.Exp(math.Sqrt(2 * need / (stable * (1 + a) * equal * (1 - equal))))
	return smallestRatio(100, guess, func(r float64) float64 {
		return stable*(1+r*a)*stats.Divergence(stats.CanaryShare(r, a), equal) - need
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

// smallestRatio is the ratio from 1 to most from which on what is gained is not
// negative, to a millionth; 0 when not even at most. gained rises with the
// ratio. By regula falsi on the logarithm (Dowell and Jarratt 1971), which takes
// a third of the steps of a bisection; guess is where it begins.
func smallestRatio(most, guess float64, gained func(r float64) float64) float64 {
	lo, hi := 0.0, math.Log(most)
	below, above := gained(1), gained(most)
	switch {
	case !(above >= 0):
		return 0
	case below >= 0:
		return 1
	}
	for _, r := range [...]float64{guess / 1.1, guess * 1.1} {
		at := math.Log(r)
		if !(at > lo && at < hi) {
			continue
		}
		if g := gained(r); g < 0 {
			lo, below = at, g
		} else {
			hi, above = at, g
		}
	}
	for range 60 {
		at := hi - above*(hi-lo)/(above-below)
		if !(at > lo && at < hi) {
			at = (lo + hi) / 2
		}
		g := gained(math.Exp(at))
		if g < 0 {
			if hi-at < 1e-6 {
				break
			}
			lo, below = at, g
			above /= 2
		} else {
			done := at-lo < 1e-6 || hi-at < 1e-6
			below *= above / (above + g)
			hi, above = at, g
			if done {
				break
			}
		}
	}
	return math.Exp(hi)
}

// qualify fills in what follows from the rest of a result.
func (r *Result) qualify(starts []StartPoint) {
	if !r.Judged {
		return
	}
	r.Assurance = Exact
	if slices.Contains(r.Flags, "approximate") {
		r.Assurance = Approximate
	}
	if r.Since == nil {
		return
	}
	for _, s := range starts {
		if s.At.Equal(*r.Since) {
			r.SinceWeight = s.Weight
		}
	}
}

// restless is the noise from which on it is worth a word.
const restless = 1.05

// Explain says in a line what a result rests on and what it could still miss;
// clock writes times. It is empty for a check that is not judged.
func (r Result) Explain(clock func(time.Time) string) string {
	if !r.Judged {
		return ""
	}
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if r.Since != nil {
		since := "since " + clock(*r.Since)
		if r.SinceWeight > 0 {
			since += fmt.Sprintf(" (at %d %%)", r.SinceWeight)
		}
		add("%s", since)
	}
	if r.Affected >= 1 {
		add("about %s affected", plural(int(math.Round(r.Affected)), "request"))
	}
	if r.Detectable > 0 {
		add("would see %s by the phase's end", times(r.Detectable))
	}
	if r.Noise > restless {
		add("noise φ %s", number(r.Noise))
	}
	if r.Spread > 0 {
		add("instances ω %s", percent(r.Spread))
	}
	if r.Assurance != "" {
		add("%s", r.Assurance)
	}
	return strings.Join(parts, ", ")
}

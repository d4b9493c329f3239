package analysis

import (
	"math"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/stats"
)

// means is the engine for a value that every request has: the body of the
// response times. It compares the arms' mean scores tick by tick, so that what
// both share cancels. Its evidence is a
// Gaussian likelihood ratio, by the central limit theorem, with the noise
// estimated from the run (φ̂) and room for differences between instances (ω²).
type means struct {
	Sums  sums             `json:"sums"`
	Noise stats.Dispersion `json:"noise"`
	// Wander is what is known of noise that goes on over ticks; the guard has
	// none.
	Wander wander `json:"wander,omitzero"`
}

// harmSteps are the shifts that are looked for, in multiples of the margin's:
// less than the margin is not acted on.
var harmSteps = [...]float64{1, 1.5, 2, 3, 4.5, 8}

// The totals in means.Sums.
const (
	// Σz/v and Σ1/v of the differences z with variances v.
	meanShift = iota
	meanInformation
	meanCanaryRequests
	// The canary's seconds, and what they would have been at stable's mean.
	meanCanarySeconds
	meanExpectedSeconds
	// How many ticks there were, and how long they lasted in seconds.
	meanTicks
	meanDuration
	meanTotals
)

const (
	// leastRequests is how many of the canary's requests a window needs before
	// its mean is normal enough to say anything. What counts is the window's sum:
	// its latest ticks may be as small as they like.
	leastRequests = 30
	// meanNoise is what is taken to be known of bursts before any was seen. The
	// estimate is the worst of several and at least 1; a prior of less keeps it
	// there while all is quiet.
	meanNoise = 0.9
	// leastTicks is how many ticks a window needs before it says anything.
	leastTicks = 2
)

// meanTick is one tick's comparison of means.
type meanTick struct {
	shift float64
	// requests is the harmonic size n_c·n_s/(n_c+n_s), variance that of a score.
	requests, variance float64
	canaryRequests     float64
	canarySeconds      float64
	expectedSeconds    float64
	duration           float64
	// null is the shift that is tolerated, alone says that stable's figures are
	// its earlier ones.
	null  float64
	alone bool
}

func newMeans(p stakes) means {
	return means{Sums: newSums(meanTotals, p), Noise: stats.Dispersion{Prior: meanNoise}, Wander: newWander(1, rollout.DefaultMargin(rollout.ResponseTime).AsRatio(), false)}
}

func (m means) cloneIn(s *slab) means {
	m.Sums.Total = s.clone(m.Sums.Total)
	m.Wander = m.Wander.cloneIn(s)
	return m
}

func (m means) clone() means {
	var s slab
	return m.cloneIn(&s)
}

func (m *means) mark() {
	m.Sums.mark()
	m.Wander.mark()
}

// shift is the estimate over all ticks so far, drawn to 0 by a few
// requests.
func (m *means) shift(variance float64) float64 {
	prior := leastRequests / variance
	return m.Sums.Total[meanShift] / (m.Sums.Total[meanInformation] + prior)
}

func (m *means) add(t meanTick) {
	if t.requests <= 0 {
		return
	}
	m.Noise.Add(t.requests*(t.shift-m.shift(t.variance))/math.Sqrt(t.variance), t.requests, leastRequests)
	information := t.requests / t.variance
	m.Wander.add(t.shift-t.null, m.Noise.Shortest()/information, t.duration, t.alone)
	for i, v := range [meanTotals]float64{information * t.shift, information, t.canaryRequests, t.canarySeconds, t.expectedSeconds, 1, t.duration} {
		m.Sums.Total[i] += v
	}
}

// window returns total i over the window of start s. What came without control
// counts for the starts from then on only, which count nothing else: a
// comparison with the past has other errors than one with the present.
func (m *means) window(s, i int, starts []StartPoint) float64 {
	return m.totalFrom(s, windowEnd(s, starts), i)
}

// windowEnd is the start at which the window of start s ends; 0 for one that has
// not ended.
func windowEnd(s int, starts []StartPoint) int {
	if starts[s].NoControl {
		return 0
	}
	for n := s + 1; n < len(starts); n++ {
		if starts[n].NoControl {
			return n
		}
	}
	return 0
}

// totalFrom returns total i from start s to start end; to now when that is 0.
func (m *means) totalFrom(s, end, i int) float64 {
	if end > 0 {
		return m.Sums.since(s, i) - m.Sums.since(end, i)
	}
	return m.Sums.since(s, i)
}

// estimate is the shift over a start's window and how much is known of it; ok is
// false when there is none yet.
func (m *means) estimate(s int, starts []StartPoint) (shift, information float64, ok bool) {
	end := windowEnd(s, starts)
	information = m.totalFrom(s, end, meanInformation)
	// A difference of totals leaves dust, so ticks are what is counted.
	if information <= 0 || m.totalFrom(s, end, meanTicks) < leastTicks || m.totalFrom(s, end, meanCanaryRequests) < leastRequests {
		return 0, 0, false
	}
	return m.totalFrom(s, end, meanShift) / information, information, true
}

// variance is that of an estimate with so much information from so many
// seconds: of the requests with the noise seen, and of wandering.
func (m *means) variance(p *wanderWeights, information, seconds float64) float64 {
	return m.Noise.Phi()/information + p.over(seconds)
}

// evidence is that of a shift above the null; between is the variance that more
// requests do not reduce, for a start with control and for one without.
func (m *means) evidence(p *wanderWeights, margin, between, betweenKnown float64, starts []StartPoint) evidence {
	var byStart [maxStarts + 1]float64
	var stakes [maxStarts]float64
	m.Sums.Stakes.logs(&stakes, len(starts))
	best := 0
	for s := range starts {
		byStart[s] = stakes[s]
		if _, _, ok := m.estimate(s, starts); ok {
			extra := between
			if starts[s].NoControl {
				extra = betweenKnown
			}
			byStart[s] += m.Wander.evidence(p, s, extra, math.Log(margin))
		}
		if byStart[s] > byStart[best] {
			best = s
		}
	}
	byStart[len(starts)] = m.Sums.Stakes.logKept(len(starts))
	return evidence{log: stats.LogSumExp(byStart[:len(starts)+1]), start: best}
}

// atMost is a bound of evidence's logarithm from above.
func (m *means) atMost(p *wanderWeights, between, betweenKnown float64, starts []StartPoint) float64 {
	var stakes [maxStarts]float64
	m.Sums.Stakes.logs(&stakes, len(starts))
	top := m.Sums.Stakes.logKept(len(starts))
	for s := range starts {
		most := 0.0
		if _, _, ok := m.estimate(s, starts); ok {
			extra := between
			if starts[s].NoControl {
				extra = betweenKnown
			}
			most = m.Wander.atMost(p, s, extra)
		}
		top = max(top, stakes[s]+most)
	}
	return top + math.Log(float64(len(starts)+1))
}

// shiftEvidence is the logarithm of the mixture likelihood ratio of a positive
// shift, from an estimate and its variance; unit is the smallest that is looked for.
func shiftEvidence(shift, variance, unit float64) float64 {
	var terms [len(harmSteps)]float64
	for k, step := range harmSteps {
		d := step * unit
		terms[k] = d * (shift - d/2) / variance
	}
	return stats.LogMeanExp(terms[:])
}

// Shifts for which the proof of not being inferior is tuned.
var goodShifts = [...]float64{-.3, -.1, -.03, 0, .01}

// goodShiftEvidence is the logarithm of the e-value against "the shift is at
// least bound".
func goodShiftEvidence(shift, variance, bound float64) float64 {
	var terms [len(goodShifts)]float64
	for k, g := range goodShifts {
		// A bound so near that a good shift lies beyond it gives that one no say.
		d := max(0, bound-g)
		terms[k] = d * ((bound - shift) - d/2) / variance
	}
	return stats.LogMeanExp(terms[:])
}

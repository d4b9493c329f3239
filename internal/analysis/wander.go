package analysis

import (
	"math"
	"slices"

	"serin.dev/serin/internal/stats"
)

// wander is what is known of noise that goes on over ticks: each arm's level may
// come and go by itself, and an arm that happens to be high for minutes looks
// like a slower version. Which law it follows is not known, so every law of a grid
// is weighed by its prior and by how well it foretold what was seen:
//
//   - the arms' differences, by a Kalman filter of the law (Kalman 1960), as if
//     the versions were equal;
//   - stable's own level. When the versions are equal, so are the laws by which
//     their instances wander, and a stable that was seen to keep still speaks
//     against all laws under which it would not have. That it moved speaks for none:
//     both arms may have moved together.
//
// The evidence of a shift is how much likelier the data are by a mixture of all laws
// with a shift than by the likeliest law without (Wasserman, Ramdas and Balakrishnan
// 2020): for noise by any law of the grid no more than alpha of equal versions are
// misjudged, however often one looks; while a law has less than its full weight,
// alpha over the weight.
type wander struct {
	// Scale is how many times the laws' sizes are those for response times:
	// what matters is noise that can be taken for a shift of the margin.
	Scale float64 `json:"scale,omitempty"`
	// Unit is the smallest shift of interest, on the logarithm.
	Unit float64 `json:"unit,omitempty"`
	// Least is by what a law that could explain a shift away is weighed at first,
	// Full what the requests must know, in units of the margin, for it to have its
	// full weight.
	Least float64 `json:"least,omitempty"`
	Full  float64 `json:"full,omitempty"`
	// Settles is after how many seconds a law has its full weight whatever the
	// requests know, 0 for never; Lasted how long it is now.
	Settles float64 `json:"settles,omitempty"`
	Lasted  float64 `json:"lasted,omitempty"`
	// Still says that what is likeliest is no wandering at all.
	Still bool `json:"still,omitempty"`
	// Laws holds the fields below for each law.
	Laws Vector `json:"laws"`
	// Starts holds for each start and each law the filter's answer to a shift of 1
	// since then, the score and the information.
	Starts shortVector `json:"starts"`
	// Seen says that stable's level was seen.
	Seen bool `json:"seen,omitempty"`
	// Alone says that the latest difference was from stable's earlier level, From
	// which start is the first that such differences count for.
	Alone bool `json:"alone,omitempty"`
	From  int  `json:"from,omitempty"`
	// Information is what the requests would say of a shift, were there no
	// wandering.
	Information float64 `json:"information,omitempty"`
}

// The fields of a law: of the arms' difference, its mean, variance and the log
// likelihood so far; of stable's level, the mean of what lasts and of what
// wanders, their variances and covariance, and the log likelihood.
const (
	wanderMean = iota
	wanderVariance
	wanderLog
	ownLasting
	ownWander
	ownLastingVariance
	ownCovariance
	ownWanderVariance
	ownLog
	wanderFields
)

// The fields of a start under a law.
const (
	startAnswer = iota
	startScore
	startInformation
	startFields
)

// wanderLaw is a law of noise: the logarithm of an arm's level comes and goes
// with a standard deviation, and forgets within so many seconds (Ornstein and
// Uhlenbeck 1930).
type wanderLaw struct {
	// variance is that of the arms' difference, own that of stable's level.
	variance, own, seconds float64
	logPrior               float64
}

const (
	// What is likeliest: the canary, being one instance, wanders by a little, and
	// stable does not.
	usualWander        = 0.033
	usualWanderSeconds = 60
	// wanderPrior is the part that the other laws have, together, of a shift's
	// own mixture.
	wanderPrior = 0.05
	// A law that could explain a shift away is weighed by leastOdds at first,
	// growing with the square of what the requests alone would know, and wholly
	// from fullInformation on: when their own noise is an eighth of the margin. Before, it is the
	// requests' noise that decides, stable had little time to show whether it moves,
	// and a large fault must be found.
	leastOdds       = 0.01
	fullInformation = 64
)

var wanderSizes = [...]float64{.025, .05, .1, .2}
var wanderTimes = [...]float64{30, 100, 330}

const wanderLaws = 1 + len(wanderSizes)*len(wanderTimes)

var laws = func() (all [wanderLaws]wanderLaw) {
	all[0] = wanderLaw{variance: usualWander * usualWander, seconds: usualWanderSeconds, logPrior: math.Log(1 - wanderPrior)}
	i := 1
	for _, size := range wanderSizes {
		for _, seconds := range wanderTimes {
			all[i] = wanderLaw{variance: 2 * size * size, own: size * size, seconds: seconds, logPrior: math.Log(wanderPrior / float64(wanderLaws-1))}
			i++
		}
	}
	return all
}()

// covers says whether a level that follows law l may hold one that follows own,
// and more: at every frequency it moves at least as much.
func (l wanderLaw) covers(own wanderLaw) bool {
	return l.own*l.seconds >= own.own*own.seconds && l.own*own.seconds >= own.own*l.seconds
}

func newWander(scale, margin float64, still bool) wander {
	w := wander{Scale: scale, Unit: math.Log(margin), Still: still, Least: leastOdds, Full: fullInformation, Laws: make(Vector, wanderLaws*wanderFields), Starts: make(shortVector, wanderLaws*startFields)}
	w.settle()
	return w
}

// settle forgets where the difference was, not what its law is.
func (w *wander) settle() {
	for i := range laws {
		w.Laws[i*wanderFields+wanderMean] = 0
		w.Laws[i*wanderFields+wanderVariance], _ = w.sizes(i)
	}
}

// sizes are a law's variances, of the arms' difference and of stable's level.
func (w *wander) sizes(law int) (both, own float64) {
	l := laws[law]
	if law == 0 && w.Still {
		return 0, 0
	}
	return l.variance * w.Scale * w.Scale, l.own * w.Scale * w.Scale
}

func (w wander) cloneIn(s *slab) wander {
	w.Laws, w.Starts = s.clone(w.Laws), slices.Clone(w.Starts)
	return w
}

// mark begins another start.
func (w *wander) mark() {
	if len(w.Laws) > 0 {
		w.Starts = append(w.Starts, make(shortVector, wanderLaws*startFields)...)
	}
}

// add takes in a difference of the arms with the variance that its requests give
// it; alone says that it is from what stable was earlier. seconds are a tick's, in
// a plan of phases of half an hour.
func (w *wander) add(z, variance, seconds float64, alone bool) {
	if len(w.Laws) == 0 {
		return
	}
	starts := len(w.Starts) / (wanderLaws * startFields)
	if alone != w.Alone {
		// A comparison of another kind: what came before says nothing of where it
		// begins.
		w.Alone, w.From = alone, starts-1
		w.settle()
	}
	w.Information += 1 / variance
	w.Lasted += seconds
	kept := keptOver(seconds)
	for i := range laws {
		f := w.Laws[i*wanderFields : (i+1)*wanderFields]
		both, _ := w.sizes(i)
		keep := kept[i]
		mean := keep * f[wanderMean]
		p := keep*keep*f[wanderVariance] + (1-keep*keep)*both
		total := p + variance
		off, gain := within(z-mean, total), p/total
		f[wanderLog] -= (math.Log(total) + off*off/total) / 2
		f[wanderMean] = mean + gain*off
		f[wanderVariance] = (1 - gain) * p
		for s := w.From; s < starts; s++ {
			e := w.Starts[(s*wanderLaws+i)*startFields:][:startFields]
			answer := keep * float64(e[startAnswer])
			seen := 1 - answer
			e[startAnswer] = float32(answer + gain*seen)
			e[startScore] += float32(seen * off / total)
			e[startInformation] += float32(seen * seen / total)
		}
	}
}

// farthest is how many standard deviations a tick counts at most: an outage or a clump
// is no normal variable.
const farthest = 5

func within(off, variance float64) float64 {
	if off*off <= farthest*farthest*variance {
		return off
	}
	return math.Copysign(farthest*math.Sqrt(variance), off)
}

// keptOver is what each law keeps of where it was over so many seconds.
func keptOver(seconds float64) (kept [wanderLaws]float64) {
	kept[0] = math.Exp(-seconds / usualWanderSeconds)
	for k, forget := range wanderTimes {
		keep := math.Exp(-seconds / forget)
		for i := 1 + k; i < wanderLaws; i += len(wanderTimes) {
			kept[i] = keep
		}
	}
	return kept
}

// watch takes in stable's level with the variance that its requests give it.
func (w *wander) watch(level, variance, seconds float64) {
	if len(w.Laws) == 0 {
		return
	}
	kept := keptOver(seconds)
	for i := range laws {
		f := w.Laws[i*wanderFields : (i+1)*wanderFields]
		_, own := w.sizes(i)
		if !w.Seen {
			// The first is where it lasts, give or take what wanders.
			total := own + variance
			f[ownLasting], f[ownLastingVariance] = level, total
			f[ownWander], f[ownWanderVariance], f[ownCovariance] = 0, own, -own
			continue
		}
		keep := kept[i]
		f[ownWander] *= keep
		f[ownCovariance] *= keep
		f[ownWanderVariance] = keep*keep*f[ownWanderVariance] + (1-keep*keep)*own
		a, b := f[ownLastingVariance]+f[ownCovariance], f[ownWanderVariance]+f[ownCovariance]
		total := a + b + variance
		off := within(level-f[ownLasting]-f[ownWander], total)
		f[ownLog] -= (math.Log(total) + off*off/total) / 2
		f[ownLasting] += a / total * off
		f[ownWander] += b / total * off
		f[ownLastingVariance] -= a * a / total
		f[ownCovariance] -= a * b / total
		f[ownWanderVariance] -= b * b / total
	}
	w.Seen = true
}

// wanderWeights are the logarithms of how likely the laws are, without and with
// a shift's prior, relative to the likeliest without it; and their parts of the
// whole, without, where they show.
type wanderWeights struct{ even, shifted, part [wanderLaws]float64 }

// coveredBy lists, for each law, the laws that cover it.
var coveredBy = func() (by [wanderLaws][]int) {
	for i, l := range laws {
		for k, other := range laws {
			if other.covers(l) {
				by[i] = append(by[i], k)
			}
		}
	}
	return by
}()

// weights weighs the laws by what was seen. Where no wandering at all is what is
// likeliest, other evidence speaks of that, and only the other laws are weighed
// against a shift.
func (w *wander) weights() (p wanderWeights) {
	known := w.Information * w.Unit * w.Unit / w.Full
	settled := 0.0
	if w.Settles > 0 {
		settled = w.Lasted / w.Settles
	}
	odds := math.Log(min(1, w.Least+known*known+settled*settled))
	top := math.Inf(-1)
	for i, l := range laws {
		var seen float64
		if len(w.Laws) > 0 {
			still := math.Inf(-1)
			for _, k := range coveredBy[i] {
				still = max(still, w.Laws[k*wanderFields+ownLog])
			}
			seen = w.Laws[i*wanderFields+wanderLog] + still
		}
		p.even[i], p.shifted[i] = seen, seen+l.logPrior
		if i > 0 {
			p.even[i] += odds
		}
		if i > 0 || !w.Still {
			top = max(top, p.even[i])
		}
	}
	var all float64
	for i := range laws {
		p.even[i] -= top
		p.shifted[i] -= top
		if p.even[i] > -negligible {
			p.part[i] = math.Exp(p.even[i])
			all += p.part[i]
		}
	}
	for i := range p.part {
		p.part[i] /= all
	}
	return p
}

// of is the variance that a law puts into a mean over so many seconds.
func (l wanderLaw) of(seconds float64) float64 {
	x := max(seconds, 1e-3) / l.seconds
	if x < 1e-2 {
		return l.variance
	}
	return l.variance * 2 / (x * x) * (x + math.Expm1(-x))
}

// over is the variance that wandering puts into a mean over so many seconds.
func (p *wanderWeights) over(seconds float64) float64 {
	var sum float64
	for i, l := range laws {
		if p.part[i] > 0 {
			sum += p.part[i] * l.of(seconds)
		}
	}
	return sum
}

// estimate is what a law makes of the shift since start s, and its variance; ok
// is false when nothing was seen.
func (w *wander) estimate(law, s int) (shift, variance float64, ok bool) {
	e := w.Starts[(s*wanderLaws+law)*startFields:][:startFields]
	information := float64(e[startInformation])
	if information <= 0 {
		return 0, 0, false
	}
	return float64(e[startScore]) / information, 1 / information, true
}

// evidence is the logarithm of the e-value against "no shift since start s" from
// what was seen since: how much likelier it is by the mixture of the laws with a
// shift than by the likeliest law without. between is a variance that time does
// not reduce.
func (w *wander) evidence(p *wanderWeights, s int, between, unit float64) float64 {
	if len(w.Laws) == 0 {
		return 0
	}
	terms := p.shifted
	for i := range laws {
		shift, variance, ok := w.estimate(i, s)
		if ok && terms[i]+gain(shift, variance+between) > -negligible {
			terms[i] += shiftEvidence(shift, variance+between, unit)
		}
	}
	return stats.LogSumExp(terms[:])
}

// atMost is a bound of evidence from above.
func (w *wander) atMost(p *wanderWeights, s int, between float64) float64 {
	if len(w.Laws) == 0 {
		return 0
	}
	most := math.Inf(-1)
	for i := range laws {
		at := p.shifted[i]
		if shift, variance, ok := w.estimate(i, s); ok {
			at += gain(shift, variance+between)
		}
		most = max(most, at)
	}
	return most + math.Log(float64(wanderLaws))
}

// gain is by how much the likeliest shift that is harm is likelier than none.
func gain(shift, variance float64) float64 {
	most := max(0, shift)
	return most * most / (2 * variance)
}

package analysis

import (
	"fmt"
	"math"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/stats"
)

// businessCheck judges one business figure, of which less is worse: a
// conversion, a value without bounds, or a score with one. Which of them it is
// the first tick says that has it. Such figures rarely show anything within a
// phase, so they can only speak against the canary.
type businessCheck struct {
	Conversion *counts      `json:"conversion,omitempty"`
	Values     *valueMeans  `json:"values,omitempty"`
	Scores     *scoreBets   `json:"scores,omitempty"`
	Stakes     stakes       `json:"stakes"`
	Starts     int          `json:"starts"`
	Totals     [2]bizTotals `json:"totals"`
	// Measured counts the ticks of this phase that had figures of both arms.
	Measured int `json:"measured,omitempty"`
}

// bizTotals are an arm's figures over the run: trials and successes, or how many
// values and their sum. The canary's come first.
type bizTotals struct {
	N   float64 `json:"n,omitempty"`
	Sum float64 `json:"sum,omitempty"`
}

func (b bizTotals) mean() float64 { return b.Sum / max(1, b.N) }

// dropRatios are the ratios stable : canary of a conversion that are looked for:
// from 3 % less to three quarters less.
var dropRatios = stats.Geometric(1.03, 4, countLikelihoods)

func newBusinessCheck(starts int) *businessCheck {
	return &businessCheck{Stakes: laterParts(rareLaterStake, starts), Starts: 1}
}

func (b *businessCheck) clone() *businessCheck {
	c := *b
	if b.Conversion != nil {
		c.Conversion = new(b.Conversion.clone())
	}
	if b.Values != nil {
		v := *b.Values
		v.Means = v.Means.clone()
		c.Values = &v
	}
	if b.Scores != nil {
		c.Scores = new(*b.Scores)
	}
	return &c
}

func (b *businessCheck) newPhase() { b.Measured = 0 }

func (b *businessCheck) mark() {
	switch {
	case b.Conversion != nil:
		b.Conversion.mark()
	case b.Values != nil:
		b.Values.Means.mark()
	case b.Scores != nil:
		b.Scores.mark(b.Stakes.logOf(b.Starts))
	}
	b.Starts++
}

// form is what a sample of a business figure holds.
type form int

const (
	noForm form = iota
	conversionForm
	valueForm
	scoreForm
)

func formOf(s rollout.BusinessSample) form {
	switch {
	case s.Trials != nil && s.Successes != nil:
		return conversionForm
	case s.Count != nil && s.Sum != nil && s.Max != nil:
		return scoreForm
	case s.Count != nil && s.Sum != nil && s.SumSquares != nil:
		return valueForm
	}
	return noForm
}

func (b *businessCheck) form() form {
	switch {
	case b.Conversion != nil:
		return conversionForm
	case b.Values != nil:
		return valueForm
	case b.Scores != nil:
		return scoreForm
	}
	return noForm
}

// businessScale makes the largest noise looked for in an arm's figure 10 %.
const businessScale = 0.5

// businessLeast is the weight of the laws of noise at first: such figures take an
// hour to show anything, and there is no haste.
const businessLeast = 0.2

// begin chooses the engine, which then has as many starts as the run has had.
func (b *businessCheck) begin(f form, margin float64) {
	switch f {
	case conversionForm:
		b.Conversion = new(newCounts(b.Stakes))
		b.Conversion.Wander = newWander(businessScale, margin, true)
		b.Conversion.Wander.Least = businessLeast
	case valueForm:
		b.Values = &valueMeans{Means: newMeans(b.Stakes)}
		b.Values.Means.Wander = newWander(businessScale, margin, false)
		b.Values.Means.Wander.Least = businessLeast
	case scoreForm:
		b.Scores = newScoreBets(b.Stakes.logOf(0))
	}
	missed := b.Starts - 1
	b.Starts = 1
	for range missed {
		b.mark()
	}
}

func (b *businessCheck) rule(r rules) countRule {
	return countRule{null: r.tolerated(), alpha: r.alpha, exactOnly: r.check.ExactOnly, ratios: dropRatios, margin: r.margin}
}

func (b *businessCheck) add(r rules, t reading) bool {
	if !t.control || t.canary == nil || t.stable == nil {
		return false
	}
	canary, stable := t.canary.Business[r.check.Name], t.stable.Business[r.check.Name]
	f := formOf(canary)
	if f == noForm || formOf(stable) != f {
		return false
	}
	if b.form() == noForm {
		b.begin(f, r.margin)
	}
	if b.form() != f {
		return false
	}
	b.Measured++
	switch f {
	case conversionForm:
		b.Totals[0].add(*canary.Trials, *canary.Successes)
		b.Totals[1].add(*stable.Trials, *stable.Successes)
		// The engine asks whose rate is higher, and here higher is better: the
		// arms change places.
		b.Conversion.add(b.rule(r), countTick{
			canaryEvents: *stable.Successes, canaryExposure: *stable.Trials,
			stableEvents: *canary.Successes, stableExposure: *canary.Trials,
			duration: r.timing.seconds(t.dt),
		})
	case valueForm:
		b.Totals[0].add(*canary.Count, *canary.Sum)
		b.Totals[1].add(*stable.Count, *stable.Sum)
		b.Values.add(canary, stable, math.Log(r.tolerated()), r.timing.seconds(t.dt))
	case scoreForm:
		b.Totals[0].add(*canary.Count, *canary.Sum)
		b.Totals[1].add(*stable.Count, *stable.Sum)
		b.Scores.add(canary, stable)
	}
	return true
}

func (b *bizTotals) add(n, sum float64) { b.N += n; b.Sum += sum }

// valueMeans compares the means of values without bounds, on the logarithm.
type valueMeans struct {
	Means means `json:"means"`
	// N, Sum and Squares are stable's, for the variance of a value.
	N       float64 `json:"n,omitempty"`
	Sum     float64 `json:"sum,omitempty"`
	Squares float64 `json:"squares,omitempty"`
}

// valueLimit is how many standard errors a tick's difference may count: a single
// huge order must not decide.
const valueLimit = 3

func (v *valueMeans) add(canary, stable rollout.BusinessSample, null, seconds float64) {
	variance := v.relative()
	if variance > 0 && *stable.Count > 0 && *stable.Sum > 0 {
		v.Means.Wander.watch(math.Log(*stable.Sum / *stable.Count), v.Means.Noise.Shortest()*variance / *stable.Count, seconds)
	}
	if variance > 0 && *canary.Count > 0 && *stable.Count > 0 && *canary.Sum > 0 && *stable.Sum > 0 {
		n := *canary.Count * *stable.Count / (*canary.Count + *stable.Count)
		limit := valueLimit * math.Sqrt(variance/n)
		// Less is worse, so stable's over the canary's is harm.
		shift := math.Log(*stable.Sum / *stable.Count) - math.Log(*canary.Sum / *canary.Count)
		v.Means.add(meanTick{
			shift: max(-limit, min(limit, shift)), requests: n, variance: variance,
			canaryRequests: *canary.Count, duration: seconds, null: null,
		})
	}
	v.N += *stable.Count
	v.Sum += *stable.Sum
	v.Squares += *stable.SumSquares
}

// relative is the variance of a value in units of its mean squared; 0 while it
// is not known.
func (v *valueMeans) relative() float64 {
	if v.N < leastRequests || v.Sum <= 0 {
		return 0
	}
	mean := v.Sum / v.N
	return max(leastVariance, (v.Squares/v.N-mean*mean)/(mean*mean))
}

// scoreBets bets that the canary's mean score is lower, exact for any
// distribution of scores between 0 and their largest (Waudby-Smith and Ramdas
// 2024): a tick's factor is 1+λd, and d, the difference of two means between 0
// and 1, is not positive on average when the canary's are no lower.
type scoreBets struct {
	Logs [len(scoreStakes)]float64 `json:"logs"`
}

// scoreStakes are the λ that are mixed.
var scoreStakes = [...]float64{.02, .05, .1, .2, .4, .8}

func newScoreBets(stake float64) *scoreBets {
	var b scoreBets
	for i := range b.Logs {
		b.Logs[i] = stake
	}
	return &b
}

func (b *scoreBets) mark(stake float64) {
	for i := range b.Logs {
		b.Logs[i] = stats.LogAddExp(b.Logs[i], stake)
	}
}

func (b *scoreBets) add(canary, stable rollout.BusinessSample) {
	if *canary.Count <= 0 || *stable.Count <= 0 || *canary.Max != *stable.Max {
		return
	}
	d := (*stable.Sum / *stable.Count - *canary.Sum / *canary.Count) / *canary.Max
	for i, stake := range scoreStakes {
		b.Logs[i] += math.Log1p(stake * d)
	}
}

// find returns the evidence, the best start and the ratio stable : canary over
// its window.
func (b *businessCheck) find(r rules) (ev evidence, harm float64) {
	switch b.form() {
	case conversionForm:
		ev = b.Conversion.evidence(b.rule(r), &[maxStarts]float64{})
		harm = boundedRatio(b.Conversion.since(ev.start, countNumerator), b.Conversion.since(ev.start, countDenominator))
	case valueForm:
		if r.check.ExactOnly {
			return ev, 0
		}
		laws := b.Values.Means.Wander.weights()
		ev = b.Values.Means.evidence(&laws, r.margin, 0, 0, r.starts)
		if shift, _, ok := b.Values.Means.estimate(ev.start, r.starts); ok {
			harm = min(maxRatio, math.Exp(shift))
		}
	case scoreForm:
		ev.log = stats.LogAddExp(stats.LogMeanExp(b.Scores.Logs[:]), b.Stakes.logKept(b.Starts))
		if b.Totals[0].N > 0 && b.Totals[1].N > 0 {
			harm = boundedRatio(b.Totals[1].mean(), b.Totals[0].mean())
		}
	}
	return ev, harm
}

func (b *businessCheck) result(r rules, t reading) Result {
	ev, harm := b.find(r)
	res := Result{Judged: true, VetoOnly: true, Verdict: Inconclusive, Evidence: eValue(ev.log)}
	if harm > 0 {
		res.Ratio = 1 / harm
	}
	if b.Totals[0].N > 0 {
		at := r.starts[min(ev.start, len(r.starts)-1)].At
		res.Since = &at
	}
	if !t.control {
		res.Flags = append(res.Flags, "no-control")
	}
	if b.form() != scoreForm && !r.check.ExactOnly {
		res.Flags = append(res.Flags, "approximate")
	}
	large := harm >= r.margin
	if large && res.Evidence >= 1/r.alpha {
		res.Verdict = Fail
	} else {
		res.Acceptable = !(large && res.Evidence >= 1/beta) && (b.Measured > 0 || !t.control)
	}
	res.Message = b.message(r, res, t)
	return res
}

func (b *businessCheck) message(r rules, res Result, t reading) string {
	name := r.check.Name
	switch {
	case b.Measured == 0 && t.control:
		return name + " of both arms was not measured in this phase"
	case b.form() == valueForm && r.check.ExactOnly:
		return name + " has no exact evidence; remove exactOnly to have it judged"
	case res.Ratio == 0:
		return name + ": too few figures to compare yet"
	}
	write := percent
	if b.form() != conversionForm {
		write = number
	}
	text := fmt.Sprintf("%s %s stable (%s against %s)", name, times(res.Ratio), write(b.Totals[0].mean()), write(b.Totals[1].mean()))
	if !t.control {
		text += " before stable lost its traffic"
	}
	return text + ", " + odds(res.Evidence, 1/r.alpha)
}

package analysis

import (
	"math"

	"serin.dev/serin/internal/stats"
)

// counts is the engine for events that are rare among many exposures: errors
// among requests, slow responses among responses. It asks whether the canary's
// rate is above r0 times stable's, from each tick's events given how many there
// were in both arms together, so that load, time of day and incidents that both
// arms share cancel.
//
// Its evidence is half a bet B, exact however events clump inside a tick, and
// half a likelihood ratio C, faster when events are many and tempered by the
// noise seen (φ̂), so approximate.
type counts struct {
	// Bets holds, for every ratio and clump size, the mixture over the starts
	// that have begun. A product restarted with a stake at each start is one
	// number, whatever the number of starts.
	Bets Vector `json:"bets"`
	// From is, for each bet, the start that carries most of it.
	From Vector `json:"from"`
	// Cut says that nearly all of the canary's exposures in the latest tick were
	// events: a clump that the tick's end may have cut in two.
	Cut bool `json:"cut,omitempty"`
	// Sums holds the log likelihood ratios and the totals indexed below.
	Sums  sums             `json:"sums"`
	Noise stats.Dispersion `json:"noise"`
	// Clumps is how much stable's events clump by themselves, and Own the
	// canary's, which is known sooner.
	Clumps stats.Fano `json:"clumps"`
	Own    stats.Fano `json:"own"`
	// Gross is the bet on a gross fault.
	Gross gross `json:"gross"`
	// Alone is how much stable's own events come and go with time. Beside the
	// canary's they cancel; without control nothing does.
	Alone stats.Dispersion `json:"alone"`
	// Wander is what is known of rates that come and go in each arm by itself;
	// engines for events too rare to show it, and tails, which go with the times,
	// have none.
	Wander wander `json:"wander,omitzero"`
}

// harmRatios are the ratios to stable's rate (times the null's) that are looked
// for: +22 % to 40-fold. Ratios well outside of what is likely earn their stake:
// on few events, they are what the early luck of a bad canary looks like.
var harmRatios = stats.Geometric(math.Exp(0.2), 40, countLikelihoods)

// harmLogs are their logarithms.
var harmLogs = func() (logs [countLikelihoods]float64) {
	for j, r := range harmRatios {
		logs[j] = math.Log(r)
	}
	return logs
}()

// clumpSizes are the sizes for which bets are tuned.
var clumpSizes = [...]float64{1, 8}

// countNoise is what is taken to be known of clumping before any was seen.
const countNoise = 1.5

// enoughEvents is how much variance (about: events) a block of ticks needs
// before it says something of the noise.
const enoughEvents = 0.5

// The totals in Sums, after one log likelihood ratio for each of harmRatios.
const (
	countLikelihoods = 16
	// Mantel-Haenszel numerator and denominator of the rate ratio, and the
	// information on its logarithm.
	countNumerator = countLikelihoods + iota - 1
	countDenominator
	countInformation
	// Events and exposures as they were.
	countCanaryEvents
	countCanaryExposure
	countStableEvents
	countStableExposure
	// The numerators again for events beyond the margin, for a tail.
	countCanaryBeyond
	countStableBeyond
	countTotals
)

// countTick is one tick's events.
type countTick struct {
	canaryEvents, canaryExposure float64
	stableEvents, stableExposure float64
	// Events that are also beyond the margin; only a tail has them.
	canaryBeyond, stableBeyond float64
	// duration is the tick's, in seconds of a plan with phases of half an hour.
	duration float64
	// level, when not zero, replaces stable's figures: its rate as known from
	// earlier.
	level level
}

// level is stable's rate as it was while it had traffic.
type level struct {
	// estimate is the likeliest rate, cautious the highest that is credible.
	estimate, cautious float64
	// beyond is the estimate for events beyond the margin.
	beyond float64
	// unrest is by how much stable's own noise over time exceeded that of
	// events that come one by one, at least 1.
	unrest float64
}

// countRule is what a counts engine is asked.
type countRule struct {
	// null is the rate ratio that is tolerated.
	null float64
	// alpha is the engine's share of the error probability.
	alpha     float64
	exactOnly bool
	// ratios are what is looked for, countLikelihoods of them; nil for
	// harmRatios.
	ratios []float64
	// gross is the part of the stake that is on a gross fault.
	gross float64
	// margin is the ratio that is harm.
	margin float64
}

// looksFor are the ratios that are looked for.
func (r countRule) looksFor() []float64 {
	if r.ratios == nil {
		return harmRatios
	}
	return r.ratios
}

func newCounts(p stakes) counts {
	c := counts{
		Bets:  make(Vector, countLikelihoods*len(clumpSizes)),
		From:  make(Vector, countLikelihoods*len(clumpSizes)),
		Sums:  newSums(countTotals, p),
		Noise: stats.Dispersion{Prior: countNoise},
		Gross: gross{Worth: 1},
	}
	for i := range c.Bets {
		c.Bets[i] = math.Exp(p.logOf(0))
	}
	return c
}

func (c counts) clone() counts {
	s := make(slab, countFloats)
	return c.cloneIn(&s)
}

// countFloats is how many numbers a copy needs.
const countFloats = 2*countLikelihoods*len(clumpSizes) + countTotals

func (c counts) cloneIn(s *slab) counts {
	c.Bets, c.From = s.clone(c.Bets), s.clone(c.From)
	c.Sums.Total = s.clone(c.Sums.Total)
	c.Wander = c.Wander.cloneIn(s)
	return c
}

// mark begins another start.
func (c *counts) mark() {
	start := c.Sums.starts()
	stake := math.Exp(c.Sums.Stakes.logOf(start))
	c.Sums.mark()
	c.Wander.mark()
	for i := range c.Bets {
		// What happens from now on multiplies both parts.
		if stake > c.Bets[i] {
			c.From[i] = float64(start)
		}
		c.Bets[i] += stake
	}
}

// bet multiplies a stake. One beyond any meaning stays there: a fortune is
// beyond every threshold, and a ruin cannot be told from nothing.
func (c *counts) bet(i int, factor float64) {
	switch v := c.Bets[i] * factor; {
	case v > fortune:
		c.Bets[i] = fortune
	case v < 1/fortune:
		c.Bets[i] = 0
	default:
		c.Bets[i] = v
	}
}

const fortune = 1e250

// ratio is the Mantel-Haenszel estimate of all ticks so far, drawn to 1 by one
// event's worth of pseudo-counts at exposure ratio a.
func (c *counts) ratio(a float64) float64 {
	prior := a / (1 + a) / (1 + a)
	return (c.Sums.Total[countNumerator] + prior) / (c.Sums.Total[countDenominator] + prior)
}

// add takes in one tick. A tick without exposure on a side says nothing. The
// tick after one in which nearly all of the canary's requests were events is
// sat out: what a clump left over is known beforehand, and no bet on it would
// be fair. One tick only: a canary that goes on failing is no clump.
func (c *counts) add(rule countRule, t countTick) {
	if t.level != (level{}) {
		c.addKnown(rule, t)
		return
	}
	if t.canaryExposure <= 0 || t.stableExposure <= 0 {
		return
	}
	x, k := t.canaryEvents, t.canaryEvents+t.stableEvents
	a := t.canaryExposure / t.stableExposure
	ratio := c.ratio(a)
	share := stats.CanaryShare(ratio, a)
	information := k * share * (1 - share)
	if p0 := stats.CanaryShare(rule.null, a); k > 0 {
		if rule.gross > 0 {
			c.Gross.add(t, p0, c.Cut)
		}
		if !c.Cut {
			c.weigh(rule, x, k, a, p0, c.usual(t))
		}
	}
	c.wander(rule, t, x, k, a)
	c.Cut = !c.Cut && x > cutShare*t.canaryExposure
	c.Noise.Add(x-k*share, information, enoughEvents)
	if usual, ok := c.stableRate(); ok {
		expected := t.stableExposure * usual
		c.Alone.Add(t.stableEvents-expected, expected, enoughEvents)
	}
	all := t.canaryExposure + t.stableExposure
	c.total(t, t.stableExposure/all, t.canaryExposure/all, information)
	c.Sums.Total[countStableEvents] += t.stableEvents
	c.Sums.Total[countStableExposure] += t.stableExposure
	c.Clumps.Add(t.stableEvents, t.stableExposure)
	c.Own.Add(t.canaryEvents, t.canaryExposure)
}

// wander shows a tick to the laws of wandering: by which part the canary had more
// than its due, and stable more than before.
func (c *counts) wander(rule countRule, t countTick, x, k, a float64) {
	if len(c.Wander.Laws) == 0 {
		return
	}
	noise := c.single()
	due := stats.CanaryShare(rule.null, a)
	if information := k * due * (1 - due); information > 0 {
		c.Wander.add((x-k*due)/information, noise/information, t.duration, false)
	}
	if usual, ok := c.stableRate(); ok {
		expected := t.stableExposure * usual
		c.Wander.watch(t.stableEvents/expected-1, noise/expected, t.duration)
	}
}

// usual is how many events both arms would have in a tick of so many exposures
// at the rate so far.
func (c *counts) usual(t countTick) float64 {
	events := c.Sums.Total[countCanaryEvents] + c.Sums.Total[countStableEvents]
	exposure := c.Sums.Total[countCanaryExposure] + c.Sums.Total[countStableExposure]
	if exposure <= 0 {
		return 0
	}
	return events / exposure * (t.canaryExposure + t.stableExposure)
}

// fullStake is the part of the usual number of events from which on a bet is as
// large as a tick's own number asks for, where stable's events come one by one or
// in clumps. More would be slower on real faults.
const fullStake = 0.7

// full is the number of events from which on a bet is as large as a tick's own
// number asks for. It is the larger the more stable's rate goes up and down by
// itself: a bet is smaller in a tick with many events, so where the many are
// stable's, what the canary loses in such ticks weighs less than what it wins in
// others. Clumps make no bet unfair: the canary, which has few events, shows ups and
// downs less and clumps just as much, so what both arms show is taken for clumps. It
// depends on earlier ticks only.
func (c *counts) full(usual float64) float64 {
	unrest := 0.0
	if mean := c.Clumps.Mean(); mean > 0 {
		unrest = math.Sqrt(max(0, stats.FanoOf(1, &c.Clumps)-stats.FanoOf(1, &c.Own)) / mean)
	}
	return (fullStake + unrest) * usual
}

// weigh takes x of k events for and against every ratio. It is
// stats.LogLikelihoodRatio and stats.Bet for all of them at once, but for the
// size of a bet. In a tick with few events it is in proportion to k:
// then what is won is in proportion to x minus the canary's due, whose mean is
// right even where each arm has ups and downs of its own in every tick. The
// canary's part of a tick's events is too large on average then: it is largest
// when stable happens to have few. Given k, every size of a bet is fair.
func (c *counts) weigh(rule countRule, x, k, a, p0, usual float64) {
	limit := c.limit(rule, x, p0)
	base := 1 + rule.null*a
	full := max(k, c.full(usual))
	due := p0 * full
	y := (x - p0*k) / due
	sums := c.Sums.Total[:countLikelihoods]
	for j, r := range rule.looksFor() {
		odds := r * rule.null * a
		log := harmLogs[j]
		if rule.ratios != nil {
			log = math.Log(r)
		}
		sums[j] += min(limit, x*log-k*math.Log((1+odds)/base))
		q := odds / (1 + odds)
		gain := q/p0 - 1
		floor := (q - p0) / (1 - p0)
		single := (1 + gain) * (1 - q) / due
		for f, clump := range clumpSizes {
			c.bet(j*len(clumpSizes)+f, stats.BetFactor(y, floor, gain, clump*single))
		}
	}
}

// addKnown takes in a tick of the canary alone, against stable's level. What
// it says is tempered by stable's unrest: an incident such as stable has had
// before is no sign of the canary. A power below one of a fair factor is fair.
func (c *counts) addKnown(rule countRule, t countTick) {
	if t.canaryExposure <= 0 {
		return
	}
	x, mu := t.canaryEvents, t.canaryExposure*t.level.cautious
	limit := c.limit(rule, x, 0)
	for j, r := range rule.looksFor() {
		if c.Cut {
			break
		}
		r *= rule.null
		c.Sums.Total[j] += min(limit, stats.LogLikelihoodRatioKnown(x, mu, rule.null, r)/t.level.unrest)
		for f, clump := range clumpSizes {
			c.bet(j*len(clumpSizes)+f, math.Pow(stats.BetKnown(x, mu, rule.null, r, clump), 1/t.level.unrest))
		}
	}
	if mu > 0 {
		c.Wander.add(x/mu-1, c.single()*t.level.unrest/mu, t.duration, true)
	}
	c.Cut = !c.Cut && x > cutShare*t.canaryExposure
	expected := t.canaryExposure * t.level.estimate * c.ratio(1)
	c.Noise.Add(x-expected, expected, enoughEvents)
	t.stableEvents = t.level.estimate
	t.stableBeyond = t.level.beyond
	c.total(t, 1, t.canaryExposure, expected)
}

// cutShare is the part of the canary's exposures above which events are taken
// to be a clump that goes on.
const cutShare = 0.9

func (c *counts) total(t countTick, canaryWeight, stableWeight, information float64) {
	total := c.Sums.Total
	total[countNumerator] += t.canaryEvents * canaryWeight
	total[countDenominator] += t.stableEvents * stableWeight
	total[countInformation] += information
	total[countCanaryEvents] += t.canaryEvents
	total[countCanaryExposure] += t.canaryExposure
	total[countCanaryBeyond] += t.canaryBeyond * canaryWeight
	total[countStableBeyond] += t.stableBeyond * stableWeight
}

// limit caps what one tick with x events of the canary's may add to C, so that
// no single tick decides. share is the part of single events that fall on the
// canary under the null; 0 against a known level.
//
// All events of a tick may be one clump as long as too little was seen of the
// noise. Then n such ticks fall on the canary with probability share^n, and
// multiply the evidence by no more than share^-n, but for clumps of hundreds,
// which are the less likely the larger they are.
func (c *counts) limit(rule countRule, x, share float64) float64 {
	limit := (math.Log(1/rule.alpha) + gridCost) / 2
	if c.Clumps.Pairs < knownPairs && share > 0 {
		limit = min(limit, math.Log1p(x/largeClump)-math.Log(share))
	}
	return c.phi() * limit
}

// phi is the noise. Each arm's own ups and downs tell of clumps before the arms'
// comparison can, and also when nearly all fell on one arm, where the comparison
// sees nothing: then its estimate is drawn to theirs. Where events that come one
// by one would be many a tick, the comparison knows soon, and ups and downs may
// be both arms': then they count less.
func (c *counts) phi() float64 { return c.Noise.PhiFrom(c.clumping()) }

// single is the noise of single ticks.
func (c *counts) single() float64 { return c.Noise.ShortestFrom(c.clumping()) }

// clumping is what each arm's own ups and downs say of the noise, at least 1.
func (c *counts) clumping() float64 {
	prior := stats.FanoOf(countNoise, &c.Clumps, &c.Own)
	if over := prior - countNoise; over > 0 {
		single := c.Sums.Total[countInformation] / prior
		prior = countNoise + over/(1+single/max(1, c.Clumps.Pairs+c.Own.Pairs))
	}
	return max(1, prior)
}

const (
	// gridCost is what the mean over the ratios takes away when all but one or
	// two of them are at the limit.
	gridCost = 0.2
	// knownPairs is how many pairs of ticks with events of stable's it takes to
	// know the noise.
	knownPairs = 30
	// largeClump is the number of events from which on one clump gets unlikely.
	largeClump = 200
)

// evidence is what an engine says after a tick.
type evidence struct {
	// log is the logarithm of the e-value.
	log float64
	// start is the index of the start that carries most of it.
	start int
}

// evidence is what the ticks so far say against the null. between is, for each
// start's window, the variance of the logarithm of the rate ratio that more
// events do not reduce: what instances of one version differ by. The window's
// likelihood ratio is tempered by it as by noise, since (φ + I·between)/I is the
// variance of the estimate; a power of a bet below one is a bet still.
func (c *counts) evidence(rule countRule, between *[maxStarts]float64) evidence {
	starts := c.Sums.starts()
	kept := math.Exp(c.Sums.Stakes.logKept(starts))
	phi := c.phi()
	// The logarithms of all terms of the mixture, and their largest: what is
	// far below it does not show in the sum and needs no exponential.
	var terms [maxStarts][countLikelihoods]float64
	var stakes [maxStarts]float64
	c.Sums.Stakes.logs(&stakes, starts)
	top := 0.0
	for s := range starts {
		temper := 1 / (phi + between[s]*c.Sums.since(s, countInformation))
		stake := stakes[s]
		total, before := c.Sums.window(s)
		for j := range terms[s] {
			sum := total[j]
			if before != nil {
				sum -= before[j]
			}
			terms[s][j] = stake + sum*temper
			top = max(top, terms[s][j])
		}
	}
	likelihood := kept * math.Exp(-top)
	var part [maxStarts]float64
	for s := range starts {
		sum := 0.0
		for _, t := range terms[s] {
			if t > top-negligible {
				sum += math.Exp(t - top)
			}
		}
		sum /= countLikelihoods
		likelihood += sum
		part[s] = sum
	}
	if rule.exactOnly {
		part = [maxStarts]float64{}
	}
	bets := kept
	for i, b := range c.Bets {
		b /= float64(len(c.Bets))
		bets += b
		part[int(c.From[i])] += b * math.Exp(-top)
	}
	best := 0
	for s := range starts {
		if part[s] > part[best] {
			best = s
		}
	}
	exact := math.Log(bets) * phi / (phi + between[best]*c.Sums.Total[countInformation])
	log := exact
	if !rule.exactOnly {
		log = stats.LogAddExp(exact, top+math.Log(likelihood)) - math.Ln2
	}
	if log > 0 && len(c.Wander.Laws) > 0 && c.since(best, countNumerator) < outOfReach*(c.since(best, countDenominator)+0.5) {
		// An e-value against clumping noise, and one against noise that wanders: the
		// smaller is one against both.
		log = min(log, max(0, c.apart(rule)))
	}
	return evidence{log: stats.LogAddExp(math.Log(1-rule.gross)+log, math.Log(rule.gross*c.Gross.Worth)), start: best}
}

// atMost is a bound of evidence's logarithm from above, in a small part of its
// time: every term of a mean is taken for its largest.
func (c *counts) atMost(rule countRule, between *[maxStarts]float64) float64 {
	starts := c.Sums.starts()
	kept := math.Exp(c.Sums.Stakes.logKept(starts))
	phi := c.phi()
	var stakes [maxStarts]float64
	c.Sums.Stakes.logs(&stakes, starts)
	top := math.Inf(-1)
	for s := range starts {
		total, before := c.Sums.window(s)
		most := total[0]
		if before != nil {
			most -= before[0]
		}
		for j := 1; j < countLikelihoods; j++ {
			sum := total[j]
			if before != nil {
				sum -= before[j]
			}
			if sum > most {
				most = sum
			}
		}
		top = max(top, stakes[s]+most/(phi+between[s]*c.Sums.since(s, countInformation)))
	}
	bets := kept
	for _, b := range c.Bets {
		bets += b / float64(len(c.Bets))
	}
	// What instances differ by draws the bets' logarithm to 0.
	log := max(0, math.Log(bets))
	if !rule.exactOnly {
		log = stats.LogAddExp(log, stats.LogAddExp(math.Log(kept), top+math.Log(float64(starts)))) - math.Ln2
	}
	return stats.LogAddExp(math.Log(1-rule.gross)+log, math.Log(rule.gross*c.Gross.Worth))
}

// outOfReach is the ratio beyond which no law of wandering takes two arms: four standard
// deviations of the widest. There the part of a tick's events that are the canary's,
// which cannot exceed 1, says too little of how far.
const outOfReach = 50

// apart is the evidence that the arms differ by more than wandering.
func (c *counts) apart(rule countRule) float64 {
	weights := c.Wander.weights()
	starts := c.Sums.starts()
	var stakes [maxStarts]float64
	c.Sums.Stakes.logs(&stakes, starts)
	var terms [maxStarts + 1]float64
	for s := range starts {
		terms[s] = stakes[s] + c.Wander.evidence(&weights, s, 0, rule.margin-1)
	}
	terms[starts] = c.Sums.Stakes.logKept(starts)
	return stats.LogSumExp(terms[:starts+1])
}

// negligible is how far below the largest a term's logarithm has no part in a
// sum that is shown with three digits.
const negligible = 16

// since returns total i over the window of start s.
func (c *counts) since(s, i int) float64 { return c.Sums.since(s, i) }

// stableRate is the estimate of stable's rate over the run so far; ok is false
// when it never had traffic.
func (c *counts) stableRate() (rate float64, ok bool) {
	exposure := c.Sums.Total[countStableExposure]
	if exposure <= 0 {
		return 0, false
	}
	return (c.Sums.Total[countStableEvents] + 0.5) / exposure, true
}

// levelNow is stable's rate over the run so far, for the time when it has no
// traffic any more; ok is false when it never had any.
func (c *counts) levelNow() (l level, ok bool) {
	total := c.Sums.Total
	events, exposure := total[countStableEvents], total[countStableExposure]
	if l.estimate, ok = c.stableRate(); !ok {
		return level{}, false
	}
	l.cautious = levelDrift * (events + 1 + 2*math.Sqrt(c.phi()*(events+1))) / exposure
	l.unrest = c.Alone.Phi()
	if d := total[countDenominator]; d > 0 {
		l.beyond = l.estimate * total[countStableBeyond] / d
	}
	return l, true
}

// levelDrift is how far stable's rate may have drifted since it was last seen.
const levelDrift = 1.25

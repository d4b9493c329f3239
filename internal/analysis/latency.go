package analysis

import (
	"math"

	"serin.dev/serin/internal/rollout"
)

// latencyCheck judges response times: their body, that is all of them, and
// their tail, above stable's p95 and p99. Until the canary is warm only a guard
// watches, for what no warm-up explains.
type latencyCheck struct {
	Warm   warmup           `json:"warm"`
	Guard  means            `json:"guard"`
	Body   means            `json:"body"`
	Tails  [len(tails)]tail `json:"tails"`
	Sketch sketch           `json:"sketch"`
	Spread spread           `json:"spread"`
	Level  stableTimes      `json:"level"`
	Phase  phaseShift       `json:"phase"`
	// Base is what is known of the baseline's response times.
	Base baseTimes `json:"base,omitzero"`
	// ByMeans says that a tick's score is the logarithm of its mean time, as the
	// buckets tell too little.
	ByMeans bool `json:"byMeans,omitempty"`

	// why says why the latest tick's times could not be compared.
	why string
	// rulers save time; a check without them says the same.
	rulers rulers
}

// baseTimes is the fading mean of the variance of a baseline's score within a
// tick, and the requests behind it.
type baseTimes struct {
	Variance float64 `json:"variance,omitempty"`
	Weight   float64 `json:"weight,omitempty"`
}

// stableTimes is what is known of stable's response times over the run.
type stableTimes struct {
	// Variance is the fading mean of the variance of a score within a tick, and
	// Weight the requests behind it.
	Variance float64 `json:"variance,omitempty"`
	Weight   float64 `json:"weight,omitempty"`
	// Requests, Mean and Squares are the running mean of the scores and the sum
	// of squared deviations of the ticks' means from it; Seconds the times.
	Requests float64 `json:"requests,omitempty"`
	Mean     float64 `json:"mean,omitempty"`
	Squares  float64 `json:"squares,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
	Ticks    float64 `json:"ticks,omitempty"`
	// Fine is how many of Requests lay in narrow buckets.
	Fine float64 `json:"fine,omitempty"`
	// Wide tells the latest wide buckets from others.
	Wide grid `json:"wide,omitzero"`
}

// phaseShift is the comparison of means within one phase.
type phaseShift struct {
	Shift       float64 `json:"shift,omitempty"`
	Information float64 `json:"information,omitempty"`
	Seconds     float64 `json:"seconds,omitempty"`
	// Canary are the canary's response times, added up, and Expected what they
	// would be at stable's mean; both 0 while sums are not measured.
	Canary   float64 `json:"canary,omitempty"`
	Expected float64 `json:"expected,omitempty"`
}

// The stake of each engine of the check.
const (
	bodyStake  = 0.70
	tailStake  = 0.125
	guardStake = 0.05

	// latencyLaterStake is what is staked in the longest plan on response times
	// that are longer from some later time on. A fault from the first warm
	// request on is likelier.
	latencyLaterStake = 0.3
)

const (
	// guardRatio is how much slower a cold canary may be.
	guardRatio = 3
	// leastVariance is that of scores which all fall into one bucket.
	leastVariance = 1e-4
	// firstRequests is how many of stable's requests tell how much times vary.
	firstRequests = 100
	// varianceFading makes the latest hundred ticks or so count.
	varianceFading = 0.99
	// levelNoise is how far, in logarithms, stable's level may have moved since
	// it was last seen, besides what it moved while it was seen.
	levelNoise = 0.02
)

var logGuardRatio = math.Log(guardRatio)

// wanderSettles is after how many seconds noise that goes on is weighed wholly
// where there are few requests: they take long to tell a slower canary, and by
// then stable has shown how it moves.
const wanderSettles = 4800

func newLatencyCheck(starts int) *latencyCheck {
	p := laterParts(latencyLaterStake, starts)
	l := &latencyCheck{Guard: newMeans(p), Body: newMeans(p)}
	l.Guard.Wander, l.Body.Wander.Settles = wander{}, wanderSettles
	for i := range l.Tails {
		l.Tails[i] = newTail(p)
	}
	return l
}

func (l *latencyCheck) clone() *latencyCheck {
	s := make(slab, len(tails)*(countFloats+goodRatioCount)+2*meanTotals+len(l.Body.Wander.Laws)+len(l.Body.Wander.Starts))
	c := *l
	c.Guard = l.Guard.cloneIn(&s)
	c.Body = l.Body.cloneIn(&s)
	for i := range l.Tails {
		c.Tails[i] = l.Tails[i].cloneIn(&s)
	}
	c.Sketch.Cells = l.Sketch.Cells.clone()
	c.Spread = l.Spread.clone()
	return &c
}

func (l *latencyCheck) newPhase() {
	l.Phase = phaseShift{}
	for i := range l.Tails {
		l.Tails[i].Phase = newProceedCounts()
	}
}

func (l *latencyCheck) mark() {
	l.Body.mark()
	for i := range l.Tails {
		l.Tails[i].Counts.mark()
	}
}

func (l *latencyCheck) tailRule(r rules) countRule {
	return countRule{null: 1, alpha: r.alpha * tailStake, exactOnly: r.check.ExactOnly}
}

// coarse says that the buckets do not resolve ten percent.
func (l *latencyCheck) coarse() bool { return l.Level.Fine < 0.9*l.Level.Requests }

func (l *latencyCheck) add(r rules, t reading) bool {
	l.why = ""
	canary, ok := l.latencyOf(t.canary)
	if !ok {
		return false
	}
	stable, ok := l.latencyOf(t.old)
	if t.control && !ok {
		return false
	}
	if t.control {
		if canary, stable, l.why = alike(canary, stable, l.coarse()); l.why != "" {
			return false
		}
	}
	if !t.control {
		if l.why = l.Level.unlike(canary, l.coarse()); l.why != "" {
			return false
		}
		stable = histogram{}
	}
	l.chooseScore(stable)
	if !l.rescore(&canary) || !l.rescore(&stable) {
		l.why = noSum
		return false
	}
	if t.old != nil && len(t.old.ByInstance) > 0 && stable.n > 0 {
		stable.relative = l.rulers.relative(stable.of, stable.n)
	}
	l.Spread.add(t.old, t.canary, stable.distribution)
	if v := l.spreadOfTimes(stable); stable.n > 0 && v > 0 {
		l.Body.Wander.watch(stable.mean, l.Body.Noise.Shortest()*v/stable.n, r.timing.seconds(t.dt))
	}
	baseline, fresh := l.latencyOf(t.baseline)
	if fresh {
		// Where their buckets differ too much, stable is compared with.
		var why string
		if canary, baseline, why = alike(canary, baseline, l.coarse()); why != "" {
			fresh = false
		}
		fresh = fresh && l.rescore(&baseline)
	}
	switch {
	case fresh:
		l.Spread.Baseline = max(1, instanceCount(t.baseline))
		if canary.n > 0 && stable.n > 0 {
			l.warm(r, t, canary.mean-stable.mean, canary.n*stable.n/(canary.n+stable.n), stable)
		}
		if canary.n > 0 && baseline.n > 0 {
			l.compare(r, t, canary, baseline, true)
		}
	case canary.n > 0 && (stable.n > 0 || !t.control && l.Level.Requests > 0):
		l.compare(r, t, canary, stable, false)
	}
	if b := &l.Base; fresh && baseline.n > 0 {
		b.Weight = varianceFading*b.Weight + baseline.n
		b.Variance += (baseline.variance - b.Variance) * baseline.n / b.Weight
	}
	l.learn(r, stable)
	return true
}

// warm shows the warm-up the canary's difference from stable.
func (l *latencyCheck) warm(r rules, t reading, shift, requests float64, stable histogram) {
	l.Warm.add(r.timing, t.dt, instanceCount(t.canary), shift, requests/max(leastVariance, stable.variance, l.Level.Variance))
}

// histogram is an arm's histogram with its summary.
type histogram struct {
	distribution
	of *rollout.Histogram
}

func (l *latencyCheck) latencyOf(s *rollout.Sample) (histogram, bool) {
	if s == nil {
		return histogram{}, false
	}
	d, ok := l.rulers.describe(s.Latency)
	return histogram{d, s.Latency}, ok
}

// compare takes in what both arms' times, or the canary's and stable's level,
// say of each other. fresh says that stable is the baseline: as cold as the canary
// is, so that it may be compared with from the first request on.
func (l *latencyCheck) compare(r rules, t reading, canary, stable histogram, fresh bool) {
	tick := meanTick{
		shift:          canary.mean - l.Level.Mean,
		requests:       canary.n,
		variance:       max(leastVariance, l.Level.Variance),
		canaryRequests: canary.n,
		duration:       r.timing.seconds(t.dt),
		null:           math.Log(r.tolerated()),
		alone:          !t.control,
	}
	if t.control {
		tick.shift = canary.mean - stable.mean
		tick.requests = canary.n * stable.n / (canary.n + stable.n)
	}
	switch {
	case t.control && canary.known && stable.known:
		tick.canarySeconds, tick.expectedSeconds = canary.seconds, canary.n*stable.seconds/stable.n
	case !t.control && canary.known:
		tick.canarySeconds, tick.expectedSeconds = canary.seconds, canary.n*l.Level.Seconds/l.Level.Requests
	}
	if l.Level.Weight == 0 && stable.n >= firstRequests {
		// The first tick has nothing but itself to tell how much times vary.
		tick.variance = max(leastVariance, stable.variance)
	}
	cold := !l.Warm.Done && !fresh
	if fresh {
		// Cold times may vary more than stable's.
		tick.variance = max(tick.variance, l.Base.Variance)
	} else {
		l.warm(r, t, tick.shift, tick.requests, stable)
	}
	switch {
	case l.Level.Weight == 0 && stable.n < firstRequests:
		// The first tick, and too few requests to tell how much times vary.
	case cold:
		l.Guard.add(tick)
	default:
		l.Body.add(tick)
		l.Phase.Shift += tick.requests / tick.variance * tick.shift
		l.Phase.Information += tick.requests / tick.variance
		l.Phase.Seconds += tick.duration
		l.Phase.Canary += tick.canarySeconds
		l.Phase.Expected += tick.expectedSeconds
		l.compareTails(r, t, canary, stable)
	}
}

func (l *latencyCheck) compareTails(r rules, t reading, canary, stable histogram) {
	rule := l.tailRule(r)
	for i := range l.Tails {
		q := &l.Tails[i]
		tick, ok := q.tick(canary.of, stable.of, canary.n, stable.n)
		if !ok {
			continue
		}
		if !t.control {
			if tick.level, ok = q.Counts.levelNow(); !ok {
				continue
			}
		}
		q.Phase.add(1, tick.strictly())
		if r.check.Strict {
			tick = tick.strictly()
		}
		q.Counts.add(rule, tick)
	}
}

// spreadOfTimes is the variance of a score within a tick by what was seen before it,
// or by the first itself; 0 while too little was seen.
func (l *latencyCheck) spreadOfTimes(stable histogram) float64 {
	switch {
	case l.Level.Weight > 0:
		return max(leastVariance, l.Level.Variance)
	case stable.n >= firstRequests:
		return max(leastVariance, stable.variance)
	}
	return 0
}

// learn remembers stable's times, after they were used: what a tick is judged
// by must not depend on the tick itself.
func (l *latencyCheck) learn(r rules, stable histogram) {
	if stable.n == 0 {
		return
	}
	v := &l.Level
	v.Weight = varianceFading*v.Weight + stable.n
	v.Variance += (stable.variance - v.Variance) * stable.n / v.Weight
	v.Requests += stable.n
	off := stable.mean - v.Mean
	v.Mean += off * stable.n / v.Requests
	v.Squares += stable.n * off * (stable.mean - v.Mean)
	v.Seconds += stable.seconds
	v.Fine += stable.fine
	if !stable.isFine() {
		v.Wide = gridOf(stable.of.Bounds)
	}
	v.Ticks++

	chosen := true
	for i := range l.Tails {
		chosen = chosen && l.Tails[i].Edge > 0
	}
	if chosen {
		return
	}
	l.Sketch.add(stable.of)
	chosen = true
	for i, about := range tails {
		if q := &l.Tails[i]; q.Edge == 0 && l.Sketch.Count >= about.enough {
			q.choose(&l.Sketch, stable.of.Bounds, about.fraction, r.margin)
		}
		chosen = chosen && l.Tails[i].Edge > 0
	}
	if chosen {
		l.Sketch = sketch{}
	}
}

// between is the variance of the comparison that more requests do not reduce,
// with control and without.
func (l *latencyCheck) between() (with, without float64) {
	with, _ = l.Spread.between()
	without = with + levelNoise*levelNoise
	if v := l.Level; v.Requests > 0 {
		without += v.Variance/v.Requests + max(0, (v.Squares-(v.Ticks-1)*v.Variance)/v.Requests)
	}
	return with, without
}

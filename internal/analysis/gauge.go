package analysis

import (
	"math"

	"serin.dev/serin/internal/rollout"
)

// gaugeCheck judges what instances use: processor time or memory. A gauge has no
// events to count, so how much it moves by itself is learnt from stable's
// instances: each of them, compared with its arm over the same ticks, is a
// placebo, and their spread holds both what instances differ by and what comes
// and goes with time, however slowly.
//
// A gauge can only speak against the canary: its silence lets a phase end.
type gaugeCheck struct {
	Warm warmup `json:"warm"`
	// Sums are the totals indexed below, of the arms' differences.
	Sums  sums      `json:"sums"`
	Peers peers     `json:"peers"`
	Noise slowNoise `json:"noise"`
	// Past is what stable's instances showed before the run, where that is known.
	Past *past `json:"past,omitempty"`
	// Pair is what is judged by when stable has one instance: no placebo.
	Pair pairTest `json:"pair"`
	// Trend is where the difference is going lately, from stable's level on.
	Trend trend `json:"trend"`
	// Filled is which part of its limit the canary's memory takes, where it has
	// one.
	Filled *trend `json:"filled,omitempty"`
	// Canary and Stable are what an instance used lately.
	Canary levelNow `json:"canary"`
	Stable levelNow `json:"stable"`
	// Measured counts the ticks of this phase that had figures of both arms.
	Measured int `json:"measured,omitempty"`
}

// The totals in gaugeCheck.Sums: the number of ticks, the sums of the
// differences z, of the ticks' numbers i, of what z is above 0,
// and of that times i.
const (
	gaugeTicks = iota
	gaugeZ
	gaugeI
	gaugeAbove
	gaugeIAbove
	gaugeTotals
)

const (
	// gaugeLaterStake is what is staked in the longest plan on use that is
	// higher from some later time on.
	gaugeLaterStake = 0.5
	// leastGaugeTicks is how many ticks a window needs before it says anything.
	leastGaugeTicks = 8
	// leastCores and leastBytes are the differences for each instance that are
	// too small to act on, whatever the ratio; a strict check asks for the margin
	// alone.
	leastCores = 0.02
	leastBytes = 16 << 20
	// restCores keeps an idle instance's hundredths of a percent from being
	// compared: it is added to both sides.
	restCores = 0.001
	// levelFading makes the latest twenty ticks or so count for what is told.
	levelFading = 0.95
)

// levelNow is the fading mean of what an instance of an arm used.
type levelNow struct {
	Weight float64 `json:"w,omitempty"`
	Mean   float64 `json:"m,omitempty"`
}

func (l *levelNow) add(v float64) {
	l.Weight = levelFading*l.Weight + 1
	l.Mean += (v - l.Mean) / l.Weight
}

func newGaugeCheck(t rollout.CheckType, tm timing, phases []rollout.Phase) *gaugeCheck {
	return &gaugeCheck{
		Peers: peers{Slopes: t == rollout.Memory},
		Sums:  newSums(gaugeTotals, laterParts(gaugeLaterStake, tm.Starts)),
		Pair:  newPairTest(tm, phases),
	}
}

func (g *gaugeCheck) clone() *gaugeCheck {
	c := *g
	c.Sums = g.Sums.clone()
	c.Peers = g.Peers.clone()
	c.Past = g.Past.clone()
	if g.Filled != nil {
		filled := *g.Filled
		c.Filled = &filled
	}
	return &c
}

func (g *gaugeCheck) newPhase() { g.Measured = 0 }

func (g *gaugeCheck) mark() {
	g.Sums.mark()
	g.Peers.mark()
}

// use is what one arm's instances used in a tick.
type use struct {
	names  []string
	values map[string]float64
	// mean is an instance's, load its requests; load is 0 when unknown.
	mean, load float64
	// filled is which part of its limit the fullest has used; 0 without limits.
	filled float64
}

func useOf(t rollout.CheckType, s *rollout.Sample) (u use, ok bool) {
	if s == nil {
		return use{}, false
	}
	u.values = s.Memory
	if t == rollout.CPU {
		u.values = s.CPU
	}
	if len(u.values) == 0 {
		return use{}, false
	}
	// In the order of the names, so that the sum is the same to the last bit.
	u.names = sortedKeys(u.values)
	for _, name := range u.names {
		u.mean += u.values[name] / float64(len(u.names))
		if limit := s.MemoryLimit[name]; limit > 0 && t == rollout.Memory {
			u.filled = max(u.filled, u.values[name]/limit)
		}
	}
	if s.Requests != nil {
		u.load = *s.Requests / float64(max(1, instanceCount(s), len(u.names)))
	}
	return u, u.mean > 0 || t == rollout.CPU
}

// rest is what is added to both sides of a comparison.
func rest(t rollout.CheckType) float64 {
	if t == rollout.CPU {
		return restCores
	}
	return 0
}

// compareUse is the logarithm of the ratio canary : stable of what an instance
// uses. Processor time is compared for each request and for each instance, and
// the smaller of the two counts: an instance with fewer requests needs less, and
// more for each of them, for part of what it does is not for requests. So for
// equal programs that need no less in all and no more for each request as
// requests grow, the result is never above 0, whatever the two loads.
func compareUse(t rollout.CheckType, canary, stable use) float64 {
	extra := rest(t)
	whole := math.Log((canary.mean + extra) / (stable.mean + extra))
	if t != rollout.CPU || canary.load <= 0 || stable.load <= 0 {
		return whole
	}
	return min(whole, whole-math.Log(canary.load/stable.load))
}

func (g *gaugeCheck) add(r rules, t reading) bool {
	kind := r.check.Type
	if t.history != nil && g.Past == nil {
		g.Past = newPast(kind, t.history, r.timing)
	}
	canary, ok := useOf(kind, t.canary)
	if !ok || !t.control {
		return false
	}
	stable, ok := useOf(kind, t.old)
	if !ok {
		return false
	}
	g.Measured++
	z := compareUse(kind, canary, stable)
	g.Warm.add(r.timing, t.dt, max(instanceCount(t.canary), len(canary.names)), z, 1/(usualNoise*usualNoise))
	g.Peers.count(len(canary.names), len(stable.names))
	against := stable
	baseline, fresh := useOf(kind, t.baseline)
	if fresh {
		against, z = baseline, compareUse(kind, canary, baseline)
		g.Peers.Baseline = len(baseline.names)
	}
	g.Canary.add(canary.mean)
	g.Stable.add(against.mean)
	above := max(0, z)
	g.Trend.add(above)
	if canary.filled > 0 {
		if g.Filled == nil {
			g.Filled = &trend{}
		}
		g.Filled.add(canary.filled)
	}
	if !g.Warm.Done && !fresh {
		return true
	}
	i := g.Sums.Total[gaugeTicks]
	for n, v := range [gaugeTotals]float64{1, z, i, above, i * above} {
		g.Sums.Total[n] += v
	}
	g.Noise.add(z)
	g.Peers.add(kind, i, stable, t.old.ByInstance)
	g.Pair.add(z)
	for s := range g.Sums.starts() {
		g.Peers.learn(s, g.window(s))
	}
	return true
}

// usualNoise is what a gauge's difference is taken to move by from tick to tick
// while nothing is known.
const usualNoise = 0.1

// window is what a start's window holds.
type gaugeWindow struct {
	n, mean float64
	// slope is that of what the difference is above 0: a fresh instance
	// fills up to what stable uses, and only what it grows beyond is a leak's.
	slope float64
	// center is the mean of the ticks' numbers, spread Σ(i-ī)².
	center, spread float64
	// first is the number of the window's first tick.
	first float64
}

func (g *gaugeCheck) window(s int) (w gaugeWindow) {
	w.n = g.Sums.since(s, gaugeTicks)
	if w.n <= 0 {
		return w
	}
	w.first = g.Sums.Total[gaugeTicks] - w.n
	w.mean = g.Sums.since(s, gaugeZ) / w.n
	w.center = g.Sums.since(s, gaugeI) / w.n
	w.spread = (w.n*w.n - 1) * w.n / 12
	if w.spread > 0 {
		w.slope = (g.Sums.since(s, gaugeIAbove) - w.center*g.Sums.since(s, gaugeAbove)) / w.spread
	}
	return w
}

// trend is a regression of what the difference is above 0 on time, with fading
// weights.
type trend struct {
	N  float64 `json:"n,omitempty"`
	T  float64 `json:"t,omitempty"`
	TT float64 `json:"tt,omitempty"`
	Z  float64 `json:"z,omitempty"`
	TZ float64 `json:"tz,omitempty"`
}

// trendFading makes the latest fifty ticks or so count.
const trendFading = 0.98

// add takes in the difference of a tick; the time is counted back from it.
func (t *trend) add(z float64) {
	// Every earlier tick is one further back now.
	t.TT += 2*t.T + t.N
	t.TZ += t.Z
	t.T += t.N
	for _, sum := range []*float64{&t.N, &t.T, &t.TT, &t.Z, &t.TZ} {
		*sum *= trendFading
	}
	t.N++
	t.Z += z
}

// now is the fitted difference at the latest tick and its growth a tick.
func (t *trend) now() (level, slope float64) {
	if t.N <= 0 {
		return 0, 0
	}
	spread := t.TT - t.T*t.T/t.N
	if spread <= 0 {
		return t.Z / t.N, 0
	}
	back := (t.TZ - t.T*t.Z/t.N) / spread
	return t.Z/t.N - back*t.T/t.N, -back
}

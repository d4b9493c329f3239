package analysis

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/stats"
)

const (
	// leakStake is what is staked on memory that grows, beside more of it.
	leakStake = 0.5
	// leastLeakTicks is how many ticks a slope needs.
	leastLeakTicks = 30
	// leakGrowth is how much more than stable's it must grow over a phase.
	leakGrowth = 0.10
	// usualPhase is a phase's length in ticks where it is not known.
	usualPhase = 180
)

// leakSteps are the growths over a phase, on the logarithm, that are looked for.
var leakSteps = [...]float64{.09, .18, .36, .72, 1.44, 2.88}

// gaugeFinding is what the check's engines say together.
type gaugeFinding struct {
	log float64
	// pair says that stable has one instance; leak that growth leads.
	pair, leak bool
	start      int
	window     gaugeWindow
	// variance is that of the window's level.
	variance float64
}

func (g *gaugeCheck) find(r rules) gaugeFinding {
	null := math.Log(r.tolerated())
	level, best := g.levelEvidence(r, null)
	f := gaugeFinding{log: level, start: best, pair: len(g.Peers.List) < 2 && g.Peers.Stable < 2}
	if f.pair {
		f.log = g.Pair.evidence(null)
		f.start = 0
	}
	if r.check.Type == rollout.Memory {
		leak, leakBest := g.leakEvidence(r, f.pair, null)
		with := [2]float64{f.log + math.Log(1-leakStake), leak + math.Log(leakStake)}
		if f.leak = with[1] > with[0] && leak > 0; f.leak {
			f.start = leakBest
		}
		f.log = stats.LogSumExp(with[:])
	}
	if r.check.ExactOnly {
		f.log = 0
	}
	f.window = g.window(f.start)
	f.variance, _ = g.levelVariance(r, f.start, f.window)
	return f
}

// levelVariance is that of a window's mean: what stable's instances show over
// the same ticks, and no less than the canary's own noise. ok is false without
// two of them.
//
// With a history, what few instances show now need not be made larger for chance:
// what they showed before is, and it has many more draws of what comes and goes.
// What they show now, and the canary's own noise beside what instances differ by
// for good, are still the least.
//
// A history holds what the instances' loads differ by as well. Where their requests
// are known now, what they show now for each request may tell more.
func (g *gaugeCheck) levelVariance(r rules, s int, w gaugeWindow) (variance float64, ok bool) {
	if w.n < leastGaugeTicks {
		return 0, false
	}
	p := g.Peers.over(s, w)
	if p.freedom == 0 {
		return 0, false
	}
	now, noise := g.Peers.inArms(p.level), g.Noise.variance()/w.n
	alone := max(now*inflation(p.freedom, r.alpha, looks), noise)
	if g.Past != nil {
		if before := g.Past.Level; p.level <= outgrown*before.whole(w.n) {
			known := g.Peers.inArms(before.enlarged(w.n, r.alpha, g.Past.Stir.louder(g.Peers.Stir)))
			known = max(known, now, g.Peers.inArms(before.Lasting)+noise)
			if g.Peers.ByRequest {
				known = min(known, alone)
			}
			return known, true
		}
	}
	return alone, true
}

func (g *gaugeCheck) levelEvidence(r rules, null float64) (log float64, best int) {
	starts := g.Sums.starts()
	var byStart [maxStarts + 1]float64
	for s := range starts {
		byStart[s] = g.Sums.Stakes.logOf(s)
		w := g.window(s)
		if variance, ok := g.levelVariance(r, s, w); ok {
			byStart[s] += shiftEvidence(w.mean-null, variance, math.Log(r.margin))
		}
		if byStart[s] > byStart[best] {
			best = s
		}
	}
	byStart[starts] = g.Sums.Stakes.logKept(starts)
	return stats.LogSumExp(byStart[:starts+1]), best
}

// leakEvidence is that of a growth that is faster than stable's. Instances of
// stable are older, and what they grow by among themselves is the placebo.
func (g *gaugeCheck) leakEvidence(r rules, pair bool, null float64) (log float64, best int) {
	ticks := phaseTicks(r)
	starts := g.Sums.starts()
	var byStart [maxStarts + 1]float64
	for s := range starts {
		byStart[s] = g.Sums.Stakes.logOf(s)
		w := g.window(s)
		if w.n >= leastLeakTicks && w.spread > 0 {
			variance := g.Noise.variance() / w.spread
			p := g.Peers.over(s, w)
			switch {
			case p.freedom > 0:
				variance = max(variance, g.slopeVariance(r, w, p))
			case pair:
				variance += 2 * (priorDrift / w.n) * (priorDrift / w.n)
			default:
				continue
			}
			var terms [len(leakSteps)]float64
			slope := w.slope - null/ticks
			for k, growth := range leakSteps {
				b := growth / ticks
				terms[k] = b * (slope - b/2) / variance
			}
			byStart[s] += stats.LogMeanExp(terms[:])
		}
		if byStart[s] > byStart[best] {
			best = s
		}
	}
	byStart[starts] = g.Sums.Stakes.logKept(starts)
	return stats.LogSumExp(byStart[:starts+1]), best
}

// slopeVariance is that of a window's slope, as stable's instances have it.
func (g *gaugeCheck) slopeVariance(r rules, w gaugeWindow, p placebo) float64 {
	if g.Past != nil {
		if before := g.Past.Slope; p.slope <= outgrown*before.whole(w.n) {
			return g.Peers.inArms(max(p.slope, before.enlarged(w.n, r.alpha, g.Past.Stir.louder(g.Peers.Stir))))
		}
	}
	return g.Peers.inArms(p.slope) * inflation(p.freedom, r.alpha, looks)
}

func phaseTicks(r rules) float64 {
	if r.phaseLength <= 0 {
		return usualPhase
	}
	return max(leastGaugeTicks, float64(r.phaseLength)/float64(r.timing.Interval))
}

// ratio is the leader's estimate canary : stable: of the level, or for a leak of
// the level now.
func (g *gaugeCheck) ratio(r rules, f gaugeFinding) float64 {
	switch {
	case f.leak:
		return min(maxRatio, math.Exp(g.levelNow(r)))
	case f.pair:
		if g.Pair.N == 0 {
			return 0
		}
		return min(maxRatio, math.Exp(g.Pair.Mean))
	case f.window.n < 1:
		return 0
	}
	return min(maxRatio, math.Exp(f.window.mean))
}

// levelNow is the logarithm of the ratio of what instances used lately.
func (g *gaugeCheck) levelNow(r rules) float64 {
	extra := rest(r.check.Type)
	return math.Log((g.Canary.Mean + extra) / (g.Stable.Mean + extra))
}

// large says whether the leader's estimate is beyond the margin, and the
// difference worth an action.
func (g *gaugeCheck) large(r rules, f gaugeFinding) bool {
	if !f.leak {
		ratio := g.ratio(r, f)
		return ratio >= r.margin && g.material(r, ratio)
	}
	// A canary that still grows towards what stable uses fills up, ever more
	// slowly. One that has passed it, does not slow down, and will be beyond the
	// margin within a phase's time, leaks; and so does one that goes on growing
	// and will be at its limit within a day.
	ticks := phaseTicks(r)
	level := g.levelNow(r)
	late, long := g.lately(ticks / 2)
	if level < math.Log(r.margin)/2 || long && !g.grows(late) {
		return false
	}
	if left, grows := g.untilLimit(r, f); long && grows && left <= leakLimit(r) {
		return true
	}
	_, slope := g.Trend.now()
	ahead := level + min(slope, f.window.slope)*ticks
	return f.window.slope*ticks >= math.Log1p(leakGrowth) && slope >= f.window.slope/2 &&
		ahead >= math.Log(r.margin) && g.material(r, math.Exp(ahead))
}

// leakLimit is how soon a canary that grows must be at its limit to be rolled
// back, however slowly it grows: a day, where phases last half an hour.
func leakLimit(r rules) time.Duration {
	return time.Duration(float64(24*time.Hour) / max(1, r.timing.Pace))
}

// lately is the latest window of at least so many ticks.
func (g *gaugeCheck) lately(ticks float64) (w gaugeWindow, ok bool) {
	for s := g.Sums.starts() - 1; s >= 0; s-- {
		if w = g.window(s); w.n >= ticks {
			return w, true
		}
	}
	return w, false
}

// grows says that the canary's use grew in a window, by four standard errors: one
// that has filled up does not, however often one looks.
func (g *gaugeCheck) grows(w gaugeWindow) bool {
	return w.slope > 4*math.Sqrt(g.Noise.variance()/w.spread)
}

// untilLimit is how long the canary's memory takes to its limit, if it goes on
// growing beyond stable's as it has; false when it has no limit or does not grow.
func (g *gaugeCheck) untilLimit(r rules, f gaugeFinding) (left time.Duration, grows bool) {
	if g.Filled == nil {
		return 0, false
	}
	level, own := g.Filled.now()
	slope := f.window.slope
	if w, ok := g.lately(phaseTicks(r) / 2); ok {
		slope = min(slope, w.slope)
	}
	if own <= 0 || level <= 0 || slope <= 0 {
		return 0, false
	}
	ticks := max(0, 1-level) / (slope * level)
	return time.Duration(min(ticks*float64(r.timing.Interval), float64(farLimit))), true
}

// farLimit is further away than anybody looks.
const farLimit = 1000 * time.Hour

// material reports that a ratio is a difference large enough to act on.
func (g *gaugeCheck) material(r rules, ratio float64) bool {
	least := float64(leastBytes)
	if r.check.Type == rollout.CPU {
		least = leastCores
	}
	return r.check.Strict || g.Stable.Mean*(ratio-1) >= least
}

func (g *gaugeCheck) result(r rules, t reading) Result {
	f := g.find(r)
	res := Result{Judged: true, VetoOnly: true, Verdict: Inconclusive, Evidence: eValue(f.log), Ratio: g.ratio(r, f)}
	enough := res.Evidence >= 1/r.alpha
	large := g.large(r, f)
	g.flag(r, t, f, &res)
	if f.window.n > 0 {
		at := r.starts[f.start].At
		res.Since = &at
		if !f.leak && !f.pair && f.variance > 0 {
			res.Low, res.High = bounds(f.window.mean, 1/f.variance, r.alpha*math.Exp(g.Sums.Stakes.logOf(f.start)))
		}
	}
	if enough && large && !f.pair {
		res.Verdict = Fail
	} else {
		// A person is asked when harm is likely, or when what was measured
		// before was not measured in this phase.
		likely := res.Evidence >= 1/beta
		if f.pair {
			likely = enough
		}
		res.Acceptable = (!likely || !large) && (g.Measured > 0 || !t.control)
	}
	res.Message = g.message(r, t, f, res, large)
	return res
}

func (g *gaugeCheck) flag(r rules, t reading, f gaugeFinding, res *Result) {
	t.flagPeer(res)
	if t.baseline == nil && !g.Warm.Done {
		res.Flags = append(res.Flags, "warming-up")
	}
	if !t.control {
		res.Flags = append(res.Flags, "no-control")
	}
	if f.pair {
		res.Flags = append(res.Flags, "single-instance")
	} else if variance, ok := g.levelVariance(r, 0, g.window(0)); ok {
		res.Detectable = detectableShift(variance, r.alpha*math.Exp(g.Sums.Stakes.logOf(0)))
		if res.Detectable == 0 || res.Detectable > r.margin {
			res.Flags = append(res.Flags, "instance-spread")
		}
	}
	if g.Past != nil && !f.pair {
		res.Flags = append(res.Flags, "history")
	}
	res.Flags = append(res.Flags, "approximate")
}

func (g *gaugeCheck) message(r rules, t reading, f gaugeFinding, res Result, large bool) string {
	what := "memory"
	if r.check.Type == rollout.CPU {
		what = "processor time"
	}
	switch {
	case r.check.ExactOnly:
		return what + " has no exact evidence; remove exactOnly to have it judged"
	case !t.control && g.Sums.Total[gaugeTicks] == 0:
		return what + " was not compared before stable lost its traffic"
	case !g.Warm.Done && g.Sums.Total[gaugeTicks] == 0:
		return fmt.Sprintf("warming up for %s: %s is not compared yet", g.Warm.Elapsed.Round(time.Second/10), what)
	case g.Measured == 0 && t.control:
		return what + " of both arms was not measured in this phase"
	case res.Ratio == 0:
		return what + ": too few ticks to compare yet"
	}
	text := fmt.Sprintf("%s %s stable (%s an instance, stable's %s)", what, times(res.Ratio), g.amount(r, g.Canary.Mean), g.amount(r, g.Stable.Mean))
	if t.baseline != nil {
		text = fmt.Sprintf("%s %s the baseline (%s an instance, the baseline's %s)", what, times(res.Ratio), g.amount(r, g.Canary.Mean), g.amount(r, g.Stable.Mean))
	}
	if f.leak {
		text += fmt.Sprintf(", growing by %s a phase more than stable's", percent(math.Expm1(f.window.slope*phaseTicks(r))))
		if left, grows := g.untilLimit(r, f); grows && left < farLimit {
			text += ", reaches its limit in about " + roughly(left)
		}
	}
	if !t.control {
		text += " before stable lost its traffic"
	}
	text += ", " + odds(res.Evidence, 1/r.alpha)
	switch {
	case res.Evidence >= 1/r.alpha && res.Ratio >= r.margin && !f.leak && !large:
		text += "; less than " + g.amount(r, g.least(r)) + " an instance, too little to act on"
	case f.pair && !res.Acceptable:
		text += "; stable has one instance, so that two instances differ is not shown to be the version's doing: a person decides"
	case res.Verdict != Fail && slices.Contains(res.Flags, "instance-spread") && res.Evidence >= 1:
		text += fmt.Sprintf("; stable's instances differ too much for %s of the canary to show %s", plural(max(1, g.Peers.Canary), "instance"), times(r.margin))
	}
	return text
}

func (g *gaugeCheck) least(r rules) float64 {
	if r.check.Type == rollout.CPU {
		return leastCores
	}
	return leastBytes
}

// roughly writes a time in the unit that says enough of it.
func roughly(d time.Duration) string {
	for _, unit := range [...]struct {
		name string
		is   time.Duration
	}{{"h", time.Hour}, {"min", time.Minute}} {
		if d >= 2*unit.is {
			return fmt.Sprintf("%.0f %s", d.Round(unit.is).Seconds()/unit.is.Seconds(), unit.name)
		}
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// amount writes cores or bytes.
func (g *gaugeCheck) amount(r rules, v float64) string {
	if r.check.Type == rollout.CPU {
		return strconv.FormatFloat(v, 'f', 3, 64) + " cores"
	}
	return strconv.FormatFloat(v/(1<<20), 'f', 1, 64) + " MiB"
}

package analysis

import (
	"fmt"
	"math"
	"slices"
	"time"

	"serin.dev/serin/internal/stats"
)

// The engines of the latency check, in the order in which a tie is led.
const (
	engineBody = iota
	engineTails
	engineGuard = engineTails + len(tails)
	engineCount = engineGuard + 1
)

// finding is what the latency check's engines say together: the mean of their
// e-values, weighted by their stakes, led by the one that contributes most.
type finding struct {
	// with and without are between()'s, kept because they take time.
	with, without float64
	// laws are what is known of wandering.
	laws wanderWeights

	log    float64
	leader int
	// start is the leader's best.
	start int
}

func (l *latencyCheck) find(r rules) finding {
	with, without := l.between()
	laws := l.Body.Wander.weights()
	if r.terse {
		f := finding{with: with, without: without, laws: laws}
		if !l.everLarge(r) {
			return f
		}
		if f.log = l.atMost(r, &laws, with, without); !r.enough(f.log) {
			return f
		}
	}
	var logs [engineCount]float64
	var starts [engineCount]int
	rule := l.tailRule(r)
	times := l.timesBetween(r.starts, &laws, with, without)
	logs[engineBody] = math.Log(bodyStake)
	logs[engineGuard] = math.Log(guardStake)
	if !r.check.ExactOnly {
		ev := l.Body.evidence(&laws, r.margin, with, without, r.starts)
		logs[engineBody] += ev.log
		starts[engineBody] = ev.start
		// A warm canary's cold times are no evidence any more.
		if shift, variance, ok := l.guardEstimate(&laws); ok && !l.Warm.Done {
			logs[engineGuard] += shiftEvidence(shift-math.Log(r.tolerated()), variance+with, math.Log(r.margin))
		}
	}
	for i := range l.Tails {
		between := l.Tails[i].between(times)
		ev := l.Tails[i].Counts.evidence(rule, &between)
		logs[engineTails+i] = math.Log(tailStake) + ev.log
		starts[engineTails+i] = ev.start
	}
	f := finding{with: with, without: without, laws: laws, log: stats.LogSumExp(logs[:])}
	for i := range logs {
		// A tail without an edge has nothing to say yet, and the guard of a warm
		// canary nothing any more.
		t := i - engineTails
		silent := i == engineGuard && l.Warm.Done || t >= 0 && t < len(l.Tails) && l.Tails[t].Edge == 0
		if !silent && logs[i] > logs[f.leader] {
			f.leader = i
		}
	}
	f.start = starts[f.leader]
	return f
}

// atMost is a bound of find's evidence from above, in a small part of its time.
func (l *latencyCheck) atMost(r rules, laws *wanderWeights, with, without float64) float64 {
	logs := [engineCount]float64{engineBody: math.Log(bodyStake), engineGuard: math.Log(guardStake)}
	if !r.check.ExactOnly {
		logs[engineBody] += l.Body.atMost(laws, with, without, r.starts)
		if shift, variance, ok := l.guardEstimate(laws); ok && !l.Warm.Done {
			logs[engineGuard] += shiftEvidence(shift-math.Log(r.tolerated()), variance+with, math.Log(r.margin))
		}
	}
	rule := l.tailRule(r)
	times := l.timesBetween(r.starts, laws, with, without)
	for i := range l.Tails {
		between := l.Tails[i].between(times)
		logs[engineTails+i] = math.Log(tailStake) + l.Tails[i].Counts.atMost(rule, &between)
	}
	return stats.LogSumExp(logs[:])
}

// timesBetween is, for each start's window, the variance of the times that more
// requests do not reduce.
func (l *latencyCheck) timesBetween(starts []StartPoint, laws *wanderWeights, with, without float64) (between [maxStarts]float64) {
	for s := range starts {
		between[s] = with
		if starts[s].NoControl {
			between[s] = without
		}
		between[s] += laws.over(l.Body.window(s, meanDuration, starts))
	}
	return between
}

// between is that of the logarithm of a tail's rate ratio: that of the times,
// taken through the slope of the tail.
func (q *tail) between(times [maxStarts]float64) [maxStarts]float64 {
	slope := q.slope(0)
	for s := range times {
		times[s] *= slope * slope
	}
	return times
}

// guardShift is the guard's estimate; ok is false when there is none yet.
func (l *latencyCheck) guardShift() (shift float64, ok bool) {
	total := l.Guard.Sums.Total
	if total[meanTicks] < leastTicks || total[meanCanaryRequests] < leastRequests {
		return 0, false
	}
	return total[meanShift] / total[meanInformation], true
}

// guardEstimate is guardShift with its variance.
func (l *latencyCheck) guardEstimate(laws *wanderWeights) (shift, variance float64, ok bool) {
	shift, ok = l.guardShift()
	if !ok {
		return 0, 0, false
	}
	total := l.Guard.Sums.Total
	return shift, l.Guard.variance(laws, total[meanInformation], total[meanDuration]), true
}

// bodyRatio is the ratio of the arms' times over a start's window: of typical
// times where the buckets resolve them, else of the means.
func (l *latencyCheck) bodyRatio(start int, starts []StartPoint) float64 {
	if expected := l.Body.window(start, meanExpectedSeconds, starts); l.coarse() && expected > 0 {
		return boundedRatio(l.Body.window(start, meanCanarySeconds, starts), expected)
	}
	shift, _, ok := l.Body.estimate(start, starts)
	if !ok {
		return 0
	}
	return min(maxRatio, math.Exp(shift))
}

// ratio is the estimate of an engine in the window of a start.
func (l *latencyCheck) ratio(r rules, engine, start int) float64 {
	switch {
	case engine == engineGuard:
		shift, _ := l.guardShift()
		return math.Exp(shift)
	case engine == engineBody || l.coarse():
		return l.bodyRatio(start, r.starts)
	}
	return l.Tails[engine-engineTails].ratio(start)
}

// large says whether that is beyond the margin.
func (l *latencyCheck) large(r rules, engine, start int) bool {
	switch {
	case engine == engineGuard:
		shift, ok := l.guardShift()
		return ok && shift >= logGuardRatio
	case l.coarse():
		return l.bodyRatio(start, r.starts) >= r.margin
	case engine == engineBody:
		// Only where 1-1/m, which is at most ln m, is reached too.
		shift, _, ok := l.Body.estimate(start, r.starts)
		return ok && shift >= 1-1/r.margin && l.bodyRatio(start, r.starts) >= r.margin
	}
	return l.Tails[engine-engineTails].large(start)
}

// everLarge says whether any engine's estimate is beyond the margin in the window
// of any start: without that, no evidence decides.
func (l *latencyCheck) everLarge(r rules) bool {
	engines := engineCount
	if l.Warm.Done {
		engines = engineGuard // it does not lead any more
	}
	for start := range r.starts {
		for engine := range engines {
			if l.large(r, engine, start) {
				return true
			}
		}
	}
	return false
}

func (l *latencyCheck) result(r rules, t reading) Result {
	if !t.control && l.Level.Requests == 0 {
		return Result{Verdict: Inconclusive, Flags: []string{"no-control"}, Message: noLevel}
	}
	f := l.find(r)
	ratio := l.ratio(r, f.leader, f.start)
	res := Result{Judged: true, Verdict: Inconclusive, Ratio: ratio, Evidence: eValue(f.log)}
	if !r.terse {
		if ratio > 0 && f.leader != engineGuard {
			at := r.starts[f.start].At
			res.Since = &at
		}
		l.flag(r, t, f, &res)
		l.explain(r, t, f, &res)
	}
	healing := t.baseline == nil && l.Warm.Done && l.Warm.healing()
	if healing && !r.terse {
		res.Flags = append(res.Flags, "healing")
	}
	if res.Evidence >= 1/r.alpha && l.large(r, f.leader, f.start) && !l.immaterial(r, f, ratio) && !healing {
		res.Verdict = Fail
	} else {
		l.proceed(r, t, f, &res)
	}
	if !r.terse {
		res.Message = l.message(r, t, f, res)
	}
	return res
}

// proceed fills in what lets a phase end.
func (l *latencyCheck) proceed(r rules, t reading, f finding, res *Result) {
	if l.Phase.Information <= 0 {
		// A phase too short for the warm-up may end at a small share.
		shift, ok := l.guardShift()
		if ok && !l.Warm.Done && t.weight < lowShare && shift < logGuardRatio {
			res.Acceptable = true
			res.Flags = append(res.Flags, "low-evidence")
		}
		return
	}
	between := f.with
	if !t.control {
		between = f.without
	}
	m := math.Log(promotionMargin(r.margin))
	shift := l.Phase.Shift / l.Phase.Information
	variance := l.Body.variance(&f.laws, l.Phase.Information, l.Phase.Seconds) + between
	proof := goodShiftEvidence(shift, variance, m)
	tailsBearable := true
	if l.coarse() {
		// In wide buckets a slower canary may look like stable: the means must
		// not say otherwise.
		if mean, noise, ok := l.Phase.means(l.Level.Variance); ok {
			proof = min(proof, goodShiftEvidence(mean, l.Body.Noise.Phi()*noise+f.laws.over(l.Phase.Seconds)+between, m))
			tailsBearable = mean <= math.Log(r.margin)+math.Sqrt(noise)
		}
	} else {
		// The typical time's proof says nothing of the slowest: p95 must be
		// shown to be within the rollback margin too, where it can be.
		p95 := &l.Tails[0]
		proof = min(proof, p95.Phase.log(p95.Counts.phi()))
		for i := range l.Tails {
			q := &l.Tails[i]
			small := !r.check.Strict && q.Edge*(r.margin-1) < leastDelay
			tailsBearable = tailsBearable && (small || q.Phase.bearable(q.Counts.phi()))
		}
	}
	res.NonInferiority = eValue(proof)
	res.NonInferior = res.NonInferiority >= 1/beta && tailsBearable
	if res.NonInferior {
		res.Verdict = Pass
		res.Acceptable = true
		return
	}
	if t.weight < lowShare {
		res.Acceptable = tailsBearable && shift <= math.Log(r.margin)+math.Sqrt(variance)
		if res.Acceptable {
			res.Flags = append(res.Flags, "low-evidence")
		}
	} else {
		// What instances of one version differ by is no reason to stop.
		res.Acceptable = tailsBearable && shift <= min(math.Log(r.margin), m+math.Sqrt(between))
	}
	if !res.Acceptable && tailsBearable && !r.check.Strict && l.delay(shift) < leastDelay {
		res.Acceptable = true
		res.Flags = append(res.Flags, "immaterial")
	}
}

// means is the logarithm of the ratio of the arms' mean response times in the
// phase and its variance, by their sums; ok is false when there are none. Times
// are taken to vary like those of an exponential distribution: what wide buckets
// say of it is no better.
func (p *phaseShift) means(variance float64) (ratio, noise float64, ok bool) {
	requests := p.Information * max(leastVariance, variance)
	if p.Canary <= 0 || p.Expected <= 0 || requests <= 0 {
		return 0, 0, false
	}
	return math.Log(p.Canary / p.Expected), 1 / requests, true
}

// leastDelay is the difference in seconds below which a slower canary is no
// reason to act: no user feels it, and between equal programs that answer in
// less than a millisecond a lightly loaded canary differs by as much. A strict
// check asks for the margin alone.
const leastDelay = 200e-6

// immaterial reports that the leader's estimate, however well shown, is a
// delay too small to act on. The tails have it in their own counts.
func (l *latencyCheck) immaterial(r rules, f finding, ratio float64) bool {
	tail := f.leader >= engineTails && f.leader < engineTails+len(l.Tails) && !l.coarse()
	return !tail && !r.check.Strict && ratio > 0 && l.delay(math.Log(ratio)) < leastDelay
}

// delay is what a shift of the scores adds to stable's typical time, in seconds.
func (l *latencyCheck) delay(shift float64) float64 {
	return math.Exp(l.Level.Mean) * math.Expm1(shift)
}

// flag qualifies the verdict.
func (l *latencyCheck) flag(r rules, t reading, f finding, res *Result) {
	t.flagPeer(res)
	if t.baseline == nil && !l.Warm.Done {
		res.Flags = append(res.Flags, "warming-up")
	}
	if l.coarse() {
		res.Flags = append(res.Flags, "coarse-buckets")
	}
	if !t.control {
		res.Flags = append(res.Flags, "no-control")
	}
	switch {
	case len(l.Spread.Instances) < 2 && l.Spread.Stable <= 1:
		res.Flags = append(res.Flags, "single-instance")
	case len(l.Spread.Instances) < 2:
		res.Flags = append(res.Flags, "instance-spread-unknown")
	case detectableShift(f.with, r.alpha) > r.margin:
		res.Flags = append(res.Flags, "instance-spread")
	}
	if !r.check.ExactOnly {
		res.Flags = append(res.Flags, "approximate")
	}
}

// explain adds what helps a person to weigh the verdict.
func (l *latencyCheck) explain(r rules, t reading, f finding, res *Result) {
	between := f.with
	if !t.control {
		between = f.without
	}
	res.Spread = math.Sqrt(between)
	res.Noise = l.Body.Noise.Phi()
	if i := f.leader - engineTails; i >= 0 && i < len(l.Tails) {
		res.Noise = l.Tails[i].Counts.phi()
	}
	if f.leader == engineBody {
		if shift, information, ok := l.Body.estimate(f.start, r.starts); ok {
			variance := l.Body.variance(&f.laws, information, l.Body.window(f.start, meanDuration, r.starts))
			res.Low, res.High = bounds(shift, 1/(variance+f.with), r.alpha*bodyStake*math.Exp(l.Body.Sums.Stakes.logOf(f.start)))
		}
		if res.Ratio >= r.margin {
			res.Affected = l.Body.window(f.start, meanCanaryRequests, r.starts)
		}
	} else if i := f.leader - engineTails; i < len(l.Tails) {
		total := func(n int) float64 { return l.Tails[i].Counts.since(f.start, n) }
		if n, d := total(countNumerator), total(countDenominator); n > d {
			res.Affected = total(countCanaryEvents) * (1 - d/n)
		}
	}
	if l.Phase.Information > 0 && t.phaseElapsed > 0 {
		whole := max(1, float64(r.phaseLength)/float64(t.phaseElapsed))
		res.Detectable = detectableShift(l.Body.variance(&f.laws, l.Phase.Information*whole, l.Phase.Seconds*whole)+f.with, r.alpha*bodyStake)
	}
}

func (l *latencyCheck) message(r rules, t reading, f finding, res Result) string {
	if t.baseline == nil && !l.Warm.Done && res.Verdict != Fail {
		if l.Warm.Ticks == 0 {
			return "no response time of the canary yet"
		}
		return fmt.Sprintf("warming up for %s: response times are not compared yet, only watched for %dx stable",
			l.Warm.Elapsed.Round(time.Second/10), guardRatio)
	}
	if res.Ratio == 0 {
		return "no response times to compare yet"
	}
	text := l.sizeText(f, res.Ratio, t.peer())
	if !t.control {
		text += " as it was before it lost its traffic"
	}
	if res.NonInferior {
		return fmt.Sprintf("%s, shown not to be worse (odds 1:%s)", text, number(res.NonInferiority))
	}
	text += ", " + odds(res.Evidence, 1/r.alpha)
	if res.Evidence >= 1/r.alpha && slices.Contains(res.Flags, "healing") {
		text += "; the canary is fresh and getting faster, so it is given time"
	}
	if res.Evidence >= 1/r.alpha && l.immaterial(r, f, res.Ratio) {
		text += "; that is less than " + seconds(leastDelay) + ", too little to act on"
	}
	if res.Verdict != Fail && slices.Contains(res.Flags, "instance-spread") {
		text += "; " + l.spreadText(r)
	}
	return text
}

func (l *latencyCheck) sizeText(f finding, ratio float64, peer string) string {
	if l.coarse() {
		return "mean response time " + times(ratio) + " " + peer
	}
	if i := f.leader - engineTails; i >= 0 && i < len(l.Tails) {
		q := &l.Tails[i]
		total := func(n int) float64 { return q.Counts.since(f.start, n) }
		text := tails[i].name + " of response times " + times(ratio) + " " + peer + ": " +
			percent(total(countCanaryEvents)/max(1, total(countCanaryExposure))) + " of the canary's are above " + seconds(q.Edge)
		if n := total(countStableExposure); n > 0 {
			text += ", " + percent(total(countStableEvents)/n) + " of " + peer + "'s"
		}
		return text
	}
	return "typical response time " + times(ratio) + " " + peer
}

// spreadText says why more requests will not help, and what would.
func (l *latencyCheck) spreadText(r rules) string {
	tau, _ := l.Spread.tau()
	text := fmt.Sprintf("stable's instances differ by %s among themselves, so %s of the canary cannot show %s",
		percent(math.Sqrt(tau)), plural(max(1, l.Spread.Canary), "instance"), times(r.margin))
	most := math.Log(r.margin)
	if n := l.Spread.podsNeeded(most * most / (2 * (math.Log(1/r.alpha) + 3))); n > 0 {
		text += fmt.Sprintf("; %d would", n)
	}
	return text
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Duration(math.Pow(10, math.Floor(math.Log10(s*1e9))-2))).String()
}

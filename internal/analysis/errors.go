package analysis

import (
	"math"

	"serin.dev/serin/internal/rollout"
)

// errorCheck judges the error rate: errors among requests.
type errorCheck struct {
	Counts counts        `json:"counts"`
	Phase  proceedCounts `json:"phase"`
}

// errorLaterStake is what is staked in the longest plan on an error rate that
// is higher from some later time on.
const errorLaterStake = 0.5

// errorScale makes the largest noise looked for in an arm's error rate 0.7 on the
// logarithm: a factor of two.
const errorScale = 3.5

// Errors clump, and clumps look like wandering for long: the laws gain weight more
// slowly than with response times.
const (
	errorLeast = 0.0002
	errorFull  = 128
)

func newErrorCheck(starts int, margin float64) *errorCheck {
	c := &errorCheck{
		Counts: newCounts(laterParts(errorLaterStake, starts)),
		Phase:  newProceedCounts(),
	}
	c.Counts.Wander = newWander(errorScale, margin, true)
	c.Counts.Wander.Least, c.Counts.Wander.Full = errorLeast, errorFull
	return c
}

func (e *errorCheck) clone() *errorCheck {
	s := make(slab, countFloats+goodRatioCount+len(e.Counts.Wander.Laws))
	c := *e
	c.Counts = e.Counts.cloneIn(&s)
	c.Phase = e.Phase.cloneIn(&s)
	return &c
}

func (e *errorCheck) newPhase() { e.Phase = newProceedCounts() }
func (e *errorCheck) mark()     { e.Counts.mark() }

func (e *errorCheck) rule(r rules) countRule {
	return countRule{null: r.tolerated(), alpha: r.alpha, exactOnly: r.check.ExactOnly, gross: grossStake(r.alpha), margin: r.margin}
}

func (e *errorCheck) add(r rules, t reading) bool {
	if !countsErrors(t.canary) || t.control && !countsErrors(t.stable) {
		return false
	}
	tick := countTick{canaryEvents: *t.canary.Errors, canaryExposure: *t.canary.Requests, duration: r.timing.seconds(t.dt)}
	if t.control {
		tick.stableEvents, tick.stableExposure = *t.stable.Errors, *t.stable.Requests
	} else {
		known, ok := e.Counts.levelNow()
		if !ok {
			return true
		}
		tick.level = known
	}
	e.Counts.add(e.rule(r), tick)
	e.Phase.add(promotionMargin(r.margin), tick)
	return true
}

// noLevel is said when all traffic is on the canary and stable had none before.
const noLevel = "nothing to compare with: stable had no traffic in this run"

func countsErrors(s *rollout.Sample) bool {
	return s != nil && s.Errors != nil && s.Requests != nil
}

func (e *errorCheck) result(r rules, t reading) Result {
	if _, ok := e.Counts.stableRate(); !ok && !t.control {
		return Result{Verdict: Inconclusive, Flags: []string{"no-control"}, Message: noLevel}
	}
	ev := e.evidence(r)
	phi := e.Counts.phi()
	total := func(i int) float64 { return e.Counts.since(ev.start, i) }
	numerator, denominator := total(countNumerator), total(countDenominator)

	res := Result{
		Judged:         true,
		Verdict:        Inconclusive,
		Ratio:          boundedRatio(numerator, denominator),
		Evidence:       eValue(ev.log),
		NonInferiority: eValue(e.Phase.log(phi)),
	}
	res.Noise = phi
	if r.terse {
		e.decide(r, t, numerator, denominator, &res)
		return res
	}
	if numerator > 0 && denominator > 0 {
		res.Low, res.High = bounds(math.Log(numerator/denominator), total(countInformation)/phi, r.alpha*math.Exp(e.Counts.Sums.Stakes.logOf(ev.start)))
	}
	e.explain(r, t, phi, &res)
	if numerator+denominator > 0 {
		at := r.starts[ev.start].At
		res.Since = &at
	}
	if !t.control {
		res.Flags = append(res.Flags, "no-control")
	}
	if !r.check.ExactOnly {
		res.Flags = append(res.Flags, "approximate")
	}
	e.decide(r, t, numerator, denominator, &res)
	res.Message = e.message(r, res, total, t)
	return res
}

// evidence is that of harm. Where nobody reads it, it is left out unless it could
// decide.
func (e *errorCheck) evidence(r rules) (ev evidence) {
	var alike [maxStarts]float64 // instances do not differ in their errors
	if r.terse {
		if !e.everLarge(r) {
			return ev
		}
		if ev.log = e.Counts.atMost(e.rule(r), &alike); !r.enough(ev.log) {
			return ev
		}
	}
	return e.Counts.evidence(e.rule(r), &alike)
}

// everLarge says whether the estimate is at or beyond the margin in the window of
// any start: without that, no evidence decides.
func (e *errorCheck) everLarge(r rules) bool {
	for s := range e.Counts.Sums.starts() {
		if large(e.Counts.since(s, countNumerator), e.Counts.since(s, countDenominator), r.margin) {
			return true
		}
	}
	return false
}

// large is the second key: whether what was estimated as numerator : denominator
// is at or beyond the margin.
func large(numerator, denominator, margin float64) bool {
	return numerator > 0 && numerator >= margin*denominator
}

// decide fills in the verdict.
func (e *errorCheck) decide(r rules, t reading, numerator, denominator float64, res *Result) {
	// Both keys: the evidence that there is harm, and its size.
	if res.Evidence >= 1/r.alpha && large(numerator, denominator, r.margin) {
		res.Verdict = Fail
		return
	}
	res.NonInferior = e.Phase.Exposure > 0 && res.NonInferiority >= 1/beta
	ok, low := e.Phase.acceptable(t.weight, r.margin)
	res.Acceptable = ok || res.NonInferior
	switch {
	case res.NonInferior:
		res.Verdict = Pass
	case ok && low && !r.terse:
		res.Flags = append(res.Flags, "low-evidence")
	}
}

// explain adds what helps a person to weigh the verdict.
func (e *errorCheck) explain(r rules, t reading, phi float64, res *Result) {
	if res.Ratio > 1 {
		// The part of the canary's errors since the beginning that it would not
		// have had at stable's rate.
		n, d := e.Counts.since(0, countNumerator), e.Counts.since(0, countDenominator)
		if n > d {
			res.Affected = e.Counts.since(0, countCanaryEvents) * (1 - d/n)
		}
	}
	if m := e.Counts.since(0, countStableExposure); m > 0 && t.control {
		rate := e.Counts.since(0, countStableEvents) / m
		res.Detectable = detectableCount(e.Phase, rate, phi, r.alpha, t.phaseElapsed, r.phaseLength)
	}
}

func (e *errorCheck) message(r rules, res Result, total func(int) float64, t reading) string {
	if e.Counts.since(0, countCanaryExposure) == 0 {
		return "no request has reached the canary yet"
	}
	if e.Counts.since(0, countCanaryEvents) == 0 && e.Counts.since(0, countStableEvents) == 0 {
		return "no errors in either arm yet"
	}
	canary := total(countCanaryEvents) / max(1, total(countCanaryExposure))
	stable, against := 0.0, "against"
	if m := total(countStableExposure); m > 0 {
		stable = total(countStableEvents) / m
	}
	if !t.control {
		known, _ := e.Counts.levelNow()
		stable, against = known.estimate, "against stable's earlier"
	}
	size := "errors " + times(res.Ratio) + " stable (" + percent(canary) + " " + against + " " + percent(stable) + "), "
	if res.NonInferior {
		return size + "shown not to be worse (odds 1:" + number(res.NonInferiority) + ")"
	}
	return size + odds(res.Evidence, 1/r.alpha)
}

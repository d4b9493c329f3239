package analysis

import (
	"fmt"
	"math"
)

// complaintCheck judges complaints among requests. Any increase counts, and a
// lack of complaints lets a phase end.
type complaintCheck struct {
	Counts counts `json:"counts"`
	// Measured counts the ticks of this phase that had figures.
	Measured int `json:"measured,omitempty"`
}

// rareLaterStake is what is staked in the longest plan on complaints, or a
// business figure, that get worse from some later time on.
const rareLaterStake = 0.5

func newComplaintCheck(starts int) *complaintCheck {
	return &complaintCheck{Counts: newCounts(laterParts(rareLaterStake, starts))}
}

func (c *complaintCheck) clone() *complaintCheck {
	d := *c
	d.Counts = c.Counts.clone()
	return &d
}

func (c *complaintCheck) newPhase() { c.Measured = 0 }
func (c *complaintCheck) mark()     { c.Counts.mark() }

func (c *complaintCheck) rule(r rules) countRule {
	return countRule{null: r.tolerated(), alpha: r.alpha, exactOnly: r.check.ExactOnly}
}

func (c *complaintCheck) add(r rules, t reading) bool {
	if t.canary == nil || t.canary.Complaints == nil || t.canary.Requests == nil {
		return false
	}
	tick := countTick{canaryEvents: *t.canary.Complaints, canaryExposure: *t.canary.Requests}
	if t.control {
		if t.stable == nil || t.stable.Complaints == nil || t.stable.Requests == nil {
			return false
		}
		tick.stableEvents, tick.stableExposure = *t.stable.Complaints, *t.stable.Requests
	} else if known, ok := c.Counts.levelNow(); ok {
		tick.level = known
	} else {
		return true
	}
	c.Measured++
	c.Counts.add(c.rule(r), tick)
	return true
}

func (c *complaintCheck) result(r rules, t reading) Result {
	if _, ok := c.Counts.levelNow(); !ok && !t.control {
		return Result{Verdict: Inconclusive, Flags: []string{"no-control"}, Message: noLevel}
	}
	ev := c.Counts.evidence(c.rule(r), &[maxStarts]float64{})
	total := func(i int) float64 { return c.Counts.since(ev.start, i) }
	numerator, denominator := total(countNumerator), total(countDenominator)
	res := Result{
		Judged: true, VetoOnly: true, Verdict: Inconclusive,
		Ratio: boundedRatio(numerator, denominator), Evidence: eValue(ev.log),
	}
	res.Noise = c.Counts.phi()
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
	more := numerator > 0 && numerator > r.margin*denominator
	if more && res.Evidence >= 1/r.alpha {
		res.Verdict = Fail
	} else {
		res.Acceptable = !(more && res.Evidence >= 1/beta) && (c.Measured > 0 || !t.control)
	}
	res.Message = c.message(r, res, t)
	return res
}

func (c *complaintCheck) message(r rules, res Result, t reading) string {
	all := func(i int) float64 { return c.Counts.since(0, i) }
	canary, stable := all(countCanaryEvents), all(countStableEvents)
	switch {
	case c.Measured == 0 && t.control:
		return "complaints of both arms were not measured in this phase"
	case canary == 0 && stable == 0:
		return "no complaints yet"
	case stable == 0:
		return fmt.Sprintf("%s in %s requests of the canary, none in %s of stable, %s", complaints(canary),
			number(all(countCanaryExposure)), number(all(countStableExposure)), odds(res.Evidence, 1/r.alpha))
	}
	return fmt.Sprintf("complaints %s stable for each request (%s of the canary's users, %s of stable's), %s",
		times(res.Ratio), number(canary), number(stable), odds(res.Evidence, 1/r.alpha))
}

func complaints(n float64) string {
	if math.Abs(n-1) < 1e-9 {
		return "1 complaint"
	}
	return number(n) + " complaints"
}

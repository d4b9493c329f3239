package cli

import (
	"fmt"
	"math"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/simulate"
)

// foresee warns of what a rollout cannot do at its expected traffic.
func foresee(r rollout.Rollout, t simulate.Traffic) []rollout.Problem {
	return append(blindChecks(r.Spec, t), slowTicks(r.Spec)...)
}

// blindChecks are the checks that cannot see their margin in any phase.
func blindChecks(spec rollout.Spec, t simulate.Traffic) []rollout.Problem {
	sights := simulate.Power(engine.PlanOf(spec), t)
	var ps []rollout.Problem
	for i, c := range spec.Analysis.Checks {
		switch c.Type {
		case rollout.ErrorRate, rollout.ResponseTime, rollout.CPU, rollout.Memory:
		default:
			continue // nobody knows beforehand how often users convert or complain
		}
		best := simulate.Sight{}
		judged := false
		for _, s := range sights {
			if s.Check != i {
				continue
			}
			judged = judged || s.Judged
			if s.Ratio > 0 && (best.Ratio == 0 || farther(best.Ratio, s.Ratio)) {
				best = s
			}
		}
		margin := c.Rollback.AsRatio()
		if !judged || margin == 0 || best.Ratio != 0 && !farther(best.Ratio, margin) {
			continue
		}
		p := rollout.Problem{
			Field:   fmt.Sprintf("spec.analysis.checks[%d]", i),
			Warning: true,
			Mend:    "watch longer, give the canary more of the traffic, or keep fewer checks; `serin simulate` tries what helps",
		}
		traffic := fmt.Sprintf("at %s requests/s", short(t.RequestsPerSecond))
		switch c.Type {
		case rollout.ErrorRate:
			traffic += fmt.Sprintf(" and %.2g %% errors", 100*float64(t.ErrorRate))
		case rollout.CPU, rollout.Memory:
			traffic = "with one instance of stable"
			if t.Instances > 1 {
				traffic = fmt.Sprintf("with %d instances of stable", t.Instances)
			}
			p.Mend = "run more instances (--instances says how many there are), or allow a larger margin"
		}
		if best.Ratio == 0 {
			p.Message = fmt.Sprintf("check %q cannot see its margin of %s in any phase %s", c.Name, ratio(margin), traffic)
		} else {
			ph := spec.Plan.Phases[best.Phase]
			p.Message = fmt.Sprintf("check %q cannot see its margin of %s %s: at best %s, by the end of phase %d (%d %% for %s)",
				c.Name, ratio(margin), traffic, ratio(best.Ratio), best.Phase+1, ph.Weight, rollout.Words(time.Duration(ph.Duration)))
		}
		ps = append(ps, p)
	}
	return ps
}

// farther says whether ratio a is farther from 1 than b.
func farther(a, b float64) bool { return math.Abs(math.Log(a)) > math.Abs(math.Log(b)) }

// ratio writes a ratio: 2.6x, 1.08x.
func ratio(r float64) string {
	if r < 2 {
		return fmt.Sprintf("%.2fx", r)
	}
	return fmt.Sprintf("%.2gx", r)
}

// slowTicks warns of ticks that make every decision late.
func slowTicks(spec rollout.Spec) []rollout.Problem {
	if i := spec.Analysis.Interval; i > rollout.DefaultInterval {
		return []rollout.Problem{{
			Field: "spec.analysis.interval", Warning: true,
			Message: fmt.Sprintf("is %s: a fault that ticks of 10 s show within two of them takes %s at least", i, rollout.Words(2*time.Duration(i))),
			Mend:    "write 10s, and scrape as often",
		}}
	}
	return nil
}

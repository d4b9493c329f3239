package report

import (
	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// fewest is how many canary requests a tick needs to be called the worst by
// its response times.
const fewest = 10

// watch keeps a check's first tick of the streak beyond its margin, its worst
// tick and its last one.
func (c *CheckRow) watch(t rollout.Tick, reason engine.Reason) {
	if t.Arms.Stable == nil || t.Arms.Canary == nil {
		return
	}
	var stable, canary armSum
	stable.add(t.Arms.Stable)
	canary.add(t.Arms.Canary)
	row := SampleRow{At: t.At, Weight: t.Weight, Stable: stable.figures(), Canary: canary.figures()}
	c.last = &row
	if !beyond(reason, c.Margin) {
		c.first = nil
	} else if c.first == nil {
		c.first = &row
	}
	if by := harm(c.Type, row); by > c.worstBy {
		c.worst, c.worstBy = &row, by
	}
}

// beyond reports whether a result leans against the canary by more than the
// margin, proven or not.
func beyond(r engine.Reason, margin float64) bool {
	switch {
	case r.Result == nil || !r.Judged:
		return false
	case r.Verdict == analysis.Fail:
		return true
	case r.Evidence <= 1 || r.Ratio == 0 || margin == 0:
		return false
	case margin < 1:
		return r.Ratio <= margin
	}
	return r.Ratio >= margin
}

// harm orders ticks by how bad they were for a check.
func harm(t rollout.CheckType, s SampleRow) float64 {
	if t == rollout.ResponseTime {
		if s.Canary.Requests < fewest || s.Stable.P95 == 0 {
			return 0
		}
		return s.Canary.P95 / s.Stable.P95
	}
	return max(0, s.Canary.Rate()-s.Stable.Rate())
}

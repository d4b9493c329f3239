package analysis

import (
	"math"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/stats"
)

// pairTest compares the arms when stable has one instance, so that nothing says
// by how much two instances of one version differ. It takes the differences of
// blocks of two minutes as independent and normal, of a variance that is not
// known. That two instances differ is not that two versions do, so it can have a
// run held, never rolled back.
type pairTest struct {
	// Length is how many ticks a block has.
	Length int     `json:"length"`
	Ticks  int     `json:"ticks,omitempty"`
	Sum    float64 `json:"sum,omitempty"`
	// N, Mean and Squares are of the closed blocks.
	N       float64 `json:"n,omitempty"`
	Mean    float64 `json:"mean,omitempty"`
	Squares float64 `json:"squares,omitempty"`
}

// newPairTest makes blocks of two minutes; shorter in a plan with phases of less
// than twenty, so that a phase has ten.
func newPairTest(tm timing, phases []rollout.Phase) pairTest {
	whole := 2 * time.Minute
	if len(phases) > 0 && phases[0].Duration > 0 {
		whole = min(whole, time.Duration(phases[0].Duration)/10)
	}
	return pairTest{Length: max(1, int(whole/max(1, tm.Interval)))}
}

func (p *pairTest) add(z float64) {
	p.Ticks++
	p.Sum += z
	if p.Ticks < p.Length {
		return
	}
	m := moments{n: p.N, mean: p.Mean, squares: p.Squares}
	m.add(p.Sum / float64(p.Ticks))
	p.N, p.Mean, p.Squares = m.n, m.mean, m.squares
	p.Ticks, p.Sum = 0, 0
}

func (p *pairTest) evidence(null float64) float64 {
	if p.N < 2 {
		return 0
	}
	return stats.LogStudentEvidence(p.N, p.Mean-null, math.Sqrt(p.Squares/(p.N-1)))
}

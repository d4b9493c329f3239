package analysis

import (
	"math"
	"time"
)

// A fault may begin at any time, and evidence from before it speaks for the
// canary. So every check's evidence is a mixture over the times at which the
// fault may have begun: the start of the run, with half of the stake, and up to
// fourteen later starts, with the other half in equal parts. The stake of a
// start that has not come yet is kept as it is.
const (
	maxStarts       = 15
	firstStartStake = 0.5
	laterStartStake = 0.5 / (maxStarts - 1)
)

// StartPoint is a time from which a fault is looked for.
type StartPoint struct {
	At     time.Time `json:"at"`
	Phase  int       `json:"phase"`
	Weight int       `json:"weight"`
	// NoControl marks a start at which stable no longer had traffic.
	NoControl bool `json:"noControl,omitempty"`
}

// logStake is the logarithm of what start s stakes.
func logStake(s int) float64 {
	if s == 0 {
		return math.Log(firstStartStake)
	}
	return math.Log(laterStartStake)
}

// logUnstaked is the logarithm of what the starts to come have kept.
func logUnstaked(begun int) float64 {
	if begun == 0 {
		return 0
	}
	return math.Log(laterStartStake * float64(maxStarts-begun))
}

// begins says whether a start begins with this tick: the first of the run, of
// a phase, or without control, or the next in a phase when enough of them are
// left over for the phases to come and for the end of control.
func (s *State) begins(phases, phase int, newPhase, control bool) bool {
	left := maxStarts - len(s.Starts)
	switch {
	case len(s.Starts) == 0:
		return true
	case !control && !s.Starts[len(s.Starts)-1].NoControl:
		return left > 0
	case left <= 1:
		return false
	}
	return newPhase || s.Elapsed-s.StartedAt >= s.Timing.Spacing && left > phases-1-phase
}

// sums are running totals, and what each of them was when each start began, so
// that the total since any start is a difference. It is how one accumulation a
// tick serves every start.
type sums struct {
	Total Vector `json:"total"`
	// Marks holds one copy of Total for each start after the first, in order.
	Marks Vector `json:"marks,omitempty"`
}

func newSums(n int) sums { return sums{Total: make(Vector, n)} }

func (u sums) clone() sums {
	return sums{Total: u.Total.clone(0), Marks: u.Marks.clone(len(u.Total))}
}

// mark begins another start.
func (u *sums) mark() { u.Marks = append(u.Marks, u.Total...) }

// starts is how many starts there are, the first included.
func (u sums) starts() int { return 1 + len(u.Marks)/len(u.Total) }

// since returns total i over the window of start s.
func (u sums) since(s, i int) float64 {
	if s == 0 {
		return u.Total[i]
	}
	return u.Total[i] - u.Marks[(s-1)*len(u.Total)+i]
}

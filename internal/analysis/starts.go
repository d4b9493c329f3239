package analysis

import (
	"math"
	"time"
)

// A fault may begin at any time, and evidence from before it speaks for the
// canary. So every check's evidence is a mixture over the times at which the
// fault may have begun: the start of the run with the first start's stake, and
// up to fourteen later starts with the rest in equal parts. The stake of a start
// that has not come yet is kept as it is.
const maxStarts = 15

// firstStake is the part of the whole that is staked on the first start.
type firstStake float64

// logOf is the logarithm of what start s stakes.
func (f firstStake) logOf(s int) float64 {
	if s == 0 {
		return math.Log(float64(f))
	}
	return math.Log((1 - float64(f)) / (maxStarts - 1))
}

// logKept is the logarithm of what the starts to come have kept.
func (f firstStake) logKept(begun int) float64 {
	if begun == 0 {
		return 0
	}
	return math.Log((1 - float64(f)) * float64(maxStarts-begun) / (maxStarts - 1))
}

// StartPoint is a time from which a fault is looked for.
type StartPoint struct {
	At     time.Time `json:"at"`
	Phase  int       `json:"phase"`
	Weight int       `json:"weight"`
	// NoControl marks a start at which stable no longer had traffic.
	NoControl bool `json:"noControl,omitempty"`
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
	// First is the stake of the first start.
	First firstStake `json:"first"`
}

func newSums(n int, first firstStake) sums { return sums{Total: make(Vector, n), First: first} }

func (u sums) clone() sums {
	u.Total = u.Total.clone(0)
	u.Marks = u.Marks.clone(len(u.Total))
	return u
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

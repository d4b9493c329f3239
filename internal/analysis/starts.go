package analysis

import (
	"math"
	"time"

	"serin.dev/serin/internal/rollout"
)

// A fault may begin at any time, and evidence from before it speaks for the
// canary. So every check's evidence is a mixture over the times at which the
// fault may have begun: the start of the run, and up to fourteen later starts.
const (
	// stakedStarts is how many starts a plan has at most.
	stakedStarts = 15
	// maxStarts has room for one more without a stake: the end of control in a
	// plan that did not foresee it, from which figures must be kept apart.
	maxStarts = stakedStarts + 1
)

// stakes is how the starts of a plan divide a stake of 1 among themselves. Each
// later start has the same part in every plan, and the first has what the plan's
// own number of later starts leaves over.
//
// It is what makes the mixture valid. Both numbers are known before the first
// tick, and the parts sum to 1: Later times (Starts-1), and 1 minus that. When a
// start begins is decided by earlier ticks only, and each start's evidence is an
// e-process from then on, worth 1 until then; so the mixture is one too, whatever
// the times turn out to be. A start that never begins keeps its part at 1, and
// one beyond the plan's number has none.
type stakes struct {
	// Starts is the plan's number of starts, at most stakedStarts.
	Starts int `json:"starts"`
	// Later is the part of each start but the first.
	Later float64 `json:"later"`
}

// laterParts divides what the later starts of the longest plan have together.
func laterParts(together float64, starts int) stakes {
	return stakes{Starts: starts, Later: together / (stakedStarts - 1)}
}

// logOf is the logarithm of what start s stakes; -Inf for nothing.
func (p stakes) logOf(s int) float64 {
	switch {
	case s == 0:
		return math.Log(1 - p.Later*float64(p.Starts-1))
	case s < p.Starts:
		return math.Log(p.Later)
	}
	return math.Inf(-1)
}

// logs is logOf for the starts that have begun, into all.
func (p stakes) logs(all *[maxStarts]float64, begun int) {
	later := math.Log(p.Later)
	for s := range begun {
		if s == 0 || s >= p.Starts {
			all[s] = p.logOf(s)
		} else {
			all[s] = later
		}
	}
}

// logKept is the logarithm of what the starts to come have kept.
func (p stakes) logKept(begun int) float64 {
	if begun == 0 {
		return 0
	}
	return math.Log(p.Later * float64(max(0, p.Starts-begun)))
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
// left over for the phases to come.
func (s *State) begins(phases []rollout.Phase, phase int, newPhase, control bool) bool {
	left := s.Timing.Starts - len(s.Starts)
	switch {
	case len(s.Starts) == 0:
		return true
	case !control && !s.Starts[len(s.Starts)-1].NoControl:
		return len(s.Starts) < maxStarts
	case control && endsControl(phases, phase):
		// The weight lags behind the phase: its start is the end of control.
		return false
	case newPhase:
		// One is kept for the end of control, should phases be so many.
		return left > 1 || left == 1 && (!control || !endsControl(phases, len(phases)-1))
	}
	return s.Elapsed-s.StartedAt >= s.Timing.Spacing && left > max(0, len(phases)-1-phase)
}

// endsControl says whether a phase gives all traffic to the canary.
func endsControl(phases []rollout.Phase, phase int) bool {
	return phase >= 0 && phase < len(phases) && phases[phase].Weight >= rollout.Full
}

// sums are running totals, and what each of them was when each start began, so
// that the total since any start is a difference. It is how one accumulation a
// tick serves every start.
type sums struct {
	Total Vector `json:"total"`
	// Marks holds one copy of Total for each start after the first, in order.
	Marks Vector `json:"marks,omitempty"`
	// Stakes are what the starts stake.
	Stakes stakes `json:"stakes"`
}

func newSums(n int, p stakes) sums { return sums{Total: make(Vector, n), Stakes: p} }

// clone shares the marks, which are never changed: mark makes new ones.
func (u sums) clone() sums {
	u.Total = u.Total.clone()
	return u
}

// mark begins another start.
func (u *sums) mark() { u.Marks = append(u.Marks[:len(u.Marks):len(u.Marks)], u.Total...) }

// window returns the totals over the window of start s: the running ones, and
// what to take off them; nothing for the first start.
func (u *sums) window(s int) (total, before []float64) {
	n := len(u.Total)
	if s == 0 {
		return u.Total, nil
	}
	return u.Total, u.Marks[(s-1)*n : s*n]
}

// starts is how many starts there are, the first included.
func (u sums) starts() int { return 1 + len(u.Marks)/len(u.Total) }

// since returns total i over the window of start s.
func (u sums) since(s, i int) float64 {
	if s == 0 {
		return u.Total[i]
	}
	return u.Total[i] - u.Marks[(s-1)*len(u.Total)+i]
}

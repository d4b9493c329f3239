package engine

import (
	"slices"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// maxStep is how many intervals the run's clock moves at most between two
// looks. More time than that has passed unwatched, so it counts for nothing.
const maxStep = 3

// Decide says what comes next. It never fails: what it cannot see it treats as
// unknown, and unknown never raises the canary's weight.
func Decide(p Plan, s State, o Observation) Decision {
	return (&look{plan: p, was: s, next: s.clone(), obs: o}).decision()
}

// Player decides for whoever plays many runs and reads no reports of them. It
// leaves out what only people read of checks and of waiting, and uses memory
// again; what it decides is the same. It plays one run at a time, of ticks that
// analysis.Validate would pass.
type Player struct{ look look }

// Decide is the function Decide, but for taking over the memory of s, which is no
// state any more afterwards.
func (y *Player) Decide(p Plan, s State, o Observation) Decision {
	y.look = look{plan: p, was: s, next: s.clone(), obs: o, play: true}
	return y.look.decision()
}

func (l *look) decision() Decision {
	l.advance()
	l.baseline()
	l.judge()
	l.collect()
	l.yield()
	l.hear()
	verdict := l.decide()
	if verdict.kind != Hold && !verdict.stuck {
		l.next.Hold = nil
	}
	l.ask()
	if verdict.kind != Rollback {
		verdict.because = append(verdict.because, l.lostBaseline()...)
	}
	return Decision{
		Kind:     verdict.kind,
		Next:     l.next,
		Want:     l.plan.Want(l.next),
		Because:  verdict.because,
		WakeAt:   l.wakeAt(),
		Answered: l.answered,
	}
}

// look is one call of Decide in progress: the rules read was and obs, and
// write next.
type look struct {
	plan Plan
	was  State
	next State
	obs  Observation
	// play: see Player.
	play bool

	// rollback is a person's accepted intent to roll back.
	rollback *rollout.Intent
	answered []Answer
}

// outcome is what a rule decided.
type outcome struct {
	kind    Kind
	because []Reason
	// stuck keeps the state's hold although the decision is not to hold: the
	// run cannot go where it has decided to go.
	stuck bool
}

// decide asks the rules in order; the first that answers decides.
func (l *look) decide() *outcome {
	for _, r := range rules {
		if len(r.in) > 0 && !slices.Contains(r.in, l.next.Status) {
			continue
		}
		if out := r.ask(l); out != nil {
			return out
		}
	}
	return l.wait("watching", "nothing to do")
}

// advance moves the run's clock. The clock stands still when the observation's
// time goes backwards, and moves by a bounded step when it leaps.
func (l *look) advance() {
	n := &l.next
	step := time.Duration(0)
	if !n.At.IsZero() {
		step = min(max(l.obs.At.Sub(n.At), 0), maxStep*time.Duration(l.plan.Analysis.Interval))
	}
	n.At = l.obs.At
	n.Elapsed += rollout.Duration(step)
	if w := l.obs.Weight; w != nil && w.Known {
		n.ByInstances = w.ByInstances
		if w.Percent == 0 {
			n.AtZero = w.Revision
		}
	}
	if n.Status != Progressing {
		return
	}
	if l.obs.Resumed {
		// Nobody was there to collect figures; they are awaited from now on.
		n.Fresh = n.Elapsed
	}
	if p := l.plan.percent(n); l.inEffect() && p > 0 {
		n.Seen = p
		if l.watched() {
			n.Watched += rollout.Duration(step)
		}
	}
}

// watched reports whether time counts towards the phase: its own weight is in
// effect, not one that somebody else set, figures arrive, and there are
// requests to learn from.
func (l *look) watched() bool {
	n := &l.next
	return n.Yield == nil && n.Assessment.Data != analysis.DataNoTraffic &&
		l.sinceFresh() <= maxStep*l.plan.Analysis.Interval
}

// yield notes a weight that somebody else set, up to the phase's own.
func (l *look) yield() {
	if w := l.obs.Weight; w != nil && w.ChangedBy != "" && l.next.Status == Progressing {
		seen := min(max(w.Percent, 0), l.weight())
		l.next.Yield, l.next.YieldedTo = &seen, w.ChangedBy
	}
}

// judge folds a tick into the analysis.
func (l *look) judge() {
	n := &l.next
	if l.obs.Tick == nil || n.Status != Progressing {
		return
	}
	n.Pressing = analysis.Presses(*l.obs.Tick)
	cfg, tick := l.plan.Judging(), n.withComplaints(l.judged(*l.obs.Tick))
	if l.play {
		cfg.Terse, cfg.Sound = true, true
		n.Assessment = analysis.Advance(cfg, &n.Analysis, tick, n.Phase)
	} else {
		n.Analysis, n.Assessment = analysis.Step(cfg, n.Analysis, tick, n.Phase)
	}
	if d := n.Assessment.Data; d == analysis.DataFresh || d == analysis.DataNoTraffic {
		n.Fresh = n.Elapsed
	}
}

// shortest is what a tick lasts at least where one is made short; an interval
// below it stays as it is.
const shortest = 5 * time.Second

// Tick is how long the tick that has begun should last: an interval, and half
// of one after a tick that looked like a gross fault. It follows from what is
// past, so no test looks at when it likes (docs/adr/0003).
func (p Plan) Tick(s State) time.Duration {
	interval := time.Duration(p.Analysis.Interval)
	if !s.Pressing || s.Status != Progressing {
		return interval
	}
	return min(interval, max(interval/2, shortest))
}

// Percent is the weight that the state asks for.
func (s State) Percent(p Plan) int { return p.percent(&s) }

// weight is the current phase's weight.
func (l *look) weight() int { return l.plan.Phases[l.next.Phase].Weight }

// inEffect reports whether the weight wanted is the weight seen.
func (l *look) inEffect() bool {
	w := l.obs.Weight
	return w != nil && w.Known && w.InEffect && w.Percent == l.plan.percent(&l.next)
}

// growing reports that the instances that make the phase's weight are being
// added to those that make the weight before it.
func (l *look) growing() bool {
	n := &l.next
	return n.ByInstances && n.Status == Progressing && n.Seen > 0 && n.Seen < l.weight()
}

// needed is the ready capacity without which the canary gets no traffic. While
// it grows, what it gets is what its instances make.
func (l *look) needed() int {
	if l.growing() {
		return l.next.Seen
	}
	return l.weight()
}

// sinceFresh is how long ago both arms' figures last arrived.
func (l *look) sinceFresh() rollout.Duration { return l.next.Elapsed - l.next.Fresh }

// inStage is how long the run has been where it is.
func (l *look) inStage() rollout.Duration { return l.next.Elapsed - l.next.Entered }

// enter moves the run and starts the clock of where it is now.
func (l *look) enter(status Status, stage Stage) {
	l.next.Status, l.next.Stage = status, stage
	l.next.Entered = l.next.Elapsed
}

// enterPhase starts watching a phase.
func (l *look) enterPhase(index int) {
	l.enter(Progressing, "")
	n := &l.next
	n.Phase = index
	n.Watched = 0
	n.Fresh = n.Elapsed
	n.Skip = nil
}

// wakeAt is when to look again: at the next tick, and sooner while something
// is under way outside.
func (l *look) wakeAt() time.Time {
	const soon = time.Second
	interval := l.plan.Tick(l.next)
	n := l.next
	switch {
	case n.Ended():
		return l.obs.At.Add(interval)
	case n.Status != l.was.Status || n.Stage != l.was.Stage || n.Phase != l.was.Phase:
		return l.obs.At
	case n.Status != Progressing || n.Suspended || n.Stage == Admitting:
		return l.obs.At.Add(min(interval, soon))
	}
	return l.obs.At.Add(interval)
}

package engine

import (
	"fmt"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// prepare brings the canary up at weight 0: hooks, instances, hooks, first
// phase.
func (l *look) prepare() *outcome {
	n := &l.next
	if n.Paused != nil {
		return l.hold(HoldPaused, n.Paused.By+" paused the run"+because(n.Paused.Reason)+". Resume, promote or roll back", true)
	}
	if n.Stage == "" {
		if out := l.jobsPending(); out != nil {
			return out
		}
		l.enter(Preparing, Creating)
		n.CanaryAsked = true
	}
	first := l.plan.Phases[0].Weight
	ready := l.obs.Canary != nil && l.obs.Canary.Capacity >= first
	stable := l.obs.Stable != nil && l.obs.Stable.Ready > 0
	if n.Stage == Creating && ready && stable {
		l.enter(Preparing, Admitting)
	}
	if n.Stage == Admitting {
		if out := l.jobsPending(); out != nil {
			return out
		}
		if ready && stable && l.atZero() && !l.awaitBaseline(first) {
			l.enterPhase(0)
			return &outcome{kind: Proceed, because: []Reason{note("prepared",
				fmt.Sprintf("the canary is ready (%d of %d instances); phase 1 begins at %d %%", l.obs.Canary.Ready, l.obs.Canary.Instances, first))}}
		}
	}
	if l.inStage() > l.plan.Prepare {
		return l.rollBack(note("notReady", l.notReady()+fmt.Sprintf("; waited %s, the longest allowed", round(l.plan.Prepare))))
	}
	return l.wait("preparing", l.notReady())
}

// atZero reports that the canary is seen to get nothing, or that the router
// holds no split yet.
func (l *look) atZero() bool {
	w := l.obs.Weight
	return w != nil && w.Percent == 0 && (w.InEffect || !w.Known)
}

// notReady says what a run that is preparing waits for.
func (l *look) notReady() string {
	switch {
	case l.obs.Stable == nil:
		return "waiting: the state of stable is not known"
	case l.obs.Stable.Ready == 0:
		return "waiting: stable is not ready" + detail(l.obs.Stable.Detail)
	case l.obs.Canary == nil:
		return "waiting: the state of the canary is not known"
	case l.plan.Baseline && l.obs.Canary.Capacity >= l.plan.Phases[0].Weight && l.atZero():
		return "waiting for the baseline, which is to begin with the canary"
	case l.obs.Canary.Capacity < l.plan.Phases[0].Weight:
		return fmt.Sprintf("waiting: the canary is not ready, %d of %d instances%s",
			l.obs.Canary.Ready, max(l.obs.Canary.Instances, 1), detail(l.obs.Canary.Detail))
	}
	return "waiting: the router has not taken weight 0"
}

// lacking reports that instances that make the phase's weight are missing.
func (l *look) lacking() bool {
	return l.growing() && l.obs.Canary != nil && l.obs.Canary.Capacity < l.weight()
}

// grow waits for the instances that make the phase's weight. It lasts as long
// as the canary may take to get ready.
func (l *look) grow() *outcome {
	switch {
	case !l.lacking() || l.next.Stage == Admitting:
		return nil
	case l.inStage() > l.plan.Prepare:
		return l.hold("noCapacity", fmt.Sprintf("the canary did not become ready for %d %% within %s. Make room for its instances, or roll back",
			l.weight(), round(l.plan.Prepare)), true)
	}
	return l.wait("capacity", fmt.Sprintf("waiting for the canary's instances for %d %%", l.weight()))
}

// watch waits until the phase has been watched for its duration, or may be
// left early.
func (l *look) watch() *outcome {
	n := l.next
	if n.Stage == Admitting {
		return nil
	}
	phase := l.plan.Phases[n.Phase]
	if n.Watched >= phase.Duration {
		return nil
	}
	if n.Assessment.Data == analysis.DataNoTraffic && l.inStage() >= phase.Duration {
		return nil
	}
	if e := l.plan.Early; e != nil && n.Watched >= e.After && l.proven() {
		return nil
	}
	if l.play {
		return &outcome{kind: Wait}
	}
	return l.wait("watching", fmt.Sprintf("phase %d of %d at %d %%: %s of %s watched",
		n.Phase+1, len(l.plan.Phases), phase.Weight, round(n.Watched), round(phase.Duration)))
}

// proven reports that every judged check has proven the canary not inferior;
// one that can only speak against it must not have.
func (l *look) proven() bool {
	judged := 0
	for _, r := range l.next.Assessment.Results {
		switch {
		case !r.Judged:
		case r.VetoOnly && !r.Acceptable:
			return false
		case r.VetoOnly:
		case !r.NonInferior:
			return false
		default:
			judged++
		}
	}
	return judged > 0 && l.unpassed() == "" && l.next.Assessment.Data == analysis.DataFresh
}

// endHolds are the holds at the end of a phase that only a tick can end.
var endHolds = map[string]bool{"noTraffic": true, "inconclusive": true, "nothingJudged": true}

// pass gives the phase its durable pass, or holds for a person.
func (l *look) pass() *outcome {
	n := &l.next
	if n.Stage == Admitting {
		return nil
	}
	if l.obs.Tick == nil && l.was.Hold != nil && endHolds[l.was.Hold.Rule] {
		return l.hold(l.was.Hold.Rule, l.was.Hold.Message, true)
	}
	if n.Assessment.Data == analysis.DataNoTraffic {
		return l.hold("noTraffic", "no request reached the canary in this phase; nothing was learnt. Send traffic, promote or roll back", true)
	}
	if l.obs.Tick == nil || n.Assessment.Data != analysis.DataFresh {
		return l.wait("watching", "waiting for the next tick's figures")
	}
	judged := 0
	for _, r := range n.Assessment.Results {
		if !r.Judged {
			continue
		}
		if r.Type != rollout.Complaints {
			judged++ // that nobody complains shows nothing by itself
		}
		if !r.NonInferior && !r.Acceptable {
			return l.hold("inconclusive", fmt.Sprintf("phase %d has been watched to its end and %s is not proven acceptable. Promote, or roll back", n.Phase+1, r.Check), true)
		}
	}
	if judged == 0 {
		return l.hold("nothingJudged", "no check could be judged in this phase; no data is never a pass. Promote, or roll back", true)
	}
	if test := l.unpassed(); test != "" {
		return l.holdThenAsk("tests", fmt.Sprintf("phase %d has been watched to its end and test %q has not passed in it", n.Phase+1, test))
	}
	n.Passes = append(n.Passes, PhasePass{Phase: n.Phase, At: l.obs.At, Because: l.results()})
	l.enter(Progressing, Admitting)
	return nil
}

// unpassed names a continuous test that has not passed in this phase.
func (l *look) unpassed() string {
	for _, t := range l.plan.Tests {
		if t.OnFailure == rollout.FailIgnore {
			continue
		}
		passed := false
		for _, r := range l.obs.Tests {
			passed = passed || r.Name == t.Name && r.Passes > 0 && r.Failures == 0
		}
		if !passed {
			return t.Name
		}
	}
	return ""
}

// admit asks what must be true before the next weight, then moves on.
func (l *look) admit() *outcome {
	n := &l.next
	if out := l.jobsPending(); out != nil {
		return out
	}
	next := l.plan.nextWeight(n.Phase)
	needs := next
	if n.ByInstances {
		// More instances would be more than this phase's weight.
		needs = l.weight()
	}
	if c := l.obs.Canary; c == nil || c.Capacity < needs {
		if l.inStage() > l.plan.Prepare {
			return l.hold("noCapacity", fmt.Sprintf("the canary did not become ready for %d %% within %s. Promote to go on waiting, or roll back", needs, round(l.plan.Prepare)), true)
		}
		return l.wait("capacity", fmt.Sprintf("waiting for the canary's capacity for %d %%", needs))
	}
	if s := l.obs.Stable; s == nil || s.Ready == 0 {
		return l.holdThenAsk("stableDown", "no instance of stable is ready")
	}
	if n.Phase+1 < len(l.plan.Phases) && l.awaitBaseline(next) {
		return l.wait("capacity", fmt.Sprintf("waiting for the baseline's capacity for %d %%", l.plan.BaselineWeight(next)))
	}
	if l.obs.Weight == nil || !l.inEffect() {
		return l.wait("notInEffect", "waiting for the current weight to be in effect")
	}
	reasons := n.Passes[len(n.Passes)-1].Because
	if n.Phase+1 < len(l.plan.Phases) {
		l.enterPhase(n.Phase + 1)
		return &outcome{kind: Proceed, because: append([]Reason{note("passed",
			fmt.Sprintf("phase %d passed; phase %d begins at %d %%", n.Phase, n.Phase+1, next))}, reasons...)}
	}
	l.enter(Promoting, Switching)
	return &outcome{kind: Complete, because: append([]Reason{note("passed",
		fmt.Sprintf("phase %d, the last, passed; the canary becomes stable", n.Phase+1))}, reasons...)}
}

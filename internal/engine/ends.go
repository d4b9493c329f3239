package engine

import (
	"fmt"
	"time"

	"serin.dev/serin/internal/rollout"
)

// slack bounds what the ends of a run wait for beyond a hook's own timeout.
const slack = rollout.Duration(time.Minute)

// removal bounds the wait for instances to be gone.
const removal = rollout.Duration(5 * time.Minute)

// goOnRollingBack: traffic first, then evidence, then instances, then hooks.
// Nothing after the first stage can be waited for without a bound, and the
// first waits for nothing but the router.
func (l *look) goOnRollingBack() *outcome {
	n := &l.next
	switch n.Stage {
	case Returning:
		if w := l.obs.Weight; w != nil && w.Percent == 0 && !w.Promoted && (w.InEffect || !w.Known) {
			l.enter(RollingBack, Draining)
		}
	case Draining:
		if c := l.obs.Canary; c != nil && c.Instances == 0 || l.drained(l.inflightCanary()) {
			l.enter(RollingBack, Gathering)
		}
	case Gathering:
		if l.choresDone() {
			l.enter(RollingBack, Removing)
		}
	case Removing:
		if c := l.obs.Canary; c != nil && c.Instances == 0 && l.baselineGone() || l.inStage() > removal {
			l.enter(RollingBack, Finishing)
		}
	case Finishing:
		if l.jobsPending() == nil {
			l.enter(RolledBack, "")
		}
	}
	if n.Stage == Returning && l.disobeyed() {
		stuck := l.hold("notInEffect", "the router has not taken weight 0. Serin goes on asking; take the canary out of the traffic by hand, or mend the router", true)
		return &outcome{kind: Rollback, because: append(stuck.because[:1:1], n.Cause...), stuck: true}
	}
	return &outcome{kind: Rollback, because: n.Cause}
}

// disobeyed reports that the router has been asked for longer than a hold may
// last.
func (l *look) disobeyed() bool { return l.inStage() >= l.plan.HoldTimeout }

// goOnPromoting: the stable arm is pointed at the tested instances, the old
// ones finish their requests and go.
func (l *look) goOnPromoting() *outcome {
	n := &l.next
	if c := l.obs.Canary; c != nil && c.Capacity < l.weight() && !l.oldGoing() {
		return l.rollBack(note("canaryCrashed", "the canary lost ready instances while it was becoming stable"+detail(c.Detail)))
	}
	ready := l.obs.Canary != nil && l.obs.Canary.Capacity >= rollout.Full
	w := l.obs.Weight
	message := ""
	switch n.Stage {
	case Switching:
		message = "the stable arm is being pointed at the tested instances"
		if w != nil && w.Promoted && w.InEffect && ready {
			l.enter(Promoting, Draining)
		}
	case Draining:
		message = "the old version's requests are finishing"
		if w != nil && w.Promoted && w.InEffect && w.Percent == 0 && ready && l.drained(w.DrainingInflight) {
			l.enter(Promoting, Gathering)
		}
	case Gathering:
		message = "logs are being archived"
		if l.choresDone() {
			l.enter(Promoting, Removing)
		}
	case Removing:
		message = "the old version's instances are going"
		if s := l.obs.Stable; s != nil && s.Instances == 0 && l.baselineGone() || l.inStage() > removal {
			l.enter(Promoting, Finishing)
		}
	case Finishing:
		message = "the last hooks are running"
		if l.jobsPending() == nil {
			l.enter(Promoted, "")
			message = "the canary is the stable version now"
		}
	}
	out := &outcome{kind: Complete, because: []Reason{note("promoting", message)}}
	if (n.Stage == Switching || n.Stage == Draining) && l.disobeyed() && l.inStage() > l.plan.Drain {
		stuck := l.hold("notInEffect", message+", and the router has not followed for "+round(l.inStage())+". Mend the router, or roll back", true)
		out.because, out.stuck = append(stuck.because[:1:1], out.because...), true
	}
	return out
}

// oldGoing reports that the old version is being removed: there is no way back
// within this run.
func (l *look) oldGoing() bool {
	return l.next.Status == Promoting && (l.next.Stage == Removing || l.next.Stage == Finishing)
}

// drained reports that no request is left, or that the drain time is over.
func (l *look) drained(inflight int) bool {
	return inflight == 0 || l.inStage() >= l.plan.Drain
}

func (l *look) inflightCanary() int {
	if l.obs.Weight == nil {
		return -1
	}
	return l.obs.Weight.CanaryInflight
}

// choresDone reports that Serin's own jobs of this stage are done.
func (l *look) choresDone() bool {
	for _, j := range l.plan.jobs(l.next) {
		if j.Kind != JobHook && !l.next.Jobs[j.Key].Done {
			return false
		}
	}
	return true
}

// collect takes in the results of jobs, and gives up on those that have been
// out for longer than their bound.
func (l *look) collect() {
	n := &l.next
	for _, r := range l.obs.Jobs {
		if st, ok := n.Jobs[r.Key]; ok && !st.Done {
			st.Done, st.Passed, st.Message = true, r.Passed, r.Message
			n.Jobs[r.Key] = st
		}
	}
	for _, j := range l.plan.jobs(*n) {
		st, ok := n.Jobs[j.Key]
		if ok && !st.Done && j.bound > 0 && n.Elapsed-st.Asked > j.bound {
			st.Done, st.Message = true, "no answer within "+round(j.bound)
			n.Jobs[j.Key] = st
		}
	}
}

// ask notes when each job of the next state was first wanted.
func (l *look) ask() {
	n := &l.next
	for _, j := range l.plan.jobs(*n) {
		if _, ok := n.Jobs[j.Key]; ok {
			continue
		}
		if n.Jobs == nil {
			n.Jobs = map[string]JobState{}
		}
		n.Jobs[j.Key] = JobState{Asked: n.Elapsed}
	}
}

// jobsPending answers nil when every job of this state is done and none that
// failed stands in the way.
func (l *look) jobsPending() *outcome {
	for _, j := range l.plan.jobs(l.next) {
		st := l.next.Jobs[j.Key]
		switch {
		case st.Done && (st.Passed || j.onFailure == rollout.FailIgnore):
		case l.next.Status == RollingBack || l.next.Status == Promoting:
			if !st.Done {
				return l.wait("hook", fmt.Sprintf("waiting for hook %q", j.Hook))
			}
		case st.Done && j.onFailure == rollout.FailHold:
			return l.hold("hookFailed", fmt.Sprintf("hook %q failed: %s. Promote to go on all the same, or roll back", j.Hook, st.Message), true)
		case st.Done:
			return l.hookFailed()
		case j.approval && l.next.SkipAll == nil:
			return l.hold(HoldApproval, fmt.Sprintf("%q waits for approval. Promote, or roll back", j.Hook), true)
		case j.approval:
		default:
			return l.wait("hook", fmt.Sprintf("waiting for hook %q", j.Hook))
		}
	}
	return nil
}

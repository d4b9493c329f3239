package engine

import (
	"cmp"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// hear takes in what people asked. A rollback beats everything that arrived
// with it; of the rest, the last word counts.
func (l *look) hear() {
	intents := slices.Clone(l.obs.Intents)
	slices.SortStableFunc(intents, func(a, b rollout.Intent) int {
		return cmp.Compare(urgency(a.Kind), urgency(b.Kind))
	})
	for _, i := range intents {
		if i.Kind == rollout.Complain && !l.next.Ended() {
			l.answered = append(l.answered, Answer{ID: i.ID, Accepted: true, Message: l.complain(i)})
			continue
		}
		refusal := l.take(i)
		a := Answer{ID: i.ID, Accepted: refusal == "", Message: refusal}
		if a.Accepted {
			a.Message = string(i.Kind) + " accepted"
		}
		l.answered = append(l.answered, a)
	}
}

// urgency orders what arrived together; equals stay in the order they came.
func urgency(k rollout.IntentKind) int {
	if k == rollout.Rollback {
		return 0
	}
	return 1
}

// take applies one intent and returns why it is refused, if it is.
func (l *look) take(i rollout.Intent) (refusal string) {
	n := &l.next
	switch {
	case n.Ended():
		return "the run has ended"
	case l.rollback != nil || n.Status == RollingBack:
		if i.Kind == rollout.Rollback {
			return ""
		}
		return "the run is rolling back"
	case i.Kind == rollout.Rollback && l.oldGoing():
		return "the canary is already the stable version; release the previous version to go back"
	case i.Kind == rollout.Rollback:
		l.rollback = &i
		return ""
	case n.Status == Promoting:
		return "the last phase has passed and the canary is becoming stable"
	}
	by := &Paused{By: i.Actor, Reason: i.Reason}
	switch i.Kind {
	case rollout.Pause:
		n.Paused = by
	case rollout.Resume:
		if n.Paused == nil && n.Yield == nil {
			return "the run is not paused"
		}
		l.takeBack()
	case rollout.Promote:
		return l.takePromote(i, by)
	default:
		return "unknown intent " + string(i.Kind)
	}
	return ""
}

// takeBack ends a pause, and takes back a weight that somebody else set.
func (l *look) takeBack() {
	n := &l.next
	if n.Yield != nil {
		n.Seen = 0
	}
	n.Paused, n.Yield, n.YieldedTo = nil, nil, ""
}

// takePromote answers what the run waits for; when it waits for nothing, it
// ends the current phase.
func (l *look) takePromote(i rollout.Intent, by *Paused) (refusal string) {
	n := &l.next
	answered := n.Paused != nil
	l.takeBack()
	if i.Full {
		n.SkipAll = by
		answered = true
	}
	for _, j := range l.plan.jobs(*n) {
		st := n.Jobs[j.Key]
		if j.approval && !st.Done || st.Done && !st.Passed {
			st.Done, st.Passed, st.Message = true, true, byPerson(i, "approved")
			if n.Jobs == nil {
				n.Jobs = map[string]JobState{}
			}
			n.Jobs[j.Key] = st
			answered = true
		}
	}
	switch {
	case answered && (n.Status != Progressing || n.Stage == Admitting):
		return ""
	case n.Stage == Admitting && n.Status == Progressing:
		l.enter(n.Status, n.Stage) // wait as long again
		return ""
	case n.Status == Progressing:
		n.Skip = by
		return ""
	}
	return "the canary is still being prepared; there is no phase to end yet"
}

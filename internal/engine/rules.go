package engine

import (
	"cmp"
	"fmt"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// rule is one thing that can decide a look. It answers nil when it has nothing
// to say.
type rule struct {
	// in limits the rule to these statuses; empty means all.
	in  []Status
	ask func(*look) *outcome
}

// rules in the order they are asked. What lowers the canary's exposure comes
// before everything that could raise it; what keeps the weight comes before
// what moves it on.
var rules = []rule{
	// The run is over: nothing changes any more.
	{in: []Status{Promoted, RolledBack}, ask: (*look).ended},

	// A person's rollback beats everything, also a promote that came with it.
	{ask: (*look).personRollsBack},
	// A rollback under way goes on, whatever else is seen.
	{in: []Status{RollingBack}, ask: (*look).goOnRollingBack},
	// The canary cannot work: no metric is waited for.
	{ask: (*look).canaryFailed},
	// The user asks for another version than this canary.
	{in: []Status{Preparing, Progressing}, ask: (*look).superseded},
	// The weight was found at 0 where it should not be: a rollback was carried
	// out and Serin died before it could be saved. A weight that was saved and
	// never set is told from that by the router's revision, and is set now; a
	// router that has none leaves both alike, and both go back.
	{in: []Status{Progressing, Promoting}, ask: (*look).foundAtZero},

	// The last phase has passed: the canary becomes stable.
	{in: []Status{Promoting}, ask: (*look).goOnPromoting},

	// Evidence against the canary.
	{in: []Status{Progressing}, ask: (*look).checkFailed},
	{in: []Status{Progressing}, ask: (*look).canarySilent},
	{in: []Status{Progressing}, ask: (*look).testFailed},
	{in: []Status{Preparing, Progressing}, ask: (*look).hookFailed},

	// What cannot be written down is not begun.
	{in: []Status{Preparing}, ask: (*look).unsaved},

	// Weight 0 until the canary is there.
	{in: []Status{Preparing}, ask: (*look).prepare},

	// No capacity, no traffic.
	{in: []Status{Progressing}, ask: (*look).suspended},
	{in: []Status{Progressing}, ask: (*look).unsaved},
	// A person ended the phase.
	{in: []Status{Progressing}, ask: (*look).skipped},
	// What cannot be seen is never a pass.
	{in: []Status{Progressing}, ask: (*look).unobserved},
	{in: []Status{Progressing}, ask: (*look).noData},
	{in: []Status{Progressing}, ask: (*look).weightMoved},
	{in: []Status{Progressing}, ask: (*look).stableDown},
	// Somebody, or something, wants the weight to stay.
	{in: []Status{Progressing}, ask: (*look).paused},
	{in: []Status{Progressing}, ask: (*look).analysisHolds},
	{in: []Status{Progressing}, ask: (*look).testHolds},

	// The weight is there when the instances are that make it.
	{in: []Status{Progressing}, ask: (*look).grow},
	// The phase is watched to its end, passes, and the next one is admitted.
	{in: []Status{Progressing}, ask: (*look).watch},
	{in: []Status{Progressing}, ask: (*look).pass},
	{in: []Status{Progressing}, ask: (*look).admit},
}

func (l *look) ended() *outcome {
	if l.next.Status == Promoted {
		return &outcome{kind: Complete, because: []Reason{note("promoted", "the run has ended: the canary is the stable version now")}}
	}
	return &outcome{kind: Rollback, because: l.next.Cause}
}

func (l *look) personRollsBack() *outcome {
	if l.rollback == nil || l.next.Status == RollingBack {
		return nil
	}
	return l.rollBack(note("intent", byPerson(*l.rollback, "asked for a rollback")))
}

func (l *look) canaryFailed() *outcome {
	c := l.obs.Canary
	switch {
	case c == nil, l.next.Status == Promoting && l.oldGoing():
		return nil
	case c.Failed != "":
		return l.rollBack(note("canaryFailed", "the canary cannot run: "+c.Failed))
	case c.Restarts >= maxRestarts && l.next.Status != Preparing:
		return l.rollBack(note("canaryCrashed", fmt.Sprintf("the canary ended by itself %d times%s", c.Restarts, detail(c.Detail))))
	}
	return nil
}

// maxRestarts is how many unexpected ends of canary instances are too many:
// one suspends the canary, the second rolls back.
const maxRestarts = 2

// Superseded is the rule by which a run goes back as something else is asked for:
// it says nothing of the version itself.
const Superseded = "superseded"

func (l *look) superseded() *outcome {
	if l.obs.Superseded == "" {
		return nil
	}
	return l.rollBack(note(Superseded, "this canary is no longer what is asked for: "+l.obs.Superseded))
}

func (l *look) foundAtZero() *outcome {
	w := l.obs.Weight
	if w == nil || !w.Known || !w.InEffect || w.Percent != 0 || w.ChangedBy != "" {
		return nil
	}
	const taken = "taken as a rollback that could not be written down"
	if l.next.Status == Promoting {
		if w.Promoted || l.oldGoing() {
			return nil
		}
		return l.rollBack(note("foundAtZero", "the canary is becoming stable and all traffic has been found on the old version: "+taken))
	}
	untouched := w.Revision != "" && w.Revision == l.was.AtZero
	if l.was.Suspended && !l.was.Blind || l.was.Yield != nil || l.was.Seen == 0 && !l.was.Blind && (!l.obs.Resumed || untouched) {
		return nil
	}
	return l.rollBack(note("foundAtZero",
		fmt.Sprintf("the weight should be %d %% and has been found at 0: %s", l.weight(), taken)))
}

func (l *look) checkFailed() *outcome {
	for _, r := range l.next.Assessment.Results {
		if r.Verdict == analysis.Fail {
			return l.rollBack(l.results(analysis.Fail)...)
		}
	}
	return nil
}

func (l *look) canarySilent() *outcome {
	if l.obs.Tick == nil || l.next.Assessment.Data != analysis.DataCanaryGone {
		return nil
	}
	return l.rollBack(note("canarySilent", "the canary's figures have been absent while stable's go on: taken as a crash"))
}

func (l *look) testFailed() *outcome {
	if t, r, ok := l.failing(rollout.FailRollback); ok {
		return l.rollBack(note("testFailed", fmt.Sprintf("test %q failed %d times in a row: %s", t.Name, r.Failures, r.Message)))
	}
	return nil
}

func (l *look) hookFailed() *outcome {
	for _, j := range l.plan.jobs(l.next) {
		st := l.next.Jobs[j.Key]
		if st.Done && !st.Passed && j.onFailure == rollout.FailRollback {
			return l.rollBack(note("hookFailed", fmt.Sprintf("hook %q failed: %s", j.Hook, st.Message)))
		}
	}
	return nil
}

func (l *look) suspended() *outcome {
	c, n := l.obs.Canary, &l.next
	if c == nil {
		return nil
	}
	needs := l.needed()
	n.Suspended = c.Capacity < needs
	if n.Suspended != l.was.Suspended {
		n.Seen = 0
		n.Blind = n.Suspended && l.obs.Resumed && l.obs.Weight == nil
	} else if l.obs.Weight != nil {
		n.Blind = false
	}
	if !n.Suspended {
		return nil
	}
	return l.holdOrRollBack("unready", fmt.Sprintf(
		"the canary has ready capacity for %d %% of the traffic and the phase needs %d %%; it gets none until it is ready again%s",
		c.Capacity, needs, detail(c.Detail)))
}

func (l *look) skipped() *outcome {
	n := &l.next
	by := n.Skip
	if n.SkipAll != nil {
		by = n.SkipAll
	}
	if by == nil || n.Stage == Admitting || n.Paused != nil {
		return nil
	}
	n.Passes = append(n.Passes, PhasePass{
		Phase: n.Phase, At: l.obs.At, By: by.By,
		Because: []Reason{note("intent", by.By+" ended the phase"+because(by.Reason))},
	})
	l.enter(Progressing, Admitting)
	return l.admit()
}

func (l *look) unsaved() *outcome {
	if l.obs.Unsaved == "" {
		return nil
	}
	if l.next.Status == Progressing {
		// A full disk does not stop the time that a blind run has.
		for _, blind := range []func() *outcome{l.unobserved, l.noData} {
			if out := blind(); out != nil {
				return out
			}
		}
	}
	return l.holdThenAsk("unsaved", "the last decision could not be saved, so the weight is not raised: "+l.obs.Unsaved)
}

func (l *look) unobserved() *outcome {
	switch {
	case l.obs.Weight == nil:
		return l.holdOrRollBack("unobserved", "the router does not say which weight is in effect")
	case l.obs.Canary == nil:
		return l.holdOrRollBack("unobserved", "the workload does not say how the canary is")
	}
	return nil
}

func (l *look) weightMoved() *outcome {
	w, n := l.obs.Weight, &l.next
	switch {
	case n.Yield == nil:
	case w.ChangedBy != "" && w.Percent > *n.Yield:
		return l.hold(HoldMoved, fmt.Sprintf(
			"%s set the weight to %d %%; Serin takes it back to the phase's %d %% and goes no further. Resume to go on, or roll back", w.ChangedBy, w.Percent, *n.Yield), true)
	case w.ChangedBy != "":
		return l.hold(HoldMoved, fmt.Sprintf(
			"%s set the weight to %d %%; Serin leaves it there. Resume to take it back, or roll back", w.ChangedBy, w.Percent), true)
	default:
		return l.hold(HoldMoved, fmt.Sprintf(
			"%s set the weight; it stays at %d %%. Resume to go on, or roll back", cmp.Or(n.YieldedTo, "somebody else"), *n.Yield), true)
	}
	if l.lacking() {
		return nil
	}
	if !l.inEffect() && l.inStage() > maxStep*l.plan.Analysis.Interval {
		return l.holdThenAsk("notInEffect", fmt.Sprintf("weight %d %% was asked for and %d %% is in effect", n.Percent(l.plan), w.Percent))
	}
	return nil
}

func (l *look) noData() *outcome {
	if l.next.Assessment.Data != analysis.DataMissing && l.sinceFresh() <= maxStep*l.plan.Analysis.Interval {
		return nil
	}
	what := "no figures of both arms for " + round(l.sinceFresh())
	if missing := l.next.Assessment.Missing; missing != "" {
		what = missing
	}
	return l.holdOrRollBack("noData", what+"; no data is never a pass")
}

func (l *look) stableDown() *outcome {
	if s := l.obs.Stable; s != nil && s.Ready == 0 {
		return l.holdThenAsk("stableDown", "no instance of stable is ready"+detail(s.Detail))
	}
	return nil
}

func (l *look) paused() *outcome {
	if p := l.next.Paused; p != nil {
		return l.hold(HoldPaused, p.By+" paused the run"+because(p.Reason)+". Resume, promote or roll back", true)
	}
	return nil
}

func (l *look) analysisHolds() *outcome {
	if h := l.next.Assessment.Hold; h != "" {
		return l.holdThenAsk(cmp.Or(l.next.Assessment.HoldRule, "split"), h)
	}
	return nil
}

func (l *look) testHolds() *outcome {
	if t, r, ok := l.failing(rollout.FailHold); ok {
		return l.hold("testFailed", fmt.Sprintf("test %q failed %d times in a row: %s", t.Name, r.Failures, r.Message), true)
	}
	return nil
}

// failing returns the first test with this policy that counts as failed.
func (l *look) failing(policy rollout.OnFailure) (Test, TestResult, bool) {
	for _, t := range l.plan.Tests {
		for _, r := range l.obs.Tests {
			if r.Name == t.Name && t.OnFailure == policy && r.Failures >= max(t.Failures, 1) {
				return t, r, true
			}
		}
	}
	return Test{}, TestResult{}, false
}

// rollBack begins the rollback. Whatever follows, the weight is 0 from now on.
func (l *look) rollBack(because ...Reason) *outcome {
	n := &l.next
	l.enter(RollingBack, Returning)
	n.Paused, n.Skip, n.SkipAll, n.Suspended, n.Blind = nil, nil, nil, false, false
	n.Yield, n.YieldedTo = nil, ""
	n.Cause = because
	return &outcome{kind: Rollback, because: because}
}

// hold keeps the weight where it is.
func (l *look) hold(rule, message string, person bool) *outcome {
	h := &Held{Rule: rule, Message: message, Since: l.next.Elapsed, Person: person}
	if was := l.was.Hold; was != nil && was.Rule == rule {
		h.Since = was.Since
	}
	l.next.Hold = h
	return &outcome{kind: Hold, because: append([]Reason{note(rule, message)}, l.results()...)}
}

// holdThenAsk holds, and asks for a person when that has lasted too long.
func (l *look) holdThenAsk(rule, message string) *outcome {
	out := l.hold(rule, message, false)
	if l.next.Elapsed-l.next.Hold.Since >= l.plan.HoldTimeout {
		l.next.Hold.Person = true
	}
	return out
}

// holdOrRollBack holds, and rolls back when such holds have lasted too long.
func (l *look) holdOrRollBack(rule, message string) *outcome {
	out := l.hold(rule, message, false)
	l.next.Hold.Timed = true
	if was := l.was.Hold; was != nil && was.Timed {
		l.next.Hold.Since = was.Since
	}
	if lasted := l.next.Elapsed - l.next.Hold.Since; lasted >= l.plan.HoldTimeout {
		return l.rollBack(note(rule, message+"; held for "+round(lasted)+", the longest allowed"))
	}
	return out
}

func (l *look) wait(rule, message string) *outcome {
	return &outcome{kind: Wait, because: append(l.results(), note(rule, message))}
}

// results returns the checks' results as reasons, those with the given verdict
// first.
func (l *look) results(first ...analysis.Verdict) []Reason {
	var lead, rest []Reason
	for i := range l.next.Assessment.Results {
		r := l.next.Assessment.Results[i]
		reason := Reason{Result: &r, Message: r.Message}
		if len(first) > 0 && r.Verdict == first[0] {
			lead = append(lead, reason)
		} else {
			rest = append(rest, reason)
		}
	}
	return append(lead, rest...)
}

func note(rule, message string) Reason { return Reason{Rule: rule, Message: message} }

func byPerson(i rollout.Intent, did string) string { return i.Actor + " " + did + because(i.Reason) }

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func detail(d string) string {
	if d == "" {
		return ""
	}
	return " (" + d + ")"
}

func round(d rollout.Duration) string {
	return time.Duration(d).Round(time.Second / 10).String()
}

package crd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// Bounds on what people read in a status; the record has all of it.
const (
	maxMessage = 500
	maxChecks  = 50
)

// latest returns the last decision among lines, nil when there is none.
func latest(lines []record.Line) *record.Decision {
	for _, line := range slices.Backward(lines) {
		var d record.Decision
		if json.Unmarshal(line, &d) == nil && d.Decision != "" {
			return &d
		}
	}
	return nil
}

// summarize computes everything in a run's status that is for people: from the
// state about to be saved, and the decision that led to it when there was one.
func summarize(o *serinv1.CanaryRun, r store.Run, d *record.Decision) {
	st := &o.Status
	st.ObservedGeneration = o.Generation
	st.Phase = r.State.Position()
	st.Weight = weightOf(r)
	st.EndedAt = nil
	if !r.EndedAt.IsZero() {
		at := metav1.NewMicroTime(r.EndedAt)
		st.EndedAt = &at
	}
	if d != nil {
		st.Verdict, st.Weight = string(d.Decision), int32(d.Weight)
		st.Reason = ""
		if len(d.Because) > 0 {
			st.Reason = clip(d.Because[0].Message)
		}
	}
	switch {
	case len(r.State.Cause) > 0:
		st.Reason = clip(r.State.Cause[0].Message)
	case r.State.Hold != nil:
		st.Reason = clip(r.State.Hold.Message)
	}
	st.Checks = checksOf(r.State)
	conditions(st, r)
}

// weightOf is the percent that the canary is to have, as the state wants it.
func weightOf(r store.Run) int32 {
	if r.State.Status == engine.Promoted {
		return rollout.Full
	}
	if r.State.Phase < 0 || r.State.Phase >= len(r.Plan.Phases) {
		return 0 // no state of this plan's
	}
	return int32(r.Plan.Want(r.State).Weight)
}

func checksOf(s engine.State) []serinv1.Check {
	var out []serinv1.Check
	for _, res := range s.Assessment.Results {
		if len(out) == maxChecks {
			break
		}
		out = append(out, serinv1.Check{Name: res.Check, Verdict: string(res.Verdict), Message: clip(res.Message)})
	}
	return out
}

// condition is what a run's conditions say, by kstatus: Ready always,
// Reconciling or Stalled only while it is so.
type condition struct {
	reason, message string
	ready           bool
	// also is the condition beside Ready; empty when the run has ended.
	also string
}

func conditions(st *serinv1.CanaryRunStatus, r store.Run) {
	c := conditionOf(r, st.Reason)
	at := r.State.At
	if at.IsZero() {
		at = r.StartedAt
	}
	set := func(kind string, yes bool) {
		status := metav1.ConditionFalse
		if yes {
			status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&st.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: c.reason, Message: c.message,
			ObservedGeneration: st.ObservedGeneration, LastTransitionTime: metav1.NewTime(at),
		})
	}
	set("Ready", c.ready)
	for _, kind := range []string{"Reconciling", "Stalled"} {
		if kind == c.also {
			set(kind, true)
		} else {
			meta.RemoveStatusCondition(&st.Conditions, kind)
		}
	}
}

func conditionOf(r store.Run, reason string) condition {
	s := r.State
	switch {
	case s.Status == engine.Promoted:
		return condition{reason: "Promoted", message: r.CanaryVersion + " was promoted and serves", ready: true}
	case s.Status == engine.RolledBack && len(s.Cause) > 0 && s.Cause[0].Rule == engine.Superseded:
		return condition{reason: serinv1.Superseded, message: sentence(r.CanaryVersion+" was taken back", reason, r.StableVersion+" serves")}
	case s.Status == engine.RolledBack:
		return condition{reason: "RolledBack", message: sentence(r.CanaryVersion+" was rolled back", reason, r.StableVersion+" serves")}
	case s.Waiting():
		return condition{reason: "WaitingForPerson", message: sentence("waits for a person", s.Hold.Message, whatToDo(r)), also: "Stalled"}
	case s.Status == engine.RollingBack:
		return condition{reason: "RollingBack", message: sentence(r.CanaryVersion+" is being rolled back", reason, ""), also: "Reconciling"}
	case s.Hold != nil:
		return condition{reason: "Holding", message: sentence("the weight stays where it is", s.Hold.Message, ""), also: "Reconciling"}
	case s.Status == engine.Promoting:
		return condition{reason: "Promoting", message: r.CanaryVersion + " has passed every phase and becomes stable", also: "Reconciling"}
	case s.Status == engine.Preparing:
		return condition{reason: "Preparing", message: r.CanaryVersion + " is being made ready", also: "Reconciling"}
	}
	return condition{
		reason: "Progressing", also: "Reconciling",
		message: fmt.Sprintf("%s is watched in phase %d of %d", r.CanaryVersion, s.Phase+1, len(r.Plan.Phases)),
	}
}

// whatToDo tells a person what the run waits for, in commands.
func whatToDo(r store.Run) string {
	on := r.Rollout
	if ns := r.Spec.Metadata.Namespace; ns != "" {
		on += " -n " + ns
	}
	if rule := r.State.Hold.Rule; rule == engine.HoldPaused || rule == engine.HoldMoved {
		return fmt.Sprintf("go on with \"serin resume %s\", or end it with \"serin rollback %s\"", on, on)
	}
	return fmt.Sprintf("go on with \"serin promote %s\", or end it with \"serin rollback %s\"; with kubectl, add an intent to the spec of this CanaryRun", on, on)
}

// sentence joins what is so, why, and what follows.
func sentence(what, why, then string) string {
	out := what
	if why = strings.TrimSuffix(why, "."); why != "" {
		out += ": " + why
	}
	if then != "" {
		out += "; " + then
	}
	return clip(out)
}

// clip makes a text fit for a line in a status.
func clip(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + "…"
}

package controller

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// The condition types. Ready is always there; the others only while true, as
// kstatus reads them.
const (
	condReady       = "Ready"
	condReconciling = "Reconciling"
	condStalled     = "Stalled"
)

// report writes what a look found to the object's status, when it differs, and
// tells of it in events.
func (c *Controller) report(ctx context.Context, v *view) error {
	was := v.object.DeepCopy()
	v.object.Status = summarize(v)
	if equality.Semantic.DeepEqual(was.Status, v.object.Status) {
		return nil
	}
	if err := c.Client.Status().Patch(ctx, v.object, client.MergeFrom(was), client.FieldOwner(serinv1.FieldManager)); err != nil {
		return client.IgnoreNotFound(err)
	}
	c.tell(was, v.object)
	return nil
}

// summarize computes the status from what a look found.
func summarize(v *view) serinv1.CanaryRolloutStatus {
	s := *v.object.Status.DeepCopy()
	s.ObservedGeneration = v.object.Generation
	s.Rejected = nil
	if v.latest != nil {
		s.Run = v.latest.Name
		s.Phase, s.Verdict, s.Reason, s.Weight = v.latest.Status.Phase, v.latest.Status.Verdict, v.latest.Status.Reason, 0
	}
	if st := v.asked.Stable; st.Hash != "" {
		s.Stable = &serinv1.Revision{Version: st.Version, Hash: st.Hash, ReplicaSet: st.ReplicaSet}
	}
	switch {
	case v.run != nil:
		going(v, &s)
	case v.stalled != nil:
		p := *v.stalled
		conditions(&s, condition{condReady, false, p.reason, p.message}, condition{condStalled, true, p.reason, advice(p)})
	case v.rejected:
		r := v.asked.Canary
		s.Rejected = &serinv1.Revision{Version: r.Version, Hash: r.Hash}
		conditions(&s, condition{condReady, false, "RolledBack", fmt.Sprintf(
			"%s was rolled back by %s: %s. %s serves; the Deployment is held with the rejected template. Change the template, put the old one back (serin revert %s), or try it again (kubectl annotate canaryrollout %s %s=%s)",
			r.Version, s.Run, strings.TrimSuffix(s.Reason, "."), v.asked.Stable.Version, v.object.Name, v.object.Name, serinv1.RetryAnnotation, s.Run)})
	case v.asked.Changed() && !v.asked.Held:
		conditions(&s, condition{condReady, false, "NotHeld",
			"the Deployment's own controller is rolling out " + v.asked.Canary.Version + ": its change was not held. `serin doctor` says what is missing"})
	case v.asked.Changed():
		conditions(&s, condition{condReady, false, "Beginning", "a run of " + v.asked.Canary.Version + " is beginning"}, condition{condReconciling, true, "Beginning", "a run is beginning"})
	default:
		conditions(&s, condition{condReady, true, "Serving", v.asked.Stable.Version + " serves"})
	}
	if v.run == nil {
		resting(v, &s)
	}
	return s
}

// resting has the columns that kubectl prints say how a rollout without a run
// stands, where its latest run's end does not.
func resting(v *view, s *serinv1.CanaryRolloutStatus) {
	if v.latest == nil {
		s.Phase = "idle"
	}
	ready := meta.FindStatusCondition(s.Conditions, condReady)
	if v.latest == nil || ready.Status == metav1.ConditionFalse && !v.rejected {
		s.Reason = ready.Message
	}
}

// going is the status of a rollout whose run goes on.
func going(v *view, s *serinv1.CanaryRolloutStatus) {
	at := v.stands
	if at.position == "" { // its loop has not looked yet
		conditions(s, condition{condReady, false, "Releasing", v.run.Spec.Canary.Version + " is being released"},
			condition{condReconciling, true, "Releasing", v.run.Spec.Canary.Version + " is being released"})
		return
	}
	s.Phase, s.Weight, s.Verdict, s.Reason = at.position, at.weight, at.verdict, at.reason
	text := fmt.Sprintf("%s gets %d %%", v.run.Spec.Canary.Version, at.weight)
	if at.reason != "" {
		text += ": " + at.reason
	}
	switch {
	case at.person:
		do := fmt.Sprintf("serin %s %s, or serin rollback %s", cmp.Or(at.ask, "promote"), v.object.Name, v.object.Name)
		conditions(s, condition{condReady, false, "WaitingForPerson", text}, condition{condStalled, true, "WaitingForPerson", text + ". " + do})
	case at.refused:
		conditions(s, condition{condReady, false, "Trouble", text}, condition{condStalled, true, "Trouble", at.trouble})
	case at.trouble != "":
		conditions(s, condition{condReady, false, "Trouble", text}, condition{condReconciling, true, "Trouble", at.trouble})
	case at.verdict == string(engine.Rollback):
		conditions(s, condition{condReady, false, "RollingBack", text}, condition{condReconciling, true, "RollingBack", text})
	default:
		conditions(s, condition{condReady, false, "Releasing", text}, condition{condReconciling, true, "Releasing", text})
	}
}

type condition struct {
	kind            string
	status          bool
	reason, message string
}

// conditions sets these conditions and removes the others of Serin's.
func conditions(s *serinv1.CanaryRolloutStatus, all ...condition) {
	for _, kind := range []string{condReady, condReconciling, condStalled} {
		kept := false
		for _, c := range all {
			if c.kind != kind {
				continue
			}
			kept = true
			status := metav1.ConditionFalse
			if c.status {
				status = metav1.ConditionTrue
			}
			meta.SetStatusCondition(&s.Conditions, metav1.Condition{
				Type: kind, Status: status, Reason: c.reason, Message: oneLine(c.message), ObservedGeneration: s.ObservedGeneration,
			})
		}
		if !kept {
			meta.RemoveStatusCondition(&s.Conditions, kind)
		}
	}
}

func advice(p problem) string {
	if p.do == "" {
		return p.message
	}
	return p.message + "; " + p.do
}

// sentence lists problems with their fields and mends.
func sentence(ps []rollout.Problem) string {
	var parts []string
	for _, p := range ps {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s; %s", p.Field, p.Message, p.Mend)))
	}
	return strings.Join(parts, ". ")
}

// tell emits an event when the Ready condition changed its reason.
func (c *Controller) tell(was, now *serinv1.CanaryRollout) {
	before := meta.FindStatusCondition(was.Status.Conditions, condReady)
	after := meta.FindStatusCondition(now.Status.Conditions, condReady)
	if after == nil || before != nil && before.Reason == after.Reason && now.Status.Phase == was.Status.Phase {
		return
	}
	kind := "Normal"
	switch after.Reason {
	case "Serving", "Releasing", "Beginning", "Paused":
	default:
		kind = "Warning"
	}
	c.event(now, kind, after.Reason, after.Message)
}

func (c *Controller) event(about runtime.Object, kind, reason, message string) {
	if c.Events != nil {
		c.Events.Eventf(about, nil, kind, reason, reason, "%s", message)
	}
}

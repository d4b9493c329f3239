package crd

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

func TestAStatusSaysHowTheRunIs(t *testing.T) {
	at := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	because := func(text string) []engine.Reason { return []engine.Reason{{Message: text}} }
	for _, c := range []struct {
		name     string
		state    engine.State
		decision *record.Decision
		// want: the phase, the weight, the verdict, the reason; the conditions as
		// type=status/reason; a part of the message beside Ready, or of Ready's.
		phase      string
		weight     int32
		verdict    string
		reason     string
		conditions string
		message    string
	}{
		{
			name: "a run that is being prepared", state: engine.State{Status: engine.Preparing, Stage: engine.Creating},
			phase: "preparing creating", conditions: "Ready=False/Preparing Reconciling=True/Preparing", message: "v2 is being made ready",
		},
		{
			name: "a phase that is watched", state: engine.State{Status: engine.Progressing, Phase: 1},
			decision: &record.Decision{Decision: engine.Wait, Weight: 25, Because: because("20 m of 30 m are watched")},
			phase:    "progressing 2", weight: 25, verdict: "wait", reason: "20 m of 30 m are watched",
			conditions: "Ready=False/Progressing Reconciling=True/Progressing", message: "phase 2 of 2",
		},
		{
			name: "a hold that ends by itself", state: engine.State{Status: engine.Progressing, Hold: &engine.Held{Rule: "noData", Message: "no figures for 40 s", Timed: true}},
			decision: &record.Decision{Decision: engine.Hold, Weight: 5, Because: because("no figures for 40 s")},
			phase:    "progressing 1 held:noData", weight: 5, verdict: "hold", reason: "no figures for 40 s",
			conditions: "Ready=False/Holding Reconciling=True/Holding", message: "no figures for 40 s",
		},
		{
			name: "an approval", state: engine.State{Status: engine.Progressing, Hold: &engine.Held{Rule: engine.HoldApproval, Message: "phase 2 needs an approval", Person: true}},
			phase: "progressing 1 held:approval", weight: 5, reason: "phase 2 needs an approval",
			conditions: "Ready=False/WaitingForPerson Stalled=True/WaitingForPerson", message: `"serin promote shop -n prod"`,
		},
		{
			name: "a pause", state: engine.State{Status: engine.Progressing, Hold: &engine.Held{Rule: engine.HoldPaused, Message: "maria paused it", Person: true}},
			phase: "progressing 1 held:paused", weight: 5, reason: "maria paused it",
			conditions: "Ready=False/WaitingForPerson Stalled=True/WaitingForPerson", message: `"serin resume shop -n prod"`,
		},
		{
			name: "a rollback", state: engine.State{Status: engine.RollingBack, Stage: engine.Returning, Cause: because("errors are 3 times stable's")},
			decision: &record.Decision{Decision: engine.Rollback, Because: because("another look")},
			phase:    "rollingBack returning", verdict: "rollback", reason: "errors are 3 times stable's",
			conditions: "Ready=False/RollingBack Reconciling=True/RollingBack", message: "errors are 3 times stable's",
		},
		{
			name: "the end of a rollback", state: engine.State{Status: engine.RolledBack, Cause: because("errors are 3 times stable's")},
			phase: "rolledBack", reason: "errors are 3 times stable's",
			conditions: "Ready=False/RolledBack", message: "v1 serves",
		},
		{
			name: "the end of a good run", state: engine.State{Status: engine.Promoted},
			phase: "promoted", weight: 100, conditions: "Ready=True/Promoted", message: "v2 was promoted",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &serinv1.CanaryRun{ObjectMeta: metav1.ObjectMeta{Generation: 7}}
			// What held before is not left behind.
			for _, kind := range []string{"Reconciling", "Stalled"} {
				meta.SetStatusCondition(&o.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Before"})
			}
			r := store.Run{Rollout: "shop", StableVersion: "v1", CanaryVersion: "v2", State: c.state, StartedAt: at}
			r.Spec.Metadata.Namespace = "prod"
			r.Plan.Phases = []rollout.Phase{{Weight: 5}, {Weight: 25}}
			r.State.Assessment.Results = []analysis.Result{{Check: "errors", Verdict: analysis.Fail, Message: "3 times"}}
			summarize(o, r, c.decision)
			s := o.Status
			if s.Phase != c.phase || s.Weight != c.weight || s.Verdict != c.verdict || s.Reason != c.reason {
				t.Errorf("phase %q, weight %d, verdict %q, reason %q", s.Phase, s.Weight, s.Verdict, s.Reason)
			}
			if s.ObservedGeneration != 7 || len(s.Checks) != 1 || s.Checks[0] != (serinv1.Check{Name: "errors", Verdict: "fail", Message: "3 times"}) {
				t.Errorf("generation %d, checks %+v", s.ObservedGeneration, s.Checks)
			}
			var got, messages []string
			for _, kind := range []string{"Ready", "Reconciling", "Stalled"} {
				if f := meta.FindStatusCondition(s.Conditions, kind); f != nil {
					got = append(got, kind+"="+string(f.Status)+"/"+f.Reason)
					messages = append(messages, f.Message)
					if f.ObservedGeneration != 7 || !f.LastTransitionTime.Time.Equal(at) && kind == "Ready" {
						t.Errorf("%s at generation %d since %v", kind, f.ObservedGeneration, f.LastTransitionTime)
					}
				}
			}
			if text := strings.Join(got, " "); text != c.conditions {
				t.Errorf("conditions %s, want %s", text, c.conditions)
			}
			if !strings.Contains(messages[len(messages)-1], c.message) {
				t.Errorf("it says %q", messages)
			}
		})
	}
}

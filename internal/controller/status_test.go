package controller

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/rollout"
)

// serves is a view of a rollout at rest.
func serves() view {
	obj := &serinv1.CanaryRollout{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "web", Generation: 3}}
	v1 := Revision{Version: "v1", Hash: "aaa", ReplicaSet: "shop-aaa"}
	return view{object: obj, asked: Asked{Stable: v1, Canary: v1}}
}

func running(v view, at standing) view {
	v.run = &serinv1.CanaryRun{ObjectMeta: metav1.ObjectMeta{Name: "shop-2"}}
	v.run.Spec.Canary = serinv1.Revision{Version: "v2", Hash: "bbb"}
	v.latest, v.stands = v.run, at
	return v
}

func rejected(v view) view {
	v.latest = &serinv1.CanaryRun{ObjectMeta: metav1.ObjectMeta{Name: "shop-2"}}
	v.latest.Status.Phase, v.latest.Status.Reason = "rolledBack", "errors are 3.1 times stable's."
	v.asked.Canary, v.asked.Held, v.rejected = Revision{Version: "v2", Hash: "bbb"}, true, true
	return v
}

func TestAStatusSaysHowARolloutIs(t *testing.T) {
	stuck := serves()
	stuck.trouble("Invalid", "spec.plan.phases[1].weight is 5; write more than 5", "correct the spec")
	unheld := serves()
	unheld.asked.Canary = Revision{Version: "v2", Hash: "bbb"}
	paused := func(version string) view {
		v := serves()
		v.object.Spec.Raw = []byte(`{"workload": {"deployment": {"name": "shop"}}}`)
		v.asked.PausedBy, v.asked.Canary = "kubectl-rollout", Revision{Version: version, Hash: version}
		if version == "v1" {
			v.asked.Canary = v.asked.Stable
		}
		v.paused()
		return v
	}
	for _, c := range []struct {
		name            string
		view            view
		ready           metav1.ConditionStatus
		reason          string
		also, not, says string
	}{
		{"at rest", serves(), metav1.ConditionTrue, "Serving", "", "Reconciling Stalled", "v1 serves"},
		{"a run that its loop has not looked at", running(serves(), standing{}), metav1.ConditionFalse, "Releasing", "Reconciling", "Stalled", "v2 is being released"},
		{"a run that goes on", running(serves(), standing{position: "progressing 1", weight: 5, verdict: "wait"}), metav1.ConditionFalse, "Releasing", "Reconciling", "Stalled", "v2 gets 5 %"},
		{
			"a run that waits for a person", running(serves(), standing{position: "progressing 3 held:approval", weight: 25, verdict: "hold", reason: "\"legal\" waits for approval", person: true}),
			metav1.ConditionFalse, "WaitingForPerson", "Stalled", "Reconciling", "serin promote shop, or serin rollback shop",
		},
		{"a run that rolls back", running(serves(), standing{position: "rollingBack returning", verdict: "rollback", reason: "errors"}), metav1.ConditionFalse, "RollingBack", "Reconciling", "Stalled", "errors"},
		{"a run in trouble", running(serves(), standing{position: "progressing 1", weight: 5, verdict: "wait", trouble: "set weight 5: forbidden"}), metav1.ConditionFalse, "Trouble", "Reconciling", "Stalled", "forbidden"},
		{"a rejected revision", rejected(serves()), metav1.ConditionFalse, "RolledBack", "", "Reconciling Stalled", "v2 was rolled back by shop-2: errors are 3.1 times stable's. v1 serves"},
		{"a mistake in the spec", stuck, metav1.ConditionFalse, "Invalid", "Stalled", "Reconciling", "correct the spec"},
		{"a change that nobody held", unheld, metav1.ConditionFalse, "NotHeld", "", "Stalled", "serin doctor"},
		{"a Deployment that somebody paused", paused("v1"), metav1.ConditionFalse, "Paused", "Stalled", "Reconciling", "Deployment shop: spec.paused was set by kubectl-rollout, and Serin leaves that alone: v1 serves and nothing is released"},
		{"a Deployment that somebody paused and changed", paused("v2"), metav1.ConditionFalse, "Paused", "Stalled", "Reconciling", "v1 serves and v2 waits; kubectl rollout resume deployment/shop"},
		{"a run that only a person can help", running(serves(), standing{position: "progressing 1", weight: 5, verdict: "hold", trouble: "set weight 5: forbidden", refused: true}), metav1.ConditionFalse, "Trouble", "Stalled", "Reconciling", "forbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := summarize(&c.view)
			ready := meta.FindStatusCondition(got.Conditions, condReady)
			if ready == nil || ready.Status != c.ready || ready.Reason != c.reason || ready.ObservedGeneration != 3 {
				t.Errorf("Ready is %+v, want %s %s", ready, c.ready, c.reason)
			}
			for kind := range strings.FieldsSeq(c.also) {
				if !meta.IsStatusConditionTrue(got.Conditions, kind) {
					t.Errorf("%s is not true: %+v", kind, got.Conditions)
				}
			}
			for kind := range strings.FieldsSeq(c.not) {
				if meta.FindStatusCondition(got.Conditions, kind) != nil {
					t.Errorf("%s is there: %+v", kind, got.Conditions)
				}
			}
			if text, _ := json.Marshal(got); !strings.Contains(strings.ReplaceAll(string(text), `\"`, `"`), c.says) {
				t.Errorf("the status does not say %q: %s", c.says, text)
			}
			// A second look that finds the same writes nothing.
			c.view.object.Status = got
			if again := summarize(&c.view); !equal(again, got) {
				t.Errorf("the second summary differs:\n%+v\n%+v", again, got)
			}
		})
	}
}

func equal(a, b serinv1.CanaryRolloutStatus) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func TestWhatIsWrongIsLookedAtAgainSoonAtFirst(t *testing.T) {
	now := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	obj := serves().object
	if got := again(obj, now); got != retryPause {
		t.Errorf("without a condition it is %s", got)
	}
	obj.Status.Conditions = []metav1.Condition{{Type: condStalled, Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(now)}}
	for since, want := range map[time.Duration]time.Duration{0: retrySoon, 50 * time.Second: retrySoon, time.Hour: retryPause} {
		if got := again(obj, now.Add(since)); got != want {
			t.Errorf("%s after it went wrong it is %s, want %s", since, got, want)
		}
	}
}

func TestProblemsAreOneSentence(t *testing.T) {
	got := sentence([]rollout.Problem{{Field: "spec.plan", Message: "is odd", Mend: "write it even"}, {Field: "spec.traffic", Message: "is missing", Mend: "name one"}})
	if want := "spec.plan is odd; write it even. spec.traffic is missing; name one"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What kubectl prints of a rollout without a run.
func TestTheColumnsSayHowARolloutWithoutARunStands(t *testing.T) {
	fresh := serves()
	stuck := serves()
	stuck.trouble("NotFound", "spec.traffic.gatewayAPI.httpRoute: there is no HTTPRoute web/shop", "make it")
	promoted := serves()
	promoted.latest = &serinv1.CanaryRun{ObjectMeta: metav1.ObjectMeta{Name: "shop-1"}}
	promoted.latest.Status.Phase, promoted.latest.Status.Reason = "promoted", "the canary is the stable version now"
	stuckLater := promoted
	stuckLater.trouble("NotFound", "spec.traffic.gatewayAPI.httpRoute: there is no HTTPRoute web/shop", "make it")
	for name, c := range map[string]struct {
		view          view
		phase, reason string
	}{
		"never released":              {fresh, "idle", "v1 serves"},
		"never released, and stalled": {stuck, "idle", "there is no HTTPRoute web/shop"},
		"released":                    {promoted, "promoted", "the canary is the stable version now"},
		"released, and stalled since": {stuckLater, "promoted", "there is no HTTPRoute web/shop"},
		"rolled back":                 {rejected(serves()), "rolledBack", "errors are 3.1 times stable's."},
	} {
		if got := summarize(&c.view); got.Phase != c.phase || !strings.Contains(got.Reason, c.reason) {
			t.Errorf("%s: %q, %q; want %q, %q", name, got.Phase, got.Reason, c.phase, c.reason)
		}
	}
}

//go:build plane

package deployment_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/deployment"
)

func TestThePodsThatWereTestedAreThePodsThatServe(t *testing.T) {
	w := newWorld(t, 4, func(d *appsv1.Deployment) { d.Annotations = map[string]string{"team": "shop"} })
	w.image("sample:v2")
	w.begin()
	before := w.until(at(100, 25), "the first phase has its pod", is(100, 25, 1))
	if before.Stable.Version != "v1" || before.Canary.Version != "v2" || before.Stable.ID == before.Canary.ID {
		t.Errorf("arms are %+v, want v1 and v2 with IDs of their own", before)
	}
	canary := w.sets()[w.run.Canary.ReplicaSet]
	if owner := metav1.GetControllerOf(&canary); owner == nil || owner.Kind != "CanaryRun" || owner.Name != w.run.Name || *owner.BlockOwnerDeletion {
		t.Errorf("the canary's owner is %+v, want the run", owner)
	}
	if canary.Annotations["team"] != "shop" || canary.Annotations["deployment.kubernetes.io/desired-replicas"] != "4" {
		t.Errorf("the canary's annotations are %v, want those that the Deployment controller gives", canary.Annotations)
	}
	tested := w.until(at(100, 100), "the canary is complete", is(100, 100, 4))
	if !slices.Contains(names(tested.Canary), names(before.Canary)[0]) {
		t.Errorf("the first pod %v is not among %v", names(before.Canary), names(tested.Canary))
	}
	w.oldStays(before)
	w.until(workload.Want{Stable: 100, Canary: 100, Promoted: true}, "the old version is kept while its requests finish", is(100, 100, 4))
	w.oldStays(before)

	after := w.until(promoted, "the old version is gone", is(0, 100, 4))
	w.until(promoted, "the Deployment is released", func(workload.Status) bool { return !w.deployment().Spec.Paused })
	w.serves()
	for range 3 {
		if err := w.w.Apply(t.Context(), promoted); err != nil {
			t.Errorf("a late tick: %v", err)
		}
	}
	after, err := w.w.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names(tested.Canary), names(after.Canary)) || !slices.Equal(w.podNames(), names(after.Canary)) {
		t.Errorf("pods %v serve, want the tested ones %v", w.podNames(), names(tested.Canary))
	}
	if canary = w.sets()[w.run.Canary.ReplicaSet]; metav1.GetControllerOf(&canary).Kind != "Deployment" || len(canary.OwnerReferences) != 1 {
		t.Errorf("the ReplicaSet's owners are %+v, want the Deployment alone", canary.OwnerReferences)
	}
	if history := w.kubectl("rollout", "history", "deployment/shop"); !contains(history, "\n1 ", "\n2 ") {
		t.Errorf("the history is %s, want revisions 1 and 2", history)
	}
	w.inspect("the new version serves", func(s deployment.Situation) bool { return !s.Changed() && s.Stable.Version == "v2" && !s.Held })
}

func TestATickWithoutADifferenceWritesNothing(t *testing.T) {
	w := newWorld(t, 4)
	w.image("sample:v2")
	w.begin()
	var writes atomic.Int32
	w.env.Client = counted(t, w.env.Client, &writes)
	w.open()
	w.until(at(100, 50), "the canary has its pods", is(100, 50, 2))
	if writes.Load() == 0 {
		t.Fatal("the writes are not counted")
	}
	quiet := func(want workload.Want) {
		t.Helper()
		writes.Store(0)
		for range 10 {
			if err := w.w.Apply(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			if _, err := w.w.Observe(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := writes.Load(); n != 0 {
			t.Errorf("ten ticks of %+v made %d writes", want, n)
		}
	}
	quiet(at(100, 50))
	w.until(at(100, 100), "the canary is complete", is(100, 100, 4))
	w.until(promoted, "it is promoted", func(workload.Status) bool { return !w.deployment().Spec.Paused })
	w.serves()
	quiet(promoted)
}

func TestARollbackRemovesTheCanaryAndKeepsTheHold(t *testing.T) {
	w := newWorld(t, 4)
	w.image("sample:v2")
	w.begin()
	before := w.until(at(100, 50), "the canary has its pods", is(100, 50, 2))
	w.until(at(100, 0), "the canary is gone", is(100, 0, 0))
	w.oldStays(before)
	w.until(at(100, 0), "its ReplicaSet is gone", func(workload.Status) bool { _, there := w.sets()[w.run.Canary.ReplicaSet]; return !there })
	if !w.deployment().Spec.Paused {
		t.Error("the rejected version was released")
	}
	// The same version may be tried again, in a run of its own.
	w.begin()
	w.until(at(100, 50), "a second run has its pods", is(100, 50, 2))
	w.oldStays(before)
}

func TestWhileHeldTheOldVersionIsHealedAndScaled(t *testing.T) {
	w := newWorld(t, 4)
	w.image("sample:v2")
	w.begin()
	before := w.until(at(100, 50), "the canary has its pods", is(100, 50, 2))
	victim := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: names(before.Stable)[0]}}
	if err := w.admin.Delete(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	w.until(at(100, 50), "the old version is healed", func(st workload.Status) bool {
		return st.Stable.Ready() == 4 && !slices.Contains(names(st.Stable), victim.Name)
	})
	// As an autoscaler does. What was enough for the weight stays enough.
	w.kubectl("scale", "deployment/shop", "--replicas=10")
	w.until(at(100, 50), "both follow a scale", func(st workload.Status) bool {
		if st.Canary.Capacity < 50 {
			t.Fatalf("the canary is %+v while it grows: it would get no traffic", st.Canary)
		}
		return st.Stable.Ready() == 10 && st.Canary.Ready() == 5
	})
	w.kubectl("scale", "deployment/shop", "--replicas=2")
	w.until(at(100, 50), "both follow a scale down", func(st workload.Status) bool {
		return len(st.Stable.Instances) == 2 && len(st.Canary.Instances) == 1 && st.Canary.Capacity == 50
	})
	w.kubectl("scale", "deployment/shop", "--replicas=3")
	tested := w.until(at(100, 100), "the canary is complete", is(100, 100, 3))
	w.kubectl("scale", "deployment/shop", "--replicas=5") // between the last look and the promotion
	w.until(promoted, "the promotion ends all the same", func(st workload.Status) bool {
		return !w.deployment().Spec.Paused && st.Canary.Ready() == 5 && len(st.Stable.Instances) == 0
	})
	for _, name := range names(tested.Canary) {
		if !slices.Contains(w.podNames(), name) {
			t.Errorf("the tested pod %s is gone", name)
		}
	}
	w.serves()
}

func TestWithAPlainServiceTheShareOfPodsIsTheWeight(t *testing.T) {
	w := newWorld(t, 9)
	w.image("sample:v2")
	w.begin(func(r *deployment.Run) { r.PodRatio = true })
	w.until(at(100, 10), "one of ten", is(100, 10, 1))
	w.until(at(100, 25), "three of twelve", is(100, 25, 3))
	w.until(at(100, 50), "nine of eighteen", is(100, 50, 9))
	w.until(at(100, 100), "as many as the Deployment asks for", is(100, 100, 9))
}

func TestARevertAndAThirdTemplateSupersedeTheCanary(t *testing.T) {
	w := newWorld(t, 2)
	w.image("sample:v2")
	w.begin()
	w.until(at(100, 50), "the canary has its pod", is(100, 50, 1))
	w.image("sample:v1")
	w.until(at(100, 50), "the revert is seen", func(st workload.Status) bool { return contains(st.Superseded, "v1, which serves, was put back") })
	w.image("sample:v3")
	w.until(at(100, 50), "the third template is seen", func(st workload.Status) bool {
		return contains(st.Superseded, "changed again by kubectl", "to v3")
	})
	w.image("sample:v2")
	w.until(at(100, 50), "the canary is asked for again", func(st workload.Status) bool { return st.Superseded == "" })
	w.kubectl("label", "deployment", "shop", serinv1.RolloutLabel+"-")
	w.until(at(100, 50), "the label is missed", func(st workload.Status) bool { return contains(st.Canary.Failed, "label", "taken off") })
}

func TestUndoAndRestartAreReleasedLikeAnyVersion(t *testing.T) {
	w := newWorld(t, 2)
	first := w.inspect("v1 serves", func(s deployment.Situation) bool { return s.Stable.Version == "v1" }).Stable
	promote := func() {
		t.Helper()
		w.begin()
		tested := w.until(at(100, 100), "the canary is complete", is(100, 100, 2))
		w.until(promoted, "it is promoted and released", func(st workload.Status) bool {
			return len(st.Stable.Instances) == 0 && !w.deployment().Spec.Paused
		})
		w.serves()
		if got := w.podNames(); !slices.Equal(got, names(tested.Canary)) {
			t.Fatalf("pods %v serve, want the tested ones %v", got, names(tested.Canary))
		}
	}
	w.image("sample:v2")
	promote()
	// The old ReplicaSet is there with the same template; what serves in the end
	// must be what was tested all the same.
	w.kubectl("rollout", "undo", "deployment/shop")
	promote()
	s := w.inspect("v1 serves again", func(s deployment.Situation) bool { return s.Stable.Version == "v1" && !s.Changed() })
	if s.Stable.Hash == first.Hash {
		t.Errorf("the first ReplicaSet %+v serves, and not the tested one", s.Stable)
	}
	if history := w.kubectl("rollout", "history", "deployment/shop"); !contains(history, "\n2 ", "\n3 ") {
		t.Errorf("the history is %s, want revisions 2 and 3", history)
	}
	w.kubectl("rollout", "restart", "deployment/shop")
	promote()
}

func TestADeletedDeploymentEndsTheRun(t *testing.T) {
	w := newWorld(t, 2)
	w.image("sample:v2")
	w.begin()
	w.until(at(100, 50), "the canary has its pod", is(100, 50, 1))
	w.kubectl("delete", "deployment", "shop")
	w.until(at(100, 50), "the deletion is seen", func(st workload.Status) bool { return contains(st.Canary.Failed, "shop was deleted") })
	w.until(at(100, 0), "nothing is left", func(st workload.Status) bool {
		return len(st.Canary.Instances) == 0 && len(st.Stable.Instances) == 0 && len(w.sets()) == 0
	})
	// Another Deployment of the same name is not the run's.
	d := asUser("sample:v2")
	d.Namespace = w.ns
	if err := w.admin.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.until(at(100, 0), "the new one is a stranger", func(st workload.Status) bool { return contains(st.Canary.Failed, "made anew") })
	w.serves()
}

func TestAHoldThatIsLostIsTakenBack(t *testing.T) {
	// New pods count only after a while, so the Deployment controller cannot
	// replace everything at once.
	w := newWorld(t, 4, func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 5 })
	w.image("sample:v2")
	w.begin()
	before := w.until(at(100, 50), "the canary has its pods", is(100, 50, 2))
	// Only Serin's own account can do this where the policy is in force.
	live, err := client.New(serin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Patch(t.Context(), w.deployment(), client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"paused":null}}`))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Deployment controller begins a rollout of its own", func() error {
		if len(w.sets()) < 3 {
			return errTooFew
		}
		return nil
	})
	w.until(at(100, 50), "held again, and full again", func(st workload.Status) bool {
		return w.deployment().Spec.Paused && len(w.sets()) == 2 && st.Stable.Ready() == 4 && len(st.Stable.Instances) == 4 && st.Canary.Ready() == 2
	})
	kept := 0
	after, err := w.w.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names(before.Stable) {
		if slices.Contains(names(after.Stable), name) {
			kept++
		}
	}
	if kept < 3 {
		t.Errorf("%d of 4 old pods were kept, want all but the one that the Deployment's strategy may miss", kept)
	}
	tested := w.until(at(100, 100), "the canary is complete", is(100, 100, 4))
	w.until(promoted, "it is promoted", func(st workload.Status) bool { return len(st.Stable.Instances) == 0 && !w.deployment().Spec.Paused })
	w.serves()
	if got := w.podNames(); !slices.Equal(got, names(tested.Canary)) {
		t.Errorf("pods %v serve, want the tested ones %v", got, names(tested.Canary))
	}
}

func TestWhatTheDeploymentControllerRolledOutIsNotTakenAway(t *testing.T) {
	w := newWorld(t, 3)
	w.image("sample:v2")
	w.begin()
	w.until(at(100, 34), "the canary has its pods", is(100, 34, 2))
	live, err := client.New(serin, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// While Serin is down somebody lets the Deployment go.
	if err := live.Patch(t.Context(), w.deployment(), client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"paused":null}}`))); err != nil {
		t.Fatal(err)
	}
	w.serves()
	before := w.podNames()
	st := w.until(at(100, 34), "it is told", func(st workload.Status) bool { return contains(st.Canary.Failed, "released past Serin") })
	for range 5 {
		if err := w.w.Apply(t.Context(), at(100, 34)); err == nil {
			t.Error("Apply found nothing wrong")
		}
	}
	if after := w.podNames(); !slices.Equal(before, after) {
		t.Errorf("pods were %v and are %v", before, after)
	}
	w.until(at(100, 0), "the canary goes", func(now workload.Status) bool { return len(now.Canary.Instances) == 0 })
	if got := len(w.podNames()); got != len(before)-len(st.Canary.Instances) {
		t.Errorf("%d pods are left, want the 3 that serve", got)
	}
	w.inspect("what was rolled out serves", func(s deployment.Situation) bool { return !s.Changed() && s.Stable.Version == "v2" })
}

func TestAPromotionDoesNotHangOnOneUnreadyPod(t *testing.T) {
	w := newWorld(t, 4)
	w.image("sample:v2")
	w.begin()
	var later atomic.Int64 // nanoseconds
	w.env.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	w.open()
	tested := w.until(at(100, 100), "the canary is complete", is(100, 100, 4))
	ready := func(status corev1.ConditionStatus) {
		t.Helper()
		pod := &corev1.Pod{}
		if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: names(tested.Canary)[0]}, pod); err != nil {
			t.Fatal(err)
		}
		for i := range pod.Status.Conditions {
			if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
				c.Status, c.LastTransitionTime = status, metav1.Now()
			}
		}
		if err := w.admin.Status().Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	ready(corev1.ConditionFalse)
	waiting := func(st workload.Status) bool {
		set := &appsv1.ReplicaSet{} // as the workload sees it
		if err := w.env.Client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: w.run.Canary.ReplicaSet}, set); err != nil {
			t.Fatal(err)
		}
		return st.Canary.Ready() == 3 && set.Status.AvailableReplicas == 3 && len(st.Stable.Instances) == 4
	}
	w.until(at(100, 100), "a pod is unready", waiting)
	if w.until(promoted, "the promotion waits", waiting); !w.deployment().Spec.Paused {
		t.Error("the Deployment was released at once")
	}
	if done, err := w.w.Finish(t.Context()); done || err != nil {
		t.Errorf("finished %v, %v; want there to be something left", done, err)
	}
	later.Store(int64(10 * time.Minute))
	w.until(promoted, "it goes on all the same", func(workload.Status) bool { return !w.deployment().Spec.Paused })
	if done, err := w.w.Finish(t.Context()); !done || err != nil {
		t.Errorf("finished %v, %v; want nothing left", done, err)
	}
	ready(corev1.ConditionTrue)
	w.serves()
	if got := w.podNames(); !slices.Equal(got, names(tested.Canary)) {
		t.Errorf("pods %v serve, want the tested ones %v", got, names(tested.Canary))
	}
}

func TestATemplateThatChangesInTheLastMoment(t *testing.T) {
	for image, asked := range map[string]string{"sample:v3": "v3", "sample:v1": "v1"} {
		t.Run(strings.TrimPrefix(image, "sample:"), func(t *testing.T) {
			w := newWorld(t, 4)
			w.image("sample:v2")
			w.begin()
			w.until(at(100, 100), "the canary is complete", is(100, 100, 4))
			switching := workload.Want{Stable: 100, Canary: 100, Promoted: true}
			tested := w.until(switching, "the traffic is moved", is(100, 100, 4))
			w.image(image)
			// As long as there is a way back, it is taken.
			w.until(switching, "the run goes back", func(st workload.Status) bool { return st.Canary.Failed != "" && st.Superseded != "" })
			// Afterwards what was tested serves, and the new template waits.
			w.until(promoted, "the old version is gone", func(st workload.Status) bool {
				if st.Canary.Ready() < 4 {
					t.Fatalf("the tested pods are %+v: fewer than serve", st.Canary)
				}
				return len(st.Stable.Instances) == 0 && len(w.podNames()) == 4
			})
			if got := w.podNames(); !slices.Equal(got, names(tested.Canary)) {
				t.Errorf("pods %v serve, want the tested ones %v", got, names(tested.Canary))
			}
			w.until(promoted, "the old ReplicaSet is the Deployment's again", func(workload.Status) bool {
				old := w.sets()[w.run.Stable.ReplicaSet]
				owner := metav1.GetControllerOf(&old)
				return owner != nil && owner.Kind == "Deployment"
			})
			w.inspect("the new template is held", func(s deployment.Situation) bool {
				return s.Held && s.Stable.Version == "v2" && s.Canary.Version == asked && s.Why == ""
			})
			// And can be released in its turn.
			w.begin()
			w.until(at(100, 50), "the next run has its pods", is(100, 50, 2))
		})
	}
}

package deployment

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/workload"
)

// A Deployment of ten pods in the middle of a run, without anything that makes
// pods.
func inARun(t *testing.T) (*Workload, client.Client) {
	t.Helper()
	replicas := int32(10)
	app := map[string]string{"app": "shop"}
	template := func(version, hash string) corev1.PodTemplateSpec {
		l := map[string]string{"app": "shop"}
		if hash != "" {
			l[serinv1.HashLabel] = hash
		}
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: l}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: "shop:" + version}}}}
	}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "shop", UID: "d", Labels: map[string]string{"app": "shop", serinv1.RolloutLabel: "shop"}},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Paused: true, Selector: &metav1.LabelSelector{MatchLabels: app}, Template: template("v2", "")},
	}
	stable := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "shop-aaa", UID: "s", Labels: map[string]string{"app": "shop", serinv1.HashLabel: "aaa"}, OwnerReferences: []metav1.OwnerReference{deploymentOwner(d)}},
		Spec:       appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "shop", serinv1.HashLabel: "aaa"}}, Template: template("v1", "aaa")},
	}
	c := fake.NewClientBuilder().WithScheme(kube.Scheme()).WithObjects(d, stable).Build()
	hash, err := kube.TemplateHash(d.Spec.Template)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{Name: "shop"}, Env{
		Env: kube.Env{Client: c, Namespace: "web", Rollout: "shop"},
		Run: Run{
			Name: "shop-1", UID: "r", Baseline: true,
			Stable: serinv1.Revision{Version: "v1", Hash: "aaa", ReplicaSet: "shop-aaa"},
			Canary: serinv1.Revision{Version: "v2", Hash: hash},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

func TestABaselineIsTheServingTemplateApartFromTheDeployment(t *testing.T) {
	w, c := inARun(t)
	apply := func(want workload.Want) {
		t.Helper()
		if err := w.Apply(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	observe := func() *workload.Group {
		t.Helper()
		st, err := w.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Baseline
	}
	if b := observe(); b != nil {
		t.Errorf("before it is asked for, the baseline is %+v", b)
	}
	apply(workload.Want{Stable: 100, Canary: 20, Baseline: 20})
	set := &appsv1.ReplicaSet{}
	key := client.ObjectKey{Namespace: "web", Name: "shop-aaa-baseline"}
	if err := c.Get(t.Context(), key, set); err != nil {
		t.Fatal(err)
	}
	if set.Spec.Template.Spec.Containers[0].Image != "shop:v1" || setReplicas(set) != 2 || !controlledBy(set, types.UID("r")) {
		t.Errorf("the baseline is %+v of %+v", set.Spec, set.OwnerReferences)
	}
	if labels.SelectorFromSet(map[string]string{"app": "shop"}).Matches(labels.Set(set.Labels)) {
		t.Errorf("with the labels %v the Deployment would take it for its own if it lost its owner", set.Labels)
	}
	if pod := set.Spec.Template.Labels; pod["app"] != "shop" || pod[serinv1.HashLabel] == "aaa" {
		t.Errorf("its pods' labels are %v: they must be none of those that stable's Service is held to", pod)
	}

	pod := func(name string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "web", Name: key.Name + "-" + name, UID: types.UID(name), Labels: set.Spec.Template.Labels,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))},
			},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		}
	}
	for _, name := range []string{"a", "b"} {
		if err := c.Create(t.Context(), pod(name)); err != nil {
			t.Fatal(err)
		}
	}
	b := observe()
	if b == nil || b.Capacity != 20 || b.Restarts != 0 || b.Version != "v1" || b.ID != set.Spec.Template.Labels[serinv1.HashLabel] {
		t.Fatalf("the baseline is %+v", b)
	}
	if st, _ := w.Observe(t.Context()); len(st.Stable.Instances) != 0 || st.Stable.Capacity != 0 {
		t.Errorf("stable counts the baseline's pods: %+v", st.Stable)
	}
	// It does not shrink before it goes.
	apply(workload.Want{Stable: 100, Canary: 20, Baseline: 10})
	if err := c.Get(t.Context(), key, set); err != nil || setReplicas(set) != 2 {
		t.Errorf("it has %d pods (%v)", setReplicas(set), err)
	}
	// A pod in another's place is younger.
	if err := c.Delete(t.Context(), pod("a")); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), pod("z")); err != nil {
		t.Fatal(err)
	}
	if b := observe(); b.Restarts != 1 {
		t.Errorf("after a pod was replaced: %+v, want that told", b)
	}
	apply(workload.Want{Stable: 100})
	apply(workload.Want{Stable: 100})
	if err := c.Get(t.Context(), key, set); err == nil {
		t.Errorf("it is still there: %+v", set.Spec)
	}
}

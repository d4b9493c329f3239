package deployment

import (
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
)

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "shop"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: image}}},
	}
}

// deploymentOf is a Deployment of four that asks for an image.
func deploymentOf(image string, change ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "default", UID: "d", Labels: map[string]string{serinv1.RolloutLabel: "shop"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(4)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "shop"}}, Template: template(image),
		},
	}
	for _, c := range change {
		c(d)
	}
	return d
}

func paused(d *appsv1.Deployment) { d.Spec.Paused = true }

func pausedByHand(manager string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Spec.Paused = true
		d.ManagedFields = append(d.ManagedFields, metav1.ManagedFieldsEntry{
			Manager: manager, Time: &metav1.Time{Time: time.Unix(1, 0)}, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:paused":{}}}`),
		})
	}
}

func scaled(n int32) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.Replicas = &n }
}

// setOf is a ReplicaSet of the Deployment: an image, a size, a revision.
func setOf(image string, n, revision int) appsv1.ReplicaSet {
	return appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: "shop-" + strings.ReplaceAll(image, ":", "-"), Namespace: "default", UID: "s",
			Labels:      map[string]string{"app": "shop", serinv1.HashLabel: "h-" + image},
			Annotations: map[string]string{revisionAnnotation: strconv.Itoa(revision)},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "Deployment", Name: "shop", UID: "d", Controller: new(true),
			}},
		},
		Spec:   appsv1.ReplicaSetSpec{Replicas: new(int32(n)), Template: template(image)},
		Status: appsv1.ReplicaSetStatus{Replicas: int32(n), AvailableReplicas: int32(n)},
	}
}

func ofARun(s appsv1.ReplicaSet) appsv1.ReplicaSet {
	s.OwnerReferences = []metav1.OwnerReference{runOwner(Run{Name: "shop-1", UID: "r"})}
	return s
}

func TestWhatADeploymentAsksFor(t *testing.T) {
	for name, c := range map[string]struct {
		d    *appsv1.Deployment
		sets []appsv1.ReplicaSet
		// stable and canary are versions; stable "" means that nothing serves yet.
		stable, canary string
		changed, held  bool
		why, pausedBy  string
	}{
		"what it asks for serves": {
			d: deploymentOf("shop:v1"), sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1)}, stable: "v1", canary: "v1",
		},
		"old revisions without pods do not count": {
			d: deploymentOf("shop:v2"), sets: []appsv1.ReplicaSet{setOf("shop:v2", 4, 2), setOf("shop:v1", 0, 1)}, stable: "v2", canary: "v2",
		},
		"a new template is held": {
			d: deploymentOf("shop:v2", paused), sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1)}, stable: "v1", canary: "v2", changed: true, held: true,
		},
		"a new template is not held yet": {
			d: deploymentOf("shop:v2"), sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1)}, stable: "v1", canary: "v2", changed: true,
		},
		"a revert while held serves already": {
			d: deploymentOf("shop:v1", paused), sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1)}, stable: "v1", canary: "v1", held: true,
		},
		"an old revision is asked for again": {
			d: deploymentOf("shop:v1", paused), sets: []appsv1.ReplicaSet{setOf("shop:v1", 0, 1), setOf("shop:v2", 4, 2)}, stable: "v2", canary: "v1", changed: true, held: true,
		},
		"a restart is a template too": {
			d: deploymentOf("shop:v1", paused, func(d *appsv1.Deployment) {
				d.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
			}),
			sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1)}, stable: "h-shop:v1", canary: "", changed: true, held: true,
		},
		"a scale is no template": {
			d: deploymentOf("shop:v1", scaled(7)), sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1)}, stable: "v1", canary: "v1",
		},
		"a canary of a run is not the Deployment's": {
			d: deploymentOf("shop:v2", paused), sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1), ofARun(setOf("shop:v2", 1, 0))}, stable: "v1", canary: "v2", changed: true, held: true,
		},
		"the first version ever is nobody's canary": {
			d: deploymentOf("shop:v1"), stable: "v1", canary: "v1",
		},
		"a first version that is held is to be released": {
			d: deploymentOf("shop:v1", paused), stable: "v1", canary: "v1", held: true,
		},
		"a person paused it": {
			d: deploymentOf("shop:v2", pausedByHand("kubectl-rollout")), sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1)},
			stable: "v1", canary: "v2", changed: true, pausedBy: "kubectl-rollout",
		},
		"Serin paused it": {
			d: deploymentOf("shop:v2", pausedByHand(serinv1.FieldManager)), sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1)},
			stable: "v1", canary: "v2", changed: true, held: true,
		},
		"the Deployment controller rolls it out itself": {
			d: deploymentOf("shop:v2"), sets: []appsv1.ReplicaSet{setOf("shop:v1", 3, 1), setOf("shop:v2", 2, 2)},
			stable: "v1", canary: "v2", changed: true, why: "rolling it out itself",
		},
		"a hold that came late goes back to what serves": {
			d: deploymentOf("shop:v2", paused), sets: []appsv1.ReplicaSet{setOf("shop:v1", 3, 1), setOf("shop:v2", 1, 2)},
			stable: "v1", canary: "v2", changed: true, held: true,
		},
		"a hold that came too late lets it finish": {
			d: deploymentOf("shop:v2", paused), sets: []appsv1.ReplicaSet{setOf("shop:v1", 1, 1), setOf("shop:v2", 3, 2)},
			stable: "v2", canary: "v2", held: true,
		},
		"a third template in the middle of a rollout of its own": {
			d: deploymentOf("shop:v3", paused), sets: []appsv1.ReplicaSet{setOf("shop:v1", 3, 1), setOf("shop:v2", 2, 2)},
			stable: "v2", canary: "v3", changed: true, held: true, why: "two older versions",
		},
		"nothing serves at size 0": {
			d: deploymentOf("shop:v2", paused, scaled(0)), sets: []appsv1.ReplicaSet{setOf("shop:v1", 0, 1)},
			stable: "v1", canary: "v2", changed: true, held: true, why: "scaled to 0",
		},
		"at size 0 what it asks for is in order": {
			d: deploymentOf("shop:v1", scaled(0)), sets: []appsv1.ReplicaSet{setOf("shop:v1", 0, 1)}, stable: "v1", canary: "v1",
		},
		"it is being deleted": {
			d:    deploymentOf("shop:v2", paused, func(d *appsv1.Deployment) { d.DeletionTimestamp = new(metav1.Now()) }),
			sets: []appsv1.ReplicaSet{setOf("shop:v1", 4, 1)}, stable: "v1", canary: "v2", changed: true, held: true, why: "deleted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Judge(c.d, c.sets)
			if err != nil {
				t.Fatal(err)
			}
			if c.canary == "" {
				c.canary = s.Canary.Hash // of the same tag
			}
			if s.Stable.Version != c.stable || s.Canary.Version != c.canary || s.Changed() != c.changed {
				t.Errorf("%s serves and %s is asked for, changed %v; want %s, %s and %v", s.Stable.Version, s.Canary.Version, s.Changed(), c.stable, c.canary, c.changed)
			}
			if s.Held != c.held || s.PausedBy != c.pausedBy {
				t.Errorf("held %v, paused by %q; want %v and %q", s.Held, s.PausedBy, c.held, c.pausedBy)
			}
			if !strings.Contains(s.Why, c.why) || (c.why == "") != (s.Why == "") || (s.Why == "") != (s.Do == "") {
				t.Errorf("why %q, do %q; want something about %q", s.Why, s.Do, c.why)
			}
			if hash, _ := kube.TemplateHash(c.d.Spec.Template); c.changed && (s.Canary.Hash != hash || s.Canary.ReplicaSet != "shop-"+hash) {
				t.Errorf("the canary is %+v, want hash %s", s.Canary, hash)
			}
		})
	}
}

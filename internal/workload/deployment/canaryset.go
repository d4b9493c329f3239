package deployment

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
)

// setName is the name of the ReplicaSet of a template.
func setName(deployment, hash string) string { return deployment + "-" + hash }

// The Deployment controller's notes on a ReplicaSet about the Deployment's own
// size. It takes a ReplicaSet for complete only when they are right.
const (
	desiredAnnotation = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation     = "deployment.kubernetes.io/max-replicas"
)

// notCopied are the Deployment's annotations that the Deployment controller
// does not copy to its ReplicaSets.
var notCopied = []string{
	corev1.LastAppliedConfigAnnotation, revisionAnnotation, "deployment.kubernetes.io/revision-history",
	desiredAnnotation, maxAnnotation, appsv1.DeprecatedRollbackTo,
}

// canarySet is the ReplicaSet that the Deployment controller would make of the
// Deployment's template, but for its size and its owner.
func canarySet(d *appsv1.Deployment, r Run, size int32) *appsv1.ReplicaSet {
	template := *d.Spec.Template.DeepCopy()
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	template.Labels[serinv1.HashLabel] = r.Canary.Hash
	selector := d.Spec.Selector.DeepCopy()
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[serinv1.HashLabel] = r.Canary.Hash
	annotations := maps.Clone(d.Annotations)
	for _, a := range notCopied {
		delete(annotations, a)
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	maps.Copy(annotations, sizeNotes(d))
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: setName(d.Name, r.Canary.Hash),
			Labels: maps.Clone(template.Labels), Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{runOwner(r)},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &size, MinReadySeconds: d.Spec.MinReadySeconds, Selector: selector, Template: template,
		},
	}
}

// sizeNotes are the annotations that say how large the Deployment is.
func sizeNotes(d *appsv1.Deployment) map[string]string {
	n := replicas(d)
	return map[string]string{
		desiredAnnotation: strconv.Itoa(int(n)),
		maxAnnotation:     strconv.Itoa(int(n + surge(d))),
	}
}

// surge is how many pods the Deployment may have beyond its size.
func surge(d *appsv1.Deployment) int32 {
	ru := d.Spec.Strategy.RollingUpdate
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType || ru == nil || ru.MaxSurge == nil || replicas(d) == 0 {
		return 0
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(ru.MaxSurge, int(replicas(d)), true)
	if err != nil {
		return 0
	}
	if ru.MaxUnavailable != nil && n == 0 {
		// Both rounded to nothing: the Deployment controller lets one pod be
		// missing, and still none be added.
		return 0
	}
	return int32(n)
}

// resize returns the operations that give a ReplicaSet a size, together with
// the notes about the Deployment's.
func resize(s *appsv1.ReplicaSet, d *appsv1.Deployment, size int32) []kube.Op {
	var ops []kube.Op
	if setReplicas(s) != size {
		ops = append(ops, kube.Op{Op: "add", Path: "/spec/replicas", Value: size})
	}
	return append(ops, noteSize(s, d)...)
}

func noteSize(s *appsv1.ReplicaSet, d *appsv1.Deployment) []kube.Op {
	notes := sizeNotes(d)
	if s.Annotations == nil {
		return []kube.Op{{Op: "add", Path: "/metadata/annotations", Value: notes}}
	}
	var ops []kube.Op
	for _, name := range []string{desiredAnnotation, maxAnnotation} {
		if s.Annotations[name] != notes[name] {
			ops = append(ops, kube.Op{Op: "add", Path: kube.Pointer("metadata", "annotations", name), Value: notes[name]})
		}
	}
	return ops
}

// set reads a ReplicaSet; nil when there is none.
func (t *Target) set(ctx context.Context, name string) (*appsv1.ReplicaSet, error) {
	s := &appsv1.ReplicaSet{}
	err := t.env.Client.Get(ctx, client.ObjectKey{Namespace: t.env.Namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at ReplicaSet %s/%s: %w", t.env.Namespace, name, err)
	}
	return s, nil
}

// shrink takes a ReplicaSet's pods away, then, when they are gone from its
// count, the ReplicaSet itself. Pods get their grace period. It reports whether
// the ReplicaSet is gone.
func (t *Target) shrink(ctx context.Context, s *appsv1.ReplicaSet) (gone bool, err error) {
	if setReplicas(s) > 0 {
		return false, ignoreMissing(t.mutateSet(ctx, "empty", s.Name, func(now *appsv1.ReplicaSet) ([]kube.Op, error) {
			if now.UID != s.UID || setReplicas(now) == 0 {
				return nil, nil
			}
			return []kube.Op{{Op: "add", Path: "/spec/replicas", Value: 0}}, nil
		}))
	}
	if !emptied(s) {
		return false, nil
	}
	err = t.env.Client.Delete(ctx, s, client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion},
		client.PropagationPolicy(metav1.DeletePropagationBackground))
	if apierrors.IsConflict(err) {
		return false, nil // somebody wrote it: look again at the next tick
	}
	if err = ignoreMissing(err); err != nil {
		return false, fmt.Errorf("delete ReplicaSet %s/%s: %w", s.Namespace, s.Name, err)
	}
	return true, nil
}

// emptied reports that a ReplicaSet is seen to have no pods, as it should.
func emptied(s *appsv1.ReplicaSet) bool {
	return setReplicas(s) == 0 && s.Status.Replicas == 0 && s.Status.ObservedGeneration >= s.Generation
}

func ignoreMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

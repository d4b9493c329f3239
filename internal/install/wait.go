package install

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lookAgain is how often Wait looks.
const lookAgain = time.Second

// Wait returns when the controller of an installation is ready. told is given
// how far it is, once for every change. When ctx ends before, the error says
// what is missing.
func Wait(ctx context.Context, c client.Client, namespace string, told func(string)) error {
	last := "its Deployment is not seen yet"
	for {
		ready, now, err := Readiness(ctx, c, namespace)
		if ready {
			return nil
		}
		switch {
		case err == nil && now != last:
			last = now
			told(now)
		case err != nil && ctx.Err() == nil:
			last = err.Error()
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return fmt.Errorf("the controller is not ready: %s; see `kubectl -n %s describe deployment,pod` and `serin doctor`: %w", last, namespace, ctx.Err())
		}
	}
}

// Readiness says whether every replica of the controller is ready and of this
// installation, and otherwise what is missing.
func Readiness(ctx context.Context, c client.Client, namespace string) (bool, string, error) {
	var d appsv1.Deployment
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: Controller}, &d); err != nil {
		return false, "", err
	}
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	if s.ObservedGeneration >= d.Generation && s.UpdatedReplicas >= want && s.AvailableReplicas >= want && s.Replicas == s.UpdatedReplicas {
		return true, "", nil
	}
	now := fmt.Sprintf("%d of %d replicas are ready", min(s.AvailableReplicas, s.UpdatedReplicas), want)
	if why := reasonOfPods(ctx, c, namespace); why != "" {
		now += ", " + why
	}
	for _, cond := range s.Conditions {
		if cond.Type == appsv1.DeploymentReplicaFailure && cond.Status == corev1.ConditionTrue {
			now += ", " + cond.Message
		}
	}
	return false, now, nil
}

// reasonOfPods says what keeps the pods of the controller from being ready, as
// far as they say.
func reasonOfPods(ctx context.Context, c client.Client, namespace string) string {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels(selector())); err != nil {
		return "" // the person may not list pods
	}
	for _, p := range pods.Items {
		for _, s := range p.Status.ContainerStatuses {
			if w := s.State.Waiting; w != nil && w.Reason != "ContainerCreating" {
				return fmt.Sprintf("%s: %s %s", p.Name, w.Reason, w.Message)
			}
		}
		for _, cond := range p.Status.Conditions {
			if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse {
				return fmt.Sprintf("%s: %s", p.Name, cond.Message)
			}
		}
	}
	return ""
}

package deployment

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/workload"
)

// adopt gives the tested ReplicaSet to the Deployment and lets the old one go.
// Each call does the next step that is possible, so it can be interrupted
// anywhere and is called until nothing is left to do.
func (w *Workload) adopt(ctx context.Context, d *appsv1.Deployment, canary *appsv1.ReplicaSet) error {
	if canary == nil {
		return fmt.Errorf("promote ReplicaSet %s/%s: it is gone: %w", w.env.Namespace, w.run.Canary.ReplicaSet, workload.ErrRefused)
	}
	if controlledBy(canary, d.UID) {
		return w.settle(ctx, d, canary)
	}
	if !controlledBy(canary, w.run.UID) {
		return fmt.Errorf("promote ReplicaSet %s/%s: it belongs to somebody else: %w", canary.Namespace, canary.Name, workload.ErrRefused)
	}
	asked := kube.SameTemplate(canary.Spec.Template, d.Spec.Template)
	if asked {
		cleared, err := w.clear(ctx, d)
		if err != nil || !cleared {
			return err
		}
	}
	// The Deployment controller takes old pods away only beside a complete new
	// ReplicaSet; one that is not would be shrunk with them.
	n := replicas(d)
	if setReplicas(canary) != n || len(noteSize(canary, d)) > 0 || available(canary) < n {
		return w.mutateSet(ctx, "size", canary.Name, func(s *appsv1.ReplicaSet) ([]kube.Op, error) {
			if !controlledBy(s, w.run.UID) {
				return nil, nil
			}
			return resize(s, d, n), nil
		})
	}
	if !asked {
		// The template moved on in the last moment. The Deployment controller
		// would now take the old version for as good as the tested one, so it
		// must not see both.
		if err := w.hide(ctx, d); err != nil {
			return err
		}
	}
	return w.mutateSet(ctx, "promote", canary.Name, func(s *appsv1.ReplicaSet) ([]kube.Op, error) {
		if !controlledBy(s, w.run.UID) {
			return nil, nil
		}
		return handOver(s, deploymentOwner(d)), nil
	})
}

// hide takes the old ReplicaSet away from the Deployment, with all its pods,
// until settle gives it back without them.
func (w *Workload) hide(ctx context.Context, d *appsv1.Deployment) error {
	return ignoreMissing(w.mutateSet(ctx, "set aside", w.run.Stable.ReplicaSet, func(s *appsv1.ReplicaSet) ([]kube.Op, error) {
		if !controlledBy(s, d.UID) {
			return nil, nil
		}
		return handOver(s, runOwner(w.run)), nil
	}))
}

// settle ends a promotion: no pods of other versions, and no hold.
func (w *Workload) settle(ctx context.Context, d *appsv1.Deployment, canary *appsv1.ReplicaSet) error {
	back, err := w.giveBack(ctx, d)
	if err != nil || !back {
		return err
	}
	sets, err := w.sets(ctx, d)
	if err != nil {
		return err
	}
	var others []*appsv1.ReplicaSet
	for _, s := range ownedBy(d, sets) {
		if s.Name != canary.Name && (setReplicas(s) > 0 || s.Status.Replicas > 0) {
			others = append(others, s)
		}
	}
	if !kube.SameTemplate(canary.Spec.Template, d.Spec.Template) {
		// Held for the next run. The Deployment controller does not take the other
		// versions away, as none of these is what it is asked for.
		var errs []error
		for _, s := range others {
			errs = append(errs, w.empty(ctx, s))
		}
		return errors.Join(errs...)
	}
	if w.env.HoldAlways || !d.Spec.Paused || pausedBy(d) != "" {
		return nil
	}
	// A release that the Deployment controller heard of before it heard of its
	// new ReplicaSet would have it make another one.
	seen := canary.Annotations[revisionAnnotation] != "" && d.Status.UpdatedReplicas > 0
	// While it is paused it takes old pods away only if the new ReplicaSet has
	// the Deployment's size. Scaled in this very moment, it goes on once released,
	// by the Deployment's own strategy.
	sized := setReplicas(canary) == replicas(d) && len(noteSize(canary, d)) == 0
	if !seen || sized && len(others) > 0 {
		return nil
	}
	return w.mutate(ctx, "release", func(now *appsv1.Deployment) ([]kube.Op, error) {
		if now.UID != d.UID || !now.Spec.Paused || !kube.SameTemplate(canary.Spec.Template, now.Spec.Template) {
			return nil, nil
		}
		return []kube.Op{{Op: "remove", Path: pausedPath}}, nil
	})
}

// giveBack returns a ReplicaSet that was set aside to the Deployment, as the
// old revision that it is, once its pods are gone.
func (w *Workload) giveBack(ctx context.Context, d *appsv1.Deployment) (done bool, err error) {
	old, err := w.set(ctx, w.run.Stable.ReplicaSet)
	if err != nil || old == nil || !controlledBy(old, w.run.UID) {
		return err == nil, err
	}
	if !emptied(old) {
		return false, w.empty(ctx, old)
	}
	return false, w.mutateSet(ctx, "give back", old.Name, func(s *appsv1.ReplicaSet) ([]kube.Op, error) {
		if !controlledBy(s, w.run.UID) {
			return nil, nil
		}
		return handOver(s, deploymentOwner(d)), nil
	})
}

// empty takes a ReplicaSet's pods away and leaves it.
func (w *Workload) empty(ctx context.Context, s *appsv1.ReplicaSet) error {
	return ignoreMissing(w.mutateSet(ctx, "empty", s.Name, func(now *appsv1.ReplicaSet) ([]kube.Op, error) {
		if now.UID != s.UID || setReplicas(now) == 0 {
			return nil, nil
		}
		return []kube.Op{{Op: "add", Path: "/spec/replicas", Value: 0}}, nil
	}))
}

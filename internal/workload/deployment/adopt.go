package deployment

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	// The Deployment controller takes the old pods away beside a complete new
	// ReplicaSet; beside another it takes some, and the rest once it is released.
	sized := setReplicas(canary) == replicas(d) && len(noteSize(canary, d)) == 0
	if !sized || !complete(canary, d) && !w.overdue() {
		return w.mutateSet(ctx, "size", canary.Name, func(s *appsv1.ReplicaSet) ([]kube.Op, error) {
			if !controlledBy(s, w.run.UID) {
				return nil, nil
			}
			return resize(s, d, replicas(d)), nil
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
		w.env.logger().Info("the tested ReplicaSet becomes the Deployment's", "namespace", s.Namespace, "replicaSet", s.Name, "deployment", d.Name)
		return handOver(s, deploymentOwner(d)), nil
	})
}

// complete reports that the Deployment controller takes a ReplicaSet for all
// that the Deployment asks for.
func complete(s *appsv1.ReplicaSet, d *appsv1.Deployment) bool {
	n := replicas(d)
	return setReplicas(s) == n && len(noteSize(s, d)) == 0 && available(s) >= n
}

// patience is how long a promotion waits for every tested pod to be available.
// They have all the traffic already, so that one of them is missing must not
// keep the Deployment from becoming whole.
const patience = 2 * time.Minute

// overdue reports that a promotion has waited long enough.
func (w *Workload) overdue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.promoting.IsZero() {
		w.promoting = w.env.now()
	}
	return w.env.now().Sub(w.promoting) >= patience
}

// Finish carries the promotion of a run that has ended on to its end, which the
// run leaves open when the API server was away too long. Until then the tested
// pods, which serve, go with the CanaryRun. It is asked before another run
// begins or the CanaryRun is deleted, and says whether there is nothing left to
// do.
func (w *Workload) Finish(ctx context.Context) (done bool, err error) {
	canary, err := w.set(ctx, w.run.Canary.ReplicaSet)
	if err != nil {
		return false, err
	}
	if canary == nil || !controlledBy(canary, w.run.UID) {
		return w.removeBaseline(ctx)
	}
	return false, w.Apply(ctx, workload.Want{Canary: 100, Promoted: true})
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
	// While it is paused it takes all old pods away only beside a complete new
	// ReplicaSet. If that was scaled or lost a pod in this very moment, the rest
	// goes once it is released, by the Deployment's own strategy.
	if !seen || complete(canary, d) && len(others) > 0 {
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

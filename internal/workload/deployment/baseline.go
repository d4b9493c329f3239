package deployment

import (
	"context"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// baseline is what is known of the run's baseline: a ReplicaSet of the template
// that serves, with a pod-template-hash of its own, so that no Service that is
// held to stable's reaches its pods. It is the run's until it goes; the
// Deployment never hears of it.
type baseline struct {
	// revision is stable's, under the baseline's names.
	revision serinv1.Revision
	// asked: it has been asked for, so whoever wants to know of it is told.
	asked bool
	// refused is why the API server does not take its ReplicaSet.
	refused refusal
	enough  enough
	// seen are the pods that were there; gone counts those that are not any more.
	seen map[types.UID]bool
	gone int
}

func newBaseline(deployment string, r Run) baseline {
	hash := r.Stable.Hash + "-baseline"
	return baseline{
		revision: serinv1.Revision{Version: r.Stable.Version, Hash: hash, ReplicaSet: setName(deployment, hash)},
		seen:     map[types.UID]bool{},
	}
}

// RunsBaseline implements workload.Comparer.
func (w *Workload) RunsBaseline() {}

// revision is that of a group.
func (w *Workload) revision(arm rollout.Arm) serinv1.Revision {
	switch arm {
	case rollout.Canary:
		return w.run.Canary
	case rollout.Baseline:
		return w.fresh.revision
	}
	return w.run.Stable
}

// compare makes the baseline as large as is asked for. That it cannot be made is
// told by Observe and keeps nothing else back.
func (w *Workload) compare(ctx context.Context, d *appsv1.Deployment, percent int) error {
	if !w.run.Baseline {
		return nil
	}
	set, err := w.set(ctx, w.fresh.revision.ReplicaSet)
	if err != nil {
		return err
	}
	if percent == 0 || d == nil {
		return w.remove(ctx, set)
	}
	w.mu.Lock()
	w.fresh.asked = true
	w.mu.Unlock()
	size := sizeFor(replicas(d), percent, false)
	switch {
	case set == nil:
		err = w.createBaseline(ctx, d, size)
		w.mu.Lock()
		w.fresh.refused = refusalOf(err)
		w.mu.Unlock()
		if err != nil {
			w.env.logger().Warn("the baseline cannot be made", "namespace", w.env.Namespace, "replicaSet", w.fresh.revision.ReplicaSet, "error", err)
		}
		return nil
	case !controlledBy(set, w.run.UID):
		return w.remove(ctx, set) // an earlier run of the same version left it
	}
	// It never shrinks before it goes: a pod that is missing is one that was lost.
	return ignoreMissing(w.mutateSet(ctx, "size", set.Name, func(s *appsv1.ReplicaSet) ([]kube.Op, error) {
		if !controlledBy(s, w.run.UID) || setReplicas(s) >= size {
			return nil, nil
		}
		return []kube.Op{{Op: "add", Path: "/spec/replicas", Value: size}}, nil
	}))
}

func (w *Workload) createBaseline(ctx context.Context, d *appsv1.Deployment, size int32) error {
	stable, err := w.set(ctx, w.run.Stable.ReplicaSet)
	if err != nil || stable == nil {
		return err
	}
	err = w.env.Client.Create(ctx, baselineSet(d, stable, w.run, w.fresh.revision, size))
	if apierrors.IsAlreadyExists(err) {
		err = nil // the cache does not know it yet
	}
	return err
}

// baselineSet is the ReplicaSet of a baseline. Its own labels are not the
// Deployment's: without its owner it would else become one of the Deployment's
// revisions.
func baselineSet(d *appsv1.Deployment, stable *appsv1.ReplicaSet, r Run, of serinv1.Revision, size int32) *appsv1.ReplicaSet {
	template := *stable.Spec.Template.DeepCopy()
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	template.Labels[serinv1.HashLabel] = of.Hash
	selector := d.Spec.Selector.DeepCopy()
	selector.MatchLabels = maps.Clone(selector.MatchLabels)
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[serinv1.HashLabel] = of.Hash
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: of.ReplicaSet,
			Labels:          map[string]string{kube.ManagedLabel: serinv1.FieldManager},
			OwnerReferences: []metav1.OwnerReference{runOwner(r)},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &size, MinReadySeconds: d.Spec.MinReadySeconds, Selector: selector, Template: template,
		},
	}
}

// observeBaseline says how the baseline is; nil when there is none and none was
// asked for, or when that cannot be found out now: nothing else is to wait for it.
func (w *Workload) observeBaseline(ctx context.Context, n int32) *workload.Group {
	if !w.run.Baseline {
		return nil
	}
	set, err := w.set(ctx, w.fresh.revision.ReplicaSet)
	var pods []corev1.Pod
	if err == nil {
		pods, err = w.pods(ctx, w.fresh.revision)
	}
	if err != nil {
		w.env.logger().Warn("the baseline cannot be observed", "error", err)
		return nil
	}
	w.mu.Lock()
	asked, refused, percent := w.fresh.asked, w.fresh.refused, w.want.Baseline
	w.mu.Unlock()
	if set == nil && len(pods) == 0 && !asked {
		return nil
	}
	g := w.group(w.fresh.revision, pods, set)
	g.Restarts += w.lost(pods)
	g.Capacity = w.capacity(&w.fresh.enough, n, int32(g.Ready()), percent, false)
	if set == nil && refused.message != "" {
		g.Detail = fmt.Sprintf("its ReplicaSet is not accepted: %s", refused.message)
		if refused.final {
			g.Failed = g.Detail
		}
	}
	return &g
}

// lost counts the baseline's pods that were there and are not any more: whatever
// is there in their place is younger.
func (w *Workload) lost(pods []corev1.Pod) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	here := map[types.UID]bool{}
	for i := range pods {
		if pods[i].DeletionTimestamp == nil {
			here[pods[i].UID] = true
		}
	}
	for uid := range w.fresh.seen {
		if !here[uid] {
			delete(w.fresh.seen, uid)
			w.fresh.gone++
		}
	}
	maps.Copy(w.fresh.seen, here)
	return w.fresh.gone
}

// removeBaseline takes what is left of the baseline away, and says whether
// nothing is.
func (w *Workload) removeBaseline(ctx context.Context) (gone bool, err error) {
	if !w.run.Baseline {
		return true, nil
	}
	set, err := w.set(ctx, w.fresh.revision.ReplicaSet)
	if err != nil || set == nil || !controlledBy(set, w.run.UID) {
		return err == nil, err
	}
	return w.shrink(ctx, set)
}

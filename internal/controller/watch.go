package controller

import (
	"context"
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// workloadIndex finds rollouts by the name of their workload.
const workloadIndex = "spec.workload.deployment.name"

// workloadOf returns the name of the Deployment that a rollout is about; empty
// when it names none.
func workloadOf(obj client.Object) string {
	r, ok := obj.(*serinv1.CanaryRollout)
	if !ok {
		return ""
	}
	var spec struct {
		Workload struct {
			Deployment struct {
				Name string `json:"name"`
			} `json:"deployment"`
		} `json:"workload"`
	}
	if json.Unmarshal(r.Spec.Raw, &spec) != nil {
		return ""
	}
	return spec.Workload.Deployment.Name
}

// watch registers the controller and everything whose changes it looks at.
func (c *Controller) watch(mgr ctrl.Manager) error {
	index := func(obj client.Object) []string {
		if name := workloadOf(obj); name != "" {
			return []string{name}
		}
		return nil
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &serinv1.CanaryRollout{}, workloadIndex, index); err != nil {
		return err
	}
	stood := make(chan event.TypedGenericEvent[types.NamespacedName], 1024)
	c.runs.ended = func(key types.NamespacedName) {
		stood <- event.TypedGenericEvent[types.NamespacedName]{Object: key}
	}
	toRequest := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, key types.NamespacedName) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: key}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("canaryrollout").
		For(&serinv1.CanaryRollout{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, deleted{}))).
		Watches(&serinv1.CanaryRun{}, handler.EnqueueRequestsFromMapFunc(c.ofRun), builder.WithPredicates(runChanged)).
		Watches(&appsv1.Deployment{}, handler.EnqueueRequestsFromMapFunc(c.ofWorkload)).
		WatchesRawSource(source.TypedChannel(stood, toRequest)).
		WithOptions(controller.Options{MaxConcurrentReconciles: max(c.Workers, 1)}).
		Complete(c)
}

// deleted lets changes of the deletion timestamp through.
type deleted struct{ predicate.Funcs }

func (deleted) Update(e event.UpdateEvent) bool {
	return e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
}
func (deleted) Create(event.CreateEvent) bool   { return true }
func (deleted) Delete(event.DeleteEvent) bool   { return true }
func (deleted) Generic(event.GenericEvent) bool { return true }

// runChanged lets through what people change in a run, and its end: what a
// loop writes itself is not news to it.
var runChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	was, ok1 := e.ObjectOld.(*serinv1.CanaryRun)
	now, ok2 := e.ObjectNew.(*serinv1.CanaryRun)
	return ok1 && ok2 && (was.Generation != now.Generation ||
		(was.Status.EndedAt == nil) != (now.Status.EndedAt == nil) ||
		was.Status.Archived != now.Status.Archived ||
		was.DeletionTimestamp.IsZero() != now.DeletionTimestamp.IsZero())
}}

// ofRun wakes a run's loop, and has its rollout looked at.
func (c *Controller) ofRun(_ context.Context, obj client.Object) []reconcile.Request {
	run, ok := obj.(*serinv1.CanaryRun)
	if !ok {
		return nil
	}
	key := c.keyOfRun(run)
	c.runs.wake(key)
	return []reconcile.Request{{NamespacedName: key}}
}

// ofWorkload wakes the loops of a workload's rollouts, and has them looked at.
func (c *Controller) ofWorkload(ctx context.Context, obj client.Object) []reconcile.Request {
	keys := c.rolloutsOf(ctx, obj.GetNamespace(), obj.GetName())
	var out []reconcile.Request
	for _, key := range keys {
		c.runs.wake(key)
		out = append(out, reconcile.Request{NamespacedName: key})
	}
	return out
}

func (c *Controller) rolloutsOf(ctx context.Context, namespace, deployment string) []types.NamespacedName {
	var list serinv1.CanaryRolloutList
	if err := c.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{workloadIndex: deployment}); err != nil {
		return nil // the cache is not there yet; when it is, every rollout is looked at
	}
	var keys []types.NamespacedName
	for i := range list.Items {
		keys = append(keys, client.ObjectKeyFromObject(&list.Items[i]))
	}
	return keys
}

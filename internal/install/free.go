package install

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
)

const (
	// goneTime bounds how long the canary's pods are waited for.
	goneTime = 2 * time.Minute
	// uninstalled is why a run ends here.
	uninstalled = "Serin was uninstalled while the run went on"
)

// askRollback adds the intent to roll back to a run.
func (u *uninstall) askRollback(ctx context.Context, run *serinv1.CanaryRun) error {
	obj := run.DeepCopy()
	return kube.Mutate(ctx, u.c, nil, obj, func() ([]kube.Op, error) {
		for _, i := range obj.Spec.Intents {
			if i.ID == "uninstall" {
				return nil, nil
			}
		}
		now := metav1.NowMicro()
		intent := serinv1.Intent{ID: "uninstall", Intent: string(rollout.Rollback), At: &now, Actor: FieldManager, Reason: "Serin is being uninstalled"}
		if len(obj.Spec.Intents) == 0 {
			return []kube.Op{{Op: "add", Path: "/spec/intents", Value: []serinv1.Intent{intent}}}, nil
		}
		return []kube.Op{{Op: "add", Path: "/spec/intents/-", Value: intent}}, nil
	})
}

// endRun takes a run's traffic and pods away, and ends the run. A run whose
// tested pods belong to the Deployment already is ended as promoted.
func (u *uninstall) endRun(ctx context.Context, run *serinv1.CanaryRun) error {
	if run.Status.EndedAt == nil {
		if err := u.leaveCanary(ctx, run); err != nil {
			return fmt.Errorf("end the run %s in %s: %w", run.Name, run.Namespace, err)
		}
	}
	return u.dropFinalizer(ctx, run, serinv1.Finalizer)
}

func (u *uninstall) leaveCanary(ctx context.Context, run *serinv1.CanaryRun) error {
	canary, err := u.replicaSet(ctx, run.Namespace, run.Spec.Canary.ReplicaSet)
	if err != nil {
		return err
	}
	adopted := canary != nil && owner(canary) == deploymentKind.Kind
	split := traffic.Split{StableID: run.Spec.Stable.Hash, CanaryID: run.Spec.Canary.Hash}
	end := string(engine.RolledBack)
	if adopted {
		split = traffic.Split{StableID: run.Spec.Canary.Hash, CanaryID: run.Spec.Canary.Hash, Promoted: true}
		end = string(engine.Promoted)
	}
	if u.DryRun {
		u.Told(result(kinded(run), Configured, fmt.Sprintf("its route goes to weight 0, the run ends as %s", end)))
		return nil
	}
	if err := u.routeToStable(ctx, run, split); err != nil {
		return err
	}
	if !adopted {
		if err := u.giveBackStable(ctx, run); err != nil {
			return err
		}
		if canary != nil {
			if err := u.removeCanary(ctx, run, canary); err != nil {
				return err
			}
		}
	}
	if err := u.removeBaseline(ctx, run); err != nil {
		return err
	}
	if err := u.noteEnd(ctx, run, end); err != nil {
		return err
	}
	u.Told(result(kinded(run), Configured, "the route is at weight 0, the run ended as "+end))
	return nil
}

// routeToStable takes the canary's weight away and gives requests under way
// their time.
func (u *uninstall) routeToStable(ctx context.Context, run *serinv1.CanaryRun, split traffic.Split) error {
	router, err := u.Router(nil, run)
	if err != nil {
		return fmt.Errorf("find the route: %w", err)
	}
	err = router.Apply(ctx, split)
	if apierrors.IsNotFound(err) {
		u.Told(result(kinded(run), Configured, "its route is not there any more: "+err.Error()))
		return nil
	}
	if err != nil {
		return fmt.Errorf("route everything to stable: %w; mend that and run `serin uninstall` again", err)
	}
	select {
	case <-time.After(u.Drain):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// giveBackStable returns the ReplicaSet that serves to its Deployment, when the
// run ended between taking it aside and handing over the tested one.
func (u *uninstall) giveBackStable(ctx context.Context, run *serinv1.CanaryRun) error {
	stable, err := u.replicaSet(ctx, run.Namespace, run.Spec.Stable.ReplicaSet)
	if err != nil || stable == nil || owner(stable) == deploymentKind.Kind {
		return err
	}
	d, err := u.deploymentOf(ctx, run)
	if err != nil || d == nil {
		return err
	}
	return kube.Mutate(ctx, u.c, nil, stable, func() ([]kube.Op, error) {
		owners := []metav1.OwnerReference{*metav1.NewControllerRef(d, deploymentKind)}
		return []kube.Op{{Op: "add", Path: "/metadata/ownerReferences", Value: owners}}, nil
	})
}

// deploymentOf returns the Deployment that a run is about; nil when it is gone.
func (u *uninstall) deploymentOf(ctx context.Context, run *serinv1.CanaryRun) (*appsv1.Deployment, error) {
	var list appsv1.DeploymentList
	if err := u.c.List(ctx, &list, client.InNamespace(run.Namespace), client.MatchingLabels{serinv1.RolloutLabel: run.Spec.Rollout}); err != nil {
		return nil, fmt.Errorf("find the Deployment: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	return &list.Items[0], nil
}

// removeCanary deletes the canary's ReplicaSet and waits until none of its pods
// can be reached, as Services are to select every pod afterwards.
func (u *uninstall) removeCanary(ctx context.Context, run *serinv1.CanaryRun, canary *appsv1.ReplicaSet) error {
	canary.SetGroupVersionKind(deploymentKind.GroupVersion().WithKind("ReplicaSet"))
	if err := u.remove(ctx, canary); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	for {
		var pods corev1.PodList
		err := u.c.List(ctx, &pods, client.InNamespace(run.Namespace), client.MatchingLabels{serinv1.HashLabel: run.Spec.Canary.Hash})
		if err != nil {
			return fmt.Errorf("look for the canary's pods: %w", err)
		}
		if !anyServes(pods.Items) {
			return nil
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return fmt.Errorf("%d of the canary's pods are still there; run `serin uninstall` again when they are gone: %w", len(pods.Items), ctx.Err())
		}
	}
}

// removeBaseline deletes what a run has made beside the canary. Its pods are of
// the version that serves, so nothing waits for them.
func (u *uninstall) removeBaseline(ctx context.Context, run *serinv1.CanaryRun) error {
	var sets appsv1.ReplicaSetList
	if err := u.c.List(ctx, &sets, client.InNamespace(run.Namespace), client.MatchingLabels{kube.ManagedLabel: serinv1.FieldManager}); err != nil {
		return fmt.Errorf("look for the run's baseline: %w", err)
	}
	for i := range sets.Items {
		set := &sets.Items[i]
		if c := metav1.GetControllerOf(set); c == nil || c.UID != run.UID {
			continue
		}
		set.SetGroupVersionKind(deploymentKind.GroupVersion().WithKind("ReplicaSet"))
		if err := u.remove(ctx, set); err != nil {
			return err
		}
	}
	return nil
}

// anyServes reports whether a Service could send requests to one of the pods:
// a pod that is being deleted gets none.
func anyServes(pods []corev1.Pod) bool {
	for _, p := range pods {
		if p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			return true
		}
	}
	return false
}

// noteEnd writes into a run's status that it has ended, so that a Serin that is
// installed later does not go on with it.
func (u *uninstall) noteEnd(ctx context.Context, run *serinv1.CanaryRun, end string) error {
	before := run.DeepCopy()
	now := metav1.NowMicro()
	run.Status.Phase, run.Status.Weight, run.Status.EndedAt, run.Status.Reason = end, 0, &now, uninstalled
	meta.RemoveStatusCondition(&run.Status.Conditions, "Reconciling")
	meta.RemoveStatusCondition(&run.Status.Conditions, "Stalled")
	ready := metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: "Uninstalled", Message: uninstalled, ObservedGeneration: run.Generation}
	if end == string(engine.Promoted) {
		ready.Status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&run.Status.Conditions, ready)
	err := u.c.Status().Patch(ctx, run, client.MergeFrom(before), client.FieldOwner(serinv1.FieldManager))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("note its end: %w", err)
	}
	return nil
}

// freeRollout leaves the route of a rollout as it is between runs, and lets the
// object be deleted.
func (u *uninstall) freeRollout(ctx context.Context, r *serinv1.CanaryRollout) error {
	if u.failed[client.ObjectKeyFromObject(r)] {
		return nil // said already; its route still needs what is there
	}
	if u.DryRun {
		u.Told(result(kinded(r), Configured, "its route and Services stay, held to no version"))
		return nil
	}
	note, err := u.restRoutes(ctx, r)
	if err != nil {
		return fmt.Errorf("leave the route of %s in %s as it is without Serin: %w; correct the rollout or its route and run `serin uninstall` again", r.Name, r.Namespace, err)
	}
	u.Told(result(kinded(r), Configured, note))
	return u.dropFinalizer(ctx, r, serinv1.RolloutLabel)
}

// restRoutes puts the route that a rollout names to rest, and the one that its
// latest run was on, which may be another, or the only one that can be told where
// the rollout has a mistake. note says what was done.
func (u *uninstall) restRoutes(ctx context.Context, r *serinv1.CanaryRollout) (note string, err error) {
	rest := func(r *serinv1.CanaryRollout, run *serinv1.CanaryRun) error {
		router, err := u.Router(r, run)
		if err != nil {
			return fmt.Errorf("%w: %w", traffic.ErrRefused, err) // it is no route of Serin's then
		}
		return router.Rest(ctx)
	}
	// A route that does not name the arms does not depend on Serin.
	left := func(err error) bool {
		return apierrors.IsNotFound(err) || errors.Is(err, traffic.ErrRefused) && !apierrors.IsForbidden(err)
	}
	errNamed := rest(r, nil)
	if run := u.latest[client.ObjectKeyFromObject(r)]; run != nil {
		if err := rest(nil, run); err != nil && !left(err) {
			return "", err
		}
	}
	switch {
	case errNamed == nil:
		return "its route and Services are held to no version", nil
	case !left(errNamed):
		return "", errNamed
	}
	why, _, _ := strings.Cut(errNamed.Error(), "\n")
	return "its route is left as it is: " + strings.TrimPrefix(why, traffic.ErrRefused.Error()+": "), nil
}

func (u *uninstall) dropFinalizer(ctx context.Context, obj client.Object, name string) error {
	if u.DryRun || !controllerutil.ContainsFinalizer(obj, name) {
		return nil
	}
	err := kube.Mutate(ctx, u.c, nil, obj, func() ([]kube.Op, error) {
		for i, f := range obj.GetFinalizers() {
			if f == name {
				return []kube.Op{{Op: "remove", Path: kube.Pointer("metadata", "finalizers", fmt.Sprint(i))}}, nil
			}
		}
		return nil, nil
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("take the finalizer of %s away: %w", Title(kinded(obj)), err)
	}
	return nil
}

func (u *uninstall) replicaSet(ctx context.Context, namespace, name string) (*appsv1.ReplicaSet, error) {
	if name == "" {
		return nil, nil
	}
	var rs appsv1.ReplicaSet
	err := u.c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &rs)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the ReplicaSet %s in %s", name, namespace), err)
	}
	return &rs, nil
}

// owner is the kind of an object's controller.
func owner(obj client.Object) string {
	if c := metav1.GetControllerOf(obj); c != nil {
		return c.Kind
	}
	return ""
}

// kinded gives an object that was read by its type its kind back.
func kinded(obj client.Object) client.Object {
	if obj.GetObjectKind().GroupVersionKind().Kind == "" {
		kind := "CanaryRollout"
		if _, ok := obj.(*serinv1.CanaryRun); ok {
			kind = "CanaryRun"
		}
		obj.GetObjectKind().SetGroupVersionKind(serinv1.GroupVersion.WithKind(kind))
	}
	return obj
}

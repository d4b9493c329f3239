package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/traffic"
)

// UninstallOptions say how Serin leaves a cluster.
type UninstallOptions struct {
	// Namespace is the controller's.
	Namespace string
	// Namespaces bound where rollouts are looked for; empty: everywhere.
	Namespaces []string
	// Definitions takes Serin's kinds away too, and with them every rollout, run
	// and record.
	Definitions bool
	// KeepTemplate leaves a held Deployment paused with the template that it
	// asks for; otherwise it gets back the template that serves.
	KeepTemplate bool
	DryRun       bool
	// Patience is how long a controller that works is given to roll its runs
	// back by itself, so that their records are complete.
	Patience time.Duration
	// Drain is how long requests that are under way may take once the canary
	// gets no new ones.
	Drain time.Duration
	// Router reaches the route of a rollout, as it was pinned by a run when there
	// is one.
	Router func(*serinv1.CanaryRollout, *serinv1.CanaryRun) (Router, error)
	// Told is called for each object that is touched.
	Told func(Result)
}

// Router is a route that can be left as it is between runs.
type Router interface {
	traffic.Router
	traffic.Rester
}

// Uninstall takes Serin out of a cluster at any time, also in the middle of
// runs and without a controller that works. Users are served by the version
// that served before, by ordinary Deployments and routes. It can be called
// again after any error. Where what a cluster has once is that of a Serin in another
// namespace, nothing is touched, and the error wraps ErrOther.
//
// The order matters: the routes go back first; then nobody works against what
// follows, as the controller's rights are taken; a Deployment goes on only once
// it asks for what serves; Services select every pod only once the canary's are
// gone.
func Uninstall(ctx context.Context, c client.Client, o UninstallOptions) error {
	u := &uninstall{c: c, UninstallOptions: o, latest: map[client.ObjectKey]*serinv1.CanaryRun{}, failed: map[client.ObjectKey]bool{}}
	if err := checkTaken(ctx, c, o.Namespace); err != nil {
		return err
	}
	if err := u.find(ctx); err != nil {
		return err
	}
	u.askController(ctx)
	if err := u.fence(ctx); err != nil {
		return err
	}
	var errs []error
	for i := range u.runs {
		if err := u.endRun(ctx, &u.runs[i]); err != nil {
			u.failed[rolloutOf(&u.runs[i])] = true
			errs = append(errs, err)
		}
	}
	for _, d := range u.deployments {
		errs = append(errs, u.freeDeployment(ctx, d))
	}
	for i := range u.rollouts {
		errs = append(errs, u.freeRollout(ctx, &u.rollouts[i]))
	}
	if err := errors.Join(errs...); err != nil {
		// What is left needs Serin's objects to be mended or tried again.
		return err
	}
	return u.removeObjects(ctx)
}

type uninstall struct {
	UninstallOptions
	c client.Client

	rollouts    []serinv1.CanaryRollout
	runs        []serinv1.CanaryRun // those that have not ended
	deployments []*unstructured.Unstructured
	// latest is the newest run of each rollout, ended or not.
	latest map[client.ObjectKey]*serinv1.CanaryRun
	// failed are rollouts whose traffic may still reach the canary.
	failed map[client.ObjectKey]bool
}

func rolloutOf(run *serinv1.CanaryRun) client.ObjectKey {
	return client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.Rollout}
}

// find reads what Serin has touched.
func (u *uninstall) find(ctx context.Context) error {
	for _, in := range u.scopes() {
		var rollouts serinv1.CanaryRolloutList
		if err := u.list(ctx, &rollouts, in...); err != nil {
			return fmt.Errorf("list the rollouts: %w", err)
		}
		u.rollouts = append(u.rollouts, rollouts.Items...)
		var runs serinv1.CanaryRunList
		if err := u.list(ctx, &runs, in...); err != nil {
			return fmt.Errorf("list the runs: %w", err)
		}
		for _, run := range runs.Items {
			if was := u.latest[rolloutOf(&run)]; was == nil || was.Spec.Number < run.Spec.Number {
				u.latest[rolloutOf(&run)] = &run
			}
		}
		u.runs = append(u.runs, slices.DeleteFunc(runs.Items, func(r serinv1.CanaryRun) bool {
			return r.Status.EndedAt != nil && len(r.Finalizers) == 0
		})...)
		deployments := &unstructured.UnstructuredList{}
		deployments.SetGroupVersionKind(deploymentKind.GroupVersion().WithKind("DeploymentList"))
		if err := u.list(ctx, deployments, append(in, client.HasLabels{serinv1.RolloutLabel})...); err != nil {
			return fmt.Errorf("list the Deployments that are held for runs: %w", err)
		}
		for i := range deployments.Items {
			u.deployments = append(u.deployments, &deployments.Items[i])
		}
	}
	return nil
}

// scopes are where rollouts are looked for.
func (u *uninstall) scopes() [][]client.ListOption {
	if len(u.Namespaces) == 0 {
		return [][]client.ListOption{nil}
	}
	var all [][]client.ListOption
	for _, n := range u.Namespaces {
		all = append(all, []client.ListOption{client.InNamespace(n)})
	}
	return all
}

// list is empty where the kind is not known: then Serin was not there, or is
// gone already.
func (u *uninstall) list(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := u.c.List(ctx, list, opts...)
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// askController lets a controller that works roll its runs back by itself.
func (u *uninstall) askController(ctx context.Context) {
	ready, _, err := Readiness(ctx, u.c, u.Namespace)
	if err != nil || !ready || u.DryRun || u.Patience <= 0 {
		return
	}
	var open []client.ObjectKey
	for i := range u.runs {
		run := &u.runs[i]
		if run.Status.EndedAt != nil {
			continue
		}
		if err := u.askRollback(ctx, run); err == nil {
			u.Told(result(run, Configured, "the controller is asked to roll it back"))
			open = append(open, client.ObjectKeyFromObject(run))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, u.Patience)
	defer cancel()
	for len(open) > 0 {
		var run serinv1.CanaryRun
		err := u.c.Get(ctx, open[0], &run)
		if apierrors.IsNotFound(err) || err == nil && run.Status.EndedAt != nil {
			u.replaceRun(open[0], run)
			open = open[1:]
			continue
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return // what it has not ended is ended without it
		}
	}
}

func (u *uninstall) replaceRun(key client.ObjectKey, run serinv1.CanaryRun) {
	i := slices.IndexFunc(u.runs, func(r serinv1.CanaryRun) bool { return client.ObjectKeyFromObject(&r) == key })
	if run.Name == "" {
		u.runs = slices.Delete(u.runs, i, i+1)
		return
	}
	u.runs[i] = run
}

// fence takes the controller's rights away, so that it cannot work against what
// follows whatever its pods do, and then the controller and the policy.
func (u *uninstall) fence(ctx context.Context) error {
	for _, kind := range fenceKinds {
		if err := u.removeKind(ctx, kind); err != nil {
			return err
		}
	}
	return nil
}

// removable is a kind of which an installation has objects, and where.
type removable struct {
	schema.GroupVersionKind
	// own: only in the controller's namespace; otherwise wherever they are.
	own bool
}

var (
	fenceKinds = []removable{
		{rbacKind("ClusterRoleBinding"), false},
		{rbacKind("RoleBinding"), false},
		{policyKind.WithVersion("v1"), false},
		{bindingKind.WithVersion("v1"), false},
		{deploymentKind, true},
	}
	otherKinds = []removable{
		{rbacKind("ClusterRole"), false},
		{rbacKind("Role"), false},
		{schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"}, true},
		{networkKind, true},
		{schema.GroupVersionKind{Version: "v1", Kind: "Service"}, true},
		{schema.GroupVersionKind{Version: "v1", Kind: "ServiceAccount"}, true},
		{schema.GroupVersionKind{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"}, true},
	}
)

func rbacKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: kind}
}

// removeObjects takes away what is left of the installation.
func (u *uninstall) removeObjects(ctx context.Context) error {
	var errs []error
	for _, kind := range otherKinds {
		errs = append(errs, u.removeKind(ctx, kind))
	}
	errs = append(errs, u.removeDefinitions(ctx))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return u.removeNamespace(ctx)
}

// removeKind deletes the installation's objects of one kind.
func (u *uninstall) removeKind(ctx context.Context, kind removable) error {
	mapping, err := u.c.RESTMapper().RESTMapping(kind.GroupKind())
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask for the kind %s: %w", kind.Kind, err)
	}
	gvk := mapping.GroupVersionKind
	scopes := [][]client.ListOption{nil}
	switch {
	case kind.own:
		scopes = [][]client.ListOption{{client.InNamespace(u.Namespace)}}
	case len(u.Namespaces) > 0 && mapping.Scope.Name() == meta.RESTScopeNameRoot:
		// What is cluster-wide is the administrator's where Serin has only Roles.
		return u.removeWherePermitted(ctx, gvk)
	case len(u.Namespaces) > 0:
		scopes = nil
		for _, n := range slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(u.Namespaces), u.Namespace)))) {
			scopes = append(scopes, []client.ListOption{client.InNamespace(n)})
		}
	}
	for _, scope := range scopes {
		if err := u.removeListed(ctx, gvk, scope); err != nil {
			return err
		}
	}
	return nil
}

func (u *uninstall) removeWherePermitted(ctx context.Context, gvk schema.GroupVersionKind) error {
	err := u.removeListed(ctx, gvk, nil)
	if apierrors.IsForbidden(err) {
		u.Told(Result{Kind: gvk.Kind, Action: Kept, title: gvk.Kind, Note: "what is cluster-wide is left to an administrator: `serin uninstall` without --namespaces"})
		return nil
	}
	return err
}

func (u *uninstall) removeListed(ctx context.Context, gvk schema.GroupVersionKind, scope []client.ListOption) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	opts := scope
	if gvk.Kind != "Lease" {
		opts = append(slices.Clone(scope), client.MatchingLabels{partOfLabel: partOf, nameLabel: Controller})
	}
	if err := u.list(ctx, list, opts...); err != nil {
		return fmt.Errorf("list the installation's %s objects: %w", gvk.Kind, err)
	}
	for i := range list.Items {
		obj := &list.Items[i]
		if gvk.Kind == "Lease" && obj.GetName() != leaseName {
			continue
		}
		if err := u.remove(ctx, obj); err != nil {
			return err
		}
	}
	return nil
}

func (u *uninstall) remove(ctx context.Context, obj client.Object) error {
	if !u.DryRun {
		if err := u.c.Delete(ctx, obj, client.PropagationPolicy("Background")); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %s: %w", Title(obj), err)
		}
	}
	u.Told(result(obj, Deleted, ""))
	return nil
}

func (u *uninstall) removeDefinitions(ctx context.Context) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(definitionKind.GroupVersion().WithKind("CustomResourceDefinitionList"))
	err := u.list(ctx, list)
	if apierrors.IsForbidden(err) && !u.Definitions {
		return nil // they are kept anyway
	}
	if err != nil {
		return fmt.Errorf("list the definitions of kinds: %w", err)
	}
	for i := range list.Items {
		obj := &list.Items[i]
		if group, _, _ := unstructured.NestedString(obj.Object, "spec", "group"); group != serinv1.GroupVersion.Group {
			continue
		}
		if !u.Definitions {
			u.Told(result(obj, Kept, "with every object of the kind; --crds takes them away too"))
			continue
		}
		if err := u.remove(ctx, obj); err != nil {
			return err
		}
	}
	return nil
}

// removeNamespace deletes the controller's namespace when the installation made
// it and nothing of anybody else's is there.
func (u *uninstall) removeNamespace(ctx context.Context) error {
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	err := u.c.Get(ctx, client.ObjectKey{Name: u.Namespace}, obj)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the namespace %s: %w", u.Namespace, err)
	}
	if obj.GetLabels()[partOfLabel] != partOf {
		return nil
	}
	if obj.GetDeletionTimestamp() != nil {
		return nil
	}
	for _, kind := range []string{"PersistentVolumeClaim", "Secret"} {
		if !u.none(ctx, kind) {
			u.Told(result(obj, Kept, fmt.Sprintf("objects of kind %s are there; `kubectl delete namespace %s` when they are not needed", kind, u.Namespace)))
			return nil
		}
	}
	return u.remove(ctx, obj)
}

// none reports that the namespace is seen to have no object of a kind of its
// owner's. What cannot be read counts as there.
func (u *uninstall) none(ctx context.Context, kind string) bool {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kind + "List"})
	return u.list(ctx, list, client.InNamespace(u.Namespace)) == nil && len(list.Items) == 0
}

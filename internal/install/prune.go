package install

import (
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// optional returns the objects that an installation in the same place may have
// and this one has not: what was switched off since. Last comes what others rest
// on.
func optional(o Options) ([]Object, error) {
	o = o.WithDefaults()
	wanted, err := Objects(o)
	if err != nil {
		return nil, err
	}
	wide := o
	wide.Replicas, wide.Namespaces = 2, nil
	if len(wide.Confine) == 0 {
		wide.Confine = ConfinedPorts
		wide.PrometheusURL = "" // its port need not be one of those
	}
	if wide.Part == Namespaced {
		// Permissions for the whole cluster are an administrator's to take away.
		wide.Namespaces = o.Namespaces
	}
	all, err := Objects(wide)
	if err != nil {
		return nil, err
	}
	var rest []Object
	for _, obj := range all {
		if !slices.ContainsFunc(wanted, func(w Object) bool { return w.Title() == obj.Title() }) {
			rest = append(rest, obj)
		}
	}
	// Without the binding a role allows nothing.
	slices.Reverse(rest)
	return rest, nil
}

// Prune takes away what an earlier installation in the same place had and this
// one has not: a NetworkPolicy, a PodDisruptionBudget, the permissions for all
// namespaces where there are some only now, or those in a namespace that is no
// longer one of them. What is not Serin's, or belongs to a Serin in another
// namespace, stays. left are the namespaces that are carried no longer (see Left).
func Prune(ctx context.Context, c client.Client, options Options, left []string, o ApplyOptions) error {
	objects, err := optional(options)
	if err != nil {
		return err
	}
	ours, err := boundHere(ctx, c, options.WithDefaults().Namespace)
	if err != nil {
		return err
	}
	former, err := formerRoles(ctx, c, options.WithDefaults(), left, o.Told)
	if err != nil {
		return err
	}
	for _, obj := range append(objects, former...) {
		if obj.GetNamespace() == "" && !ours {
			continue
		}
		live, err := read(ctx, c, obj.Unstructured)
		if apierrors.IsForbidden(err) {
			continue // who may not see it did not install it
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", obj.Title(), err)
		}
		if live == nil || live.GetLabels()[partOfLabel] != partOf {
			continue
		}
		opts := []client.DeleteOption{client.Preconditions{UID: new(live.GetUID())}}
		if o.DryRun {
			opts = append(opts, client.DryRunAll)
		}
		if err := c.Delete(ctx, live, opts...); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %s, which is no longer asked for: %w", obj.Title(), err)
		}
		o.Told(result(obj, Deleted, "no longer asked for"))
	}
	return tellLeft(ctx, c, left, o.Told)
}

// boundHere reports whether the permissions for all namespaces, if there are any,
// are those of the controller in this namespace.
func boundHere(ctx context.Context, c client.Client, namespace string) (bool, error) {
	binding, err := plain(Options{Namespace: namespace}.clusterBinding())
	if err != nil {
		return false, err
	}
	live, err := read(ctx, c, binding)
	switch {
	case apierrors.IsForbidden(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read %s: %w", Title(binding), err)
	case live == nil:
		return false, nil
	}
	return bindsOnly(live, namespace), nil
}

// bindsOnly reports whether a binding is for accounts of one namespace alone.
func bindsOnly(binding *unstructured.Unstructured, namespace string) bool {
	subjects, _, _ := unstructured.NestedSlice(binding.Object, "subjects")
	for _, s := range subjects {
		if s, ok := s.(map[string]any); !ok || s["namespace"] != namespace {
			return false
		}
	}
	return len(subjects) > 0
}

// formerRoles are the permissions in namespaces that an earlier installation in
// the same place had and this one has not. Who may not see all namespaces looks in
// those that are left, and is told of what may not be seen there either.
func formerRoles(ctx context.Context, c client.Client, o Options, left []string, told func(Result)) ([]Object, error) {
	if o.Part == Cluster {
		return nil, nil
	}
	bindings := &unstructured.UnstructuredList{}
	bindings.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind("RoleBindingList"))
	err := c.List(ctx, bindings, client.MatchingLabels{partOfLabel: partOf, nameLabel: Controller})
	if apierrors.IsForbidden(err) {
		bindings.Items, err = nil, nil
		for _, n := range left {
			binding, errPlain := plain(o.rolesIn(n)[1])
			if errPlain != nil {
				return nil, errPlain
			}
			live, errRead := read(ctx, c, binding)
			switch {
			case apierrors.IsForbidden(errRead):
				told(result(binding, Kept, "no longer asked for, and you may not read it: let who owns the namespace delete what has the label "+partOfLabel+"="+partOf))
			case errRead != nil:
				return nil, fmt.Errorf("read %s: %w", Title(binding), errRead)
			case live != nil:
				bindings.Items = append(bindings.Items, *live)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list the RoleBindings of earlier installations: %w", err)
	}
	var rest []Object
	for i := range bindings.Items {
		b := &bindings.Items[i]
		if b.GetName() != Controller || slices.Contains(o.Namespaces, b.GetNamespace()) || !bindsOnly(b, o.Namespace) {
			continue
		}
		roles := o.rolesIn(b.GetNamespace())
		slices.Reverse(roles)
		for _, role := range roles {
			u, err := plain(role)
			if err != nil {
				return nil, err
			}
			rest = append(rest, Object{u, Namespaced})
		}
	}
	return rest, nil
}

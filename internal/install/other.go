package install

import (
	"context"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube/policy"
)

// ErrOther: a Serin in another namespace has the objects that a cluster has once.
var ErrOther = errors.New("a Serin is installed in another namespace")

// CheckOther wraps ErrOther where an installation would overwrite the policy, or
// the permissions for all namespaces, of a controller in another namespace: that
// one could let no Deployment go any more, or Deployments that it carries would
// not be held.
func CheckOther(ctx context.Context, c client.Client, o Options) error {
	what, namespace, err := other(ctx, c, o)
	if err == nil && namespace != "" {
		err = fmt.Errorf("%w: %s is that of the controller in %s, and a cluster has one; bring that one up to date (serin install --namespace %s), or take it out first (serin uninstall --namespace %s); with --force-conflicts it is taken over, and the one in %s works no longer",
			ErrOther, what, namespace, namespace, namespace, namespace)
	}
	return err
}

// checkTaken wraps ErrOther where what a cluster has once is that of a controller in
// another namespace than the one that is taken out, as after a takeover: without it
// that one's Deployments would be held no longer.
func checkTaken(ctx context.Context, c client.Client, namespace string) error {
	what, theirs, err := other(ctx, c, Options{Namespace: namespace})
	if err == nil && theirs != "" {
		err = fmt.Errorf("%w: %s is that of the controller in %s; to take Serin out, name that namespace (serin uninstall --namespace %s); to take away what is left in %s alone, let kubectl delete what has the label %s=%s there",
			ErrOther, what, theirs, theirs, namespace, partOfLabel, partOf)
	}
	return err
}

// other is an object that a cluster has once, and the other namespace whose
// controller it is about; both are empty when there is none. What a controller that
// is gone has left is nobody's. Who may not see whether it is gone is told that it
// is there.
func other(ctx context.Context, c client.Client, o Options) (what, namespace string, err error) {
	o = o.WithDefaults()
	objects, err := Objects(o)
	if err != nil {
		return "", "", err
	}
	for _, obj := range OfKind(objects, policyKind.Kind, "ClusterRoleBinding") {
		live, err := read(ctx, c, obj.Unstructured)
		switch {
		case apierrors.IsForbidden(err):
			continue // who may not read it does not write it
		case err != nil:
			return "", "", fmt.Errorf("read %s: %w", obj.Title(), err)
		case live == nil:
			continue
		}
		for _, namespace := range homes(live) {
			if namespace == o.Namespace {
				continue
			}
			var d appsv1.Deployment
			err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: Controller}, &d)
			switch {
			case apierrors.IsNotFound(err):
				continue
			case err != nil && !apierrors.IsForbidden(err):
				return "", "", fmt.Errorf("look for a controller in %s: %w", namespace, err)
			}
			return obj.Title(), namespace, nil
		}
	}
	return "", "", nil
}

// homes are the namespaces of the controllers that a policy or a binding of
// Serin's is about.
func homes(live *unstructured.Unstructured) (all []string) {
	if live.GetKind() == policyKind.Kind {
		conditions, _, _ := unstructured.NestedSlice(live.Object, "spec", "matchConditions")
		for _, c := range conditions {
			c, _ := c.(map[string]any)
			expression, _ := c["expression"].(string)
			if n := accountNamespace(policy.Account(expression)); n != "" {
				all = append(all, n)
			}
		}
		return all
	}
	subjects, _, _ := unstructured.NestedSlice(live.Object, "subjects")
	for _, s := range subjects {
		s, _ := s.(map[string]any)
		if n, _ := s["namespace"].(string); n != "" {
			all = append(all, n)
		}
	}
	return all
}

// accountNamespace returns the namespace in the user name of a service account;
// empty: it is none.
func accountNamespace(user string) string {
	rest, ok := strings.CutPrefix(user, "system:serviceaccount:")
	if !ok {
		return ""
	}
	namespace, _, _ := strings.Cut(rest, ":")
	return namespace
}

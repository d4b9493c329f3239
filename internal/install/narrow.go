package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// ErrAbandoned: runs go on that nobody would carry after the installation.
var ErrAbandoned = errors.New("runs would be left in the middle")

// Carried are the namespaces whose rollouts a controller carries, by its own
// arguments; empty: all.
func Carried(controller *appsv1.Deployment) []string {
	for _, container := range controller.Spec.Template.Spec.Containers {
		for _, arg := range container.Args {
			if list, ok := strings.CutPrefix(arg, "--namespaces="); ok {
				return strings.Split(list, ",")
			}
		}
	}
	return nil
}

// Left are the namespaces that the installation in the same place carries and
// this one would not, as far as the person may see them. It is asked before the
// controller is replaced, which alone knows.
func Left(ctx context.Context, c client.Client, o Options) ([]string, error) {
	o = o.WithDefaults()
	if len(o.Namespaces) == 0 {
		return nil, nil
	}
	var d appsv1.Deployment
	switch err := c.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: Controller}, &d); {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the controller that is there: %w", err)
	}
	before := Carried(&d)
	if before == nil {
		var rollouts serinv1.CanaryRolloutList
		if err := seen(c.List(ctx, &rollouts)); err != nil {
			return nil, fmt.Errorf("list the rollouts: %w", err)
		}
		for i := range rollouts.Items {
			before = append(before, rollouts.Items[i].Namespace)
		}
	}
	slices.Sort(before)
	return slices.DeleteFunc(slices.Compact(before), func(n string) bool { return slices.Contains(o.Namespaces, n) }), nil
}

// seen drops the error of a list that the person may not have, or of a kind that
// is not there: then nothing is known.
func seen(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	}
	return err
}

// CheckLeft wraps ErrAbandoned where a run goes on in one of the namespaces that
// are left: its canary would keep its share of the requests, and nobody would
// judge it.
func CheckLeft(ctx context.Context, c client.Client, left []string) error {
	var going []string
	for _, n := range left {
		var runs serinv1.CanaryRunList
		if err := seen(c.List(ctx, &runs, client.InNamespace(n))); err != nil {
			return fmt.Errorf("list the runs in %s: %w", n, err)
		}
		for i := range runs.Items {
			if run := &runs.Items[i]; run.Status.EndedAt == nil {
				going = append(going, fmt.Sprintf("%s in %s (serin rollback %s -n %s)", run.Name, n, run.Spec.Rollout, n))
			}
		}
	}
	if len(going) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s; let them end or roll them back first, or keep their namespaces among --namespaces", ErrAbandoned, strings.Join(going, ", "))
}

// tellLeft says which rollouts nobody carries any more.
func tellLeft(ctx context.Context, c client.Client, left []string, told func(Result)) error {
	for _, n := range left {
		var rollouts serinv1.CanaryRolloutList
		if err := seen(c.List(ctx, &rollouts, client.InNamespace(n))); err != nil {
			return fmt.Errorf("list the rollouts in %s: %w", n, err)
		}
		for i := range rollouts.Items {
			told(result(kinded(&rollouts.Items[i]), Kept, "nobody carries it now; name its namespace again, also before it is deleted"))
		}
	}
	return nil
}

package install

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
)

// heldAgain bounds how often a release is tried while the policy, which the API
// server forgets a moment after it was deleted, holds the Deployment again.
const heldAgain = 10

// freeDeployment makes a Deployment its owner's alone. One that is held while it
// asks for another version than the one that serves would replace that at once:
// it gets the serving template back, or stays paused when that was asked for.
func (u *uninstall) freeDeployment(ctx context.Context, d *unstructured.Unstructured) error {
	key := client.ObjectKey{Namespace: d.GetNamespace(), Name: d.GetLabels()[serinv1.RolloutLabel]}
	if u.failed[key] {
		return nil // said already; it must not go on while the canary may be reached
	}
	for range heldAgain {
		var plan release
		err := u.mutate(ctx, d, func() ([]kube.Op, error) {
			var err error
			plan, err = u.planRelease(ctx, d)
			return plan.ops, err
		})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("let %s go: %w", Title(d), err)
		}
		if u.DryRun || plan.staysPaused || !paused(d) {
			u.Told(result(d, Configured, plan.note))
			return nil
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("let %s go: it is held again each time; delete the MutatingAdmissionPolicy of Serin and run `serin uninstall` again", Title(d))
}

// mutate is kube.Mutate, which a dry run asks but does not carry out.
func (u *uninstall) mutate(ctx context.Context, obj client.Object, change func() ([]kube.Op, error)) error {
	if u.DryRun {
		_, err := change()
		return err
	}
	return kube.Mutate(ctx, u.c, nil, obj, change)
}

// release is what is to be written on a Deployment, in one patch, so that at no
// moment it goes on with the wrong template.
type release struct {
	ops         []kube.Op
	note        string
	staysPaused bool
}

func (u *uninstall) planRelease(ctx context.Context, d *unstructured.Unstructured) (release, error) {
	var r release
	if _, labelled := d.GetLabels()[serinv1.RolloutLabel]; labelled {
		r.ops = append(r.ops, kube.Op{Op: "remove", Path: kube.Pointer("metadata", "labels", serinv1.RolloutLabel)})
	}
	r.note = "an ordinary Deployment now"
	if !paused(d) {
		return r, nil
	}
	if by := pausedBy(d); by != "" {
		r.staysPaused = true
		r.note = fmt.Sprintf("an ordinary Deployment now; it stays paused, as %s paused it", by)
		return r, nil
	}
	serving, err := u.servingSet(ctx, d)
	if err != nil {
		return r, err
	}
	template, _, err := unstructured.NestedMap(d.Object, "spec", "template")
	if err != nil {
		return r, fmt.Errorf("read its template: %w", err)
	}
	switch {
	case serving == nil:
		r.note += "; no version of it was serving"
	case sameTemplate(template, serving.template):
	case u.KeepTemplate:
		r.staysPaused = true
		r.note = fmt.Sprintf("it stays paused: it asks for another version than the one that serves (%s), which `kubectl rollout resume` would replace at once", serving.name)
		return r, nil
	default:
		r.ops = append(r.ops, kube.Op{Op: "replace", Path: "/spec/template", Value: serving.template})
		r.note += fmt.Sprintf("; it has the template back that serves (%s), as the one it asked for was not released: whoever applies that again rolls it out at once, to everybody", serving.name)
	}
	r.ops = append(r.ops, kube.Op{Op: "remove", Path: "/spec/paused"})
	return r, nil
}

// set is a ReplicaSet and its template without the hash.
type set struct {
	name     string
	template map[string]any
	rank     rank
}

// rank says how likely a ReplicaSet is the one that serves. With as many pods,
// the one that the Deployment asks for wins: going back would take half of what
// serves away.
type rank struct {
	available    int64
	asked, named bool
}

func (r rank) above(o rank) bool {
	switch {
	case r.available != o.available:
		return r.available > o.available
	case r.asked != o.asked:
		return r.asked
	}
	return r.named && !o.named
}

// servingSet returns the ReplicaSet that serves: of those the Deployment
// controls, the one with the most pods that are available.
func (u *uninstall) servingSet(ctx context.Context, d *unstructured.Unstructured) (*set, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(deploymentKind.GroupVersion().WithKind("ReplicaSetList"))
	if err := u.c.List(ctx, list, client.InNamespace(d.GetNamespace())); err != nil {
		return nil, fmt.Errorf("list its ReplicaSets: %w", err)
	}
	named := u.namedStable(d)
	asked, _, err := unstructured.NestedMap(d.Object, "spec", "template")
	if err != nil {
		return nil, fmt.Errorf("read its template: %w", err)
	}
	var best *set
	for i := range list.Items {
		rs := &list.Items[i]
		if c := metav1.GetControllerOf(rs); c == nil || c.UID != d.GetUID() || rs.GetDeletionTimestamp() != nil {
			continue
		}
		n, _, _ := unstructured.NestedInt64(rs.Object, "status", "availableReplicas")
		wanted, _, _ := unstructured.NestedInt64(rs.Object, "spec", "replicas")
		if wanted == 0 {
			continue
		}
		template, _, err := unstructured.NestedMap(rs.Object, "spec", "template")
		if err != nil {
			return nil, fmt.Errorf("read the template of ReplicaSet %s: %w", rs.GetName(), err)
		}
		unstructured.RemoveNestedField(template, "metadata", "labels", serinv1.HashLabel)
		s := &set{name: rs.GetName(), template: template, rank: rank{available: n, asked: sameTemplate(asked, template), named: rs.GetName() == named}}
		if best == nil || s.rank.above(best.rank) {
			best = s
		}
	}
	return best, nil
}

// namedStable is the ReplicaSet that the rollout says serves.
func (u *uninstall) namedStable(d *unstructured.Unstructured) string {
	for _, r := range u.rollouts {
		if r.Namespace == d.GetNamespace() && r.Name == d.GetLabels()[serinv1.RolloutLabel] && r.Status.Stable != nil {
			return r.Status.Stable.ReplicaSet
		}
	}
	return ""
}

package deployment

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/workload"
)

// Target is a rollout's Deployment, with or without a run.
type Target struct {
	env  Env
	name string
}

// NewTarget returns the Deployment that a rollout names. It reads nothing yet.
func NewTarget(c Config, env Env) (*Target, error) {
	if problems := c.Validate(); len(problems) > 0 {
		p := problems[0]
		return nil, fmt.Errorf("workload.deployment.%s %s; %s", p.Field, p.Message, p.Mend)
	}
	return &Target{env: env, name: c.Name}, nil
}

// Inspect says what the Deployment asks for and what serves. An error that
// wraps ErrMissing says that there is no such Deployment.
func (t *Target) Inspect(ctx context.Context) (Situation, error) {
	d, err := t.deployment(ctx)
	if err != nil {
		return Situation{}, err
	}
	sets, err := t.sets(ctx, d)
	if err != nil {
		return Situation{}, err
	}
	return Judge(d, sets)
}

// Attach puts the rollout's label on the Deployment, so that changes of its
// template are held from now on, and holds what no policy can hold any more: a
// template that changed before, and, where Deployments are always held, one that
// is complete. It is called again at every look. A Deployment that belongs to
// another rollout is refused.
func (t *Target) Attach(ctx context.Context) error {
	return t.mutate(ctx, "attach", func(d *appsv1.Deployment) ([]kube.Op, error) {
		ops, err := t.label(d)
		if err != nil || d.Spec.Paused || d.DeletionTimestamp != nil {
			return ops, err
		}
		sets, err := t.sets(ctx, d)
		if err != nil {
			return nil, err
		}
		s, err := Judge(d, sets)
		if err != nil || s.Why != "" {
			return ops, err
		}
		if s.Changed() || t.env.HoldAlways && !unstarted(d, ownedBy(d, sets)) {
			ops = append(ops, kube.Hold(d)...)
		}
		return ops, nil
	})
}

func (t *Target) label(d *appsv1.Deployment) ([]kube.Op, error) {
	switch held := d.Labels[serinv1.RolloutLabel]; {
	case held == t.env.Rollout:
		return nil, nil
	case held != "":
		return nil, fmt.Errorf("it belongs to the CanaryRollout %s already; one Deployment has one rollout: delete that one, or take its label %s away: %w", held, serinv1.RolloutLabel, workload.ErrRefused)
	case d.Labels == nil:
		return []kube.Op{{Op: "add", Path: "/metadata/labels", Value: map[string]string{serinv1.RolloutLabel: t.env.Rollout}}}, nil
	}
	return []kube.Op{{Op: "add", Path: labelPath, Value: t.env.Rollout}}, nil
}

var (
	labelPath  = kube.Pointer("metadata", "labels", serinv1.RolloutLabel)
	pausedPath = kube.Pointer("spec", "paused")
)

// Hold pauses the Deployment, where no policy has done it.
func (t *Target) Hold(ctx context.Context) error {
	return t.mutate(ctx, "hold", func(d *appsv1.Deployment) ([]kube.Op, error) {
		return kube.Hold(d), nil
	})
}

// Release lets the Deployment go on if what it asks for is what serves, or if
// nothing serves yet. It does nothing otherwise, nor when somebody else has
// paused it, nor where Deployments are always held and there is nothing to
// start.
func (t *Target) Release(ctx context.Context) error {
	return t.mutate(ctx, "release", func(d *appsv1.Deployment) ([]kube.Op, error) {
		return t.release(ctx, d)
	})
}

func (t *Target) release(ctx context.Context, d *appsv1.Deployment) ([]kube.Op, error) {
	if !d.Spec.Paused || pausedBy(d) != "" {
		return nil, nil
	}
	sets, err := t.sets(ctx, d)
	if err != nil {
		return nil, err
	}
	s, err := Judge(d, sets)
	if err != nil || s.Changed() {
		return nil, err
	}
	if t.env.HoldAlways && !unstarted(d, ownedBy(d, sets)) {
		return nil, nil
	}
	return []kube.Op{{Op: "remove", Path: pausedPath}}, nil
}

// unstarted reports that the Deployment controller has work left to do on the
// template before it may be held: it has no ReplicaSet of it, or others as well.
func unstarted(d *appsv1.Deployment, owned []*appsv1.ReplicaSet) bool {
	has, others := false, false
	for _, s := range owned {
		if kube.SameTemplate(s.Spec.Template, d.Spec.Template) {
			has = true
		} else {
			others = others || setReplicas(s) > 0
		}
	}
	return !has || others
}

// Detach makes the Deployment its owner's alone again: no label, and no hold
// unless it asks for a version that does not serve. That one would replace what
// serves at once, so it stays paused, and held says so.
func (t *Target) Detach(ctx context.Context) (held bool, err error) {
	err = t.mutate(ctx, "detach", func(d *appsv1.Deployment) ([]kube.Op, error) {
		held = false
		var ops []kube.Op
		if d.Labels[serinv1.RolloutLabel] == t.env.Rollout {
			ops = append(ops, kube.Op{Op: "remove", Path: labelPath})
		}
		if !d.Spec.Paused || pausedBy(d) != "" {
			return ops, nil
		}
		sets, err := t.sets(ctx, d)
		if err != nil {
			return nil, err
		}
		s, err := Judge(d, sets)
		if err != nil {
			return nil, err
		}
		if held = s.Changed(); !held {
			ops = append(ops, kube.Op{Op: "remove", Path: pausedPath})
		}
		return ops, nil
	})
	if missing(err) {
		return false, nil
	}
	return held, err
}

// DetachAll detaches every Deployment that has the label of the rollout in env. It
// returns the names of those that stay paused. None is overlooked that a cache has
// not heard of: an error says that one is to be looked at again.
func DetachAll(ctx context.Context, env Env) (held []string, err error) {
	reader := env.Live
	if reader == nil {
		reader = env.Client
	}
	held, err = detachOthers(ctx, env, reader, "")
	if err != nil {
		return held, err
	}
	left, err := labelled(ctx, env, reader)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("detach Deployment %s/%s: its label %s is still there", env.Namespace, left[0], serinv1.RolloutLabel)
	}
	return held, err
}

// DetachOthers detaches every Deployment that has the label of the rollout in env
// but for its own, which is but. It returns the names of those that stay paused.
func DetachOthers(ctx context.Context, env Env, but string) (held []string, err error) {
	return detachOthers(ctx, env, env.Client, but)
}

func detachOthers(ctx context.Context, env Env, reader client.Reader, but string) (held []string, err error) {
	all, err := labelled(ctx, env, reader)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range all {
		if name == but {
			continue
		}
		stays, err := (&Target{env: env, name: name}).Detach(ctx)
		if stays {
			held = append(held, name)
		}
		errs = append(errs, err)
	}
	return held, errors.Join(errs...)
}

// labelled are the names of the Deployments with a rollout's label.
func labelled(ctx context.Context, env Env, reader client.Reader) ([]string, error) {
	var list appsv1.DeploymentList
	if err := reader.List(ctx, &list, client.InNamespace(env.Namespace), client.MatchingLabels{serinv1.RolloutLabel: env.Rollout}); err != nil {
		return nil, fmt.Errorf("list the Deployments of the CanaryRollout %s/%s: %w", env.Namespace, env.Rollout, err)
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names, nil
}

// ErrMissing is wrapped by errors about a Deployment that is not there.
var ErrMissing = fmt.Errorf("there is no such Deployment: %w", workload.ErrRefused)

// missingError names the Deployment that is not there, and the field that does.
type missingError struct{ key client.ObjectKey }

func (e missingError) Error() string {
	return fmt.Sprintf("spec.workload.deployment.name: there is no Deployment %s in namespace %s; create it, or name another", e.key.Name, e.key.Namespace)
}

func (e missingError) Unwrap() error { return ErrMissing }

func missing(err error) bool { return apierrors.IsNotFound(err) }

func (t *Target) key() client.ObjectKey {
	return client.ObjectKey{Namespace: t.env.Namespace, Name: t.name}
}

func (t *Target) deployment(ctx context.Context) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	err := t.env.Client.Get(ctx, t.key(), d)
	if missing(err) {
		return nil, missingError{t.key()}
	}
	if err != nil {
		return nil, fmt.Errorf("look at Deployment %s: %w", t.key(), err)
	}
	return d, nil
}

// sets returns every ReplicaSet that the Deployment's selector matches, the
// canary's as well.
func (t *Target) sets(ctx context.Context, d *appsv1.Deployment) ([]appsv1.ReplicaSet, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("read the selector of Deployment %s: %w", t.key(), err)
	}
	var list appsv1.ReplicaSetList
	if err := t.env.Client.List(ctx, &list, client.InNamespace(t.env.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("list the ReplicaSets of Deployment %s: %w", t.key(), err)
	}
	return list.Items, nil
}

// mutate changes exactly what change names of the Deployment.
func (t *Target) mutate(ctx context.Context, doing string, change func(*appsv1.Deployment) ([]kube.Op, error)) error {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: t.env.Namespace, Name: t.name}}
	err := kube.Mutate(ctx, t.env.Client, t.env.Live, d, func() ([]kube.Op, error) { return change(d) })
	if err != nil {
		return fmt.Errorf("%s Deployment %s: %w", doing, t.key(), err)
	}
	return nil
}

// mutateSet changes exactly what change names of a ReplicaSet.
func (t *Target) mutateSet(ctx context.Context, doing, name string, change func(*appsv1.ReplicaSet) ([]kube.Op, error)) error {
	s := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: t.env.Namespace, Name: name}}
	err := kube.Mutate(ctx, t.env.Client, t.env.Live, s, func() ([]kube.Op, error) { return change(s) })
	if err != nil {
		return fmt.Errorf("%s ReplicaSet %s/%s: %w", doing, t.env.Namespace, name, err)
	}
	return nil
}

package deployment

import (
	"context"
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
			ops = append(ops, hold(d)...)
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
		return hold(d), nil
	})
}

func hold(d *appsv1.Deployment) []kube.Op {
	if d.Spec.Paused {
		return nil
	}
	return []kube.Op{{Op: "add", Path: pausedPath, Value: true}}
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

// ErrMissing is wrapped by errors about a Deployment that is not there.
var ErrMissing = fmt.Errorf("there is no such Deployment: %w", workload.ErrRefused)

func missing(err error) bool { return apierrors.IsNotFound(err) }

func (t *Target) key() client.ObjectKey {
	return client.ObjectKey{Namespace: t.env.Namespace, Name: t.name}
}

func (t *Target) deployment(ctx context.Context) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	err := t.env.Client.Get(ctx, t.key(), d)
	if missing(err) {
		return nil, fmt.Errorf("look at Deployment %s: %w", t.key(), ErrMissing)
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

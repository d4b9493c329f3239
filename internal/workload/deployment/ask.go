package deployment

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/workload"
)

// Revert has the Deployment ask for what serves, as kubectl rollout undo would,
// which refuses to on a held Deployment. It is for people, with their own
// rights; who keeps the manifest elsewhere puts it back there too. It returns
// what is asked for from now on.
func (t *Target) Revert(ctx context.Context) (serinv1.Revision, error) {
	var back serinv1.Revision
	err := t.mutate(ctx, "revert", func(d *appsv1.Deployment) ([]kube.Op, error) {
		sets, err := t.sets(ctx, d)
		if err != nil {
			return nil, err
		}
		s, err := Judge(d, sets)
		if err != nil {
			return nil, err
		}
		if back = s.Stable; !s.Changed() {
			return nil, nil
		}
		template, err := t.template(ctx, s.Stable.ReplicaSet)
		if err != nil {
			return nil, err
		}
		return []kube.Op{{Op: "replace", Path: "/spec/template", Value: template}}, nil
	})
	return back, err
}

// template reads a ReplicaSet's template as it is stored, with fields that this
// program does not know.
func (t *Target) template(ctx context.Context, set string) (map[string]any, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	var reader client.Reader = t.env.Client
	if t.env.Live != nil {
		reader = t.env.Live
	}
	if err := reader.Get(ctx, client.ObjectKey{Namespace: t.env.Namespace, Name: set}, u); err != nil {
		return nil, fmt.Errorf("read the template of ReplicaSet %s/%s: %w", t.env.Namespace, set, err)
	}
	template, found, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil || !found {
		return nil, fmt.Errorf("read the template of ReplicaSet %s/%s: %w", t.env.Namespace, set, errors.Join(err, workload.ErrRefused))
	}
	unstructured.RemoveNestedField(template, "metadata", "labels", serinv1.HashLabel)
	return template, nil
}

// restartedAt is the annotation that kubectl rollout restart writes.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// Restart has the Deployment ask for new pods of the version that serves, as
// kubectl rollout restart would, which refuses to on a held Deployment. They are
// released like any version, so that none serves untested: what asks for them also
// holds them, where no policy does and Serin has not yet. It wraps
// workload.ErrRefused when the Deployment asks for another version, which would
// otherwise be restarted in place of the one that serves, and when somebody else
// has paused it.
func (t *Target) Restart(ctx context.Context) error {
	now := t.env.now().UTC().Format(time.RFC3339)
	return t.mutate(ctx, "restart", func(d *appsv1.Deployment) ([]kube.Op, error) {
		annotations := d.Spec.Template.Annotations
		sets, err := t.sets(ctx, d)
		if err != nil {
			return nil, err
		}
		switch s, err := Judge(d, sets); {
		case err != nil:
			return nil, err
		case s.Changed():
			return nil, fmt.Errorf("%w: it asks for %s, and %s serves", workload.ErrRefused, s.Canary.Version, s.Stable.Version)
		case s.PausedBy != "":
			return nil, fmt.Errorf("%w: it is paused by %s", workload.ErrRefused, s.PausedBy)
		case annotations == nil:
			return append(kube.Hold(d), kube.Op{Op: "add", Path: "/spec/template/metadata/annotations", Value: map[string]string{restartedAt: now}}), nil
		}
		return append(kube.Hold(d), kube.Op{Op: "add", Path: kube.Pointer("spec", "template", "metadata", "annotations", restartedAt), Value: now}), nil
	})
}

package arms

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

// Services are targets that are two Services: one reaches the stable group, the
// other the canary's. Of a Service that exists only the pod-template-hash in
// its selector is managed; one that is missing is made after Origin.
type Services struct {
	Client    client.Client
	Live      client.Reader
	Namespace string
	// Stable and Canary are the Services' names, Origin that of the Service
	// which users reached before there were two.
	Stable, Canary, Origin string
	// Baseline is the name of the baseline's Service. It is made only where there
	// is to be one (Compares).
	Baseline string
	Compares bool
}

// Name is the Service of an arm.
func (s Services) Name(arm rollout.Arm) string {
	switch arm {
	case rollout.Canary:
		return s.Canary
	case rollout.Baseline:
		return s.Baseline
	}
	return s.Stable
}

// HeldBaseline implements Targets.
func (s Services) HeldBaseline(ctx context.Context) (string, error) {
	if !s.Compares {
		return "", nil
	}
	service, err := s.get(ctx, s.Baseline)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	return service.Spec.Selector[serinv1.HashLabel], failed(fmt.Sprintf("read Service %s/%s", s.Namespace, s.Baseline), err)
}

// Held implements Targets.
func (s Services) Held(ctx context.Context) (stable, canary string, err error) {
	var held [2]string
	for i, arm := range []rollout.Arm{rollout.Stable, rollout.Canary} {
		service, err := s.get(ctx, s.Name(arm))
		switch {
		case apierrors.IsNotFound(err): // held to nothing; Hold makes it
		case err != nil:
			return "", "", failed(fmt.Sprintf("read Service %s/%s", s.Namespace, s.Name(arm)), err)
		default:
			held[i] = service.Spec.Selector[serinv1.HashLabel]
		}
	}
	return held[0], held[1], nil
}

// Hold implements Targets.
func (s Services) Hold(ctx context.Context, arm rollout.Arm, group string) error {
	service := s.named(s.Name(arm))
	err := kube.Mutate(ctx, s.Client, s.Live, service, func() ([]kube.Op, error) {
		return Selector(service, group)
	})
	if apierrors.IsNotFound(err) && group != "" {
		err = s.create(ctx, s.Name(arm), group)
	}
	return failed(fmt.Sprintf("hold Service %s/%s to %s", s.Namespace, s.Name(arm), named(group)), err)
}

// Selector returns what changes a Service's selector to a group.
func Selector(service *corev1.Service, group string) ([]kube.Op, error) {
	path := kube.Pointer("spec", "selector", serinv1.HashLabel)
	switch now, has := service.Spec.Selector[serinv1.HashLabel]; {
	case len(WithoutHash(service.Spec.Selector)) == 0:
		return nil, Refuse("Service %s/%s selects no pods by a label of theirs; give it the selector of the Deployment", service.Namespace, service.Name)
	case group == "" && has:
		return []kube.Op{{Op: "remove", Path: path}}, nil
	case group != "" && now != group:
		return []kube.Op{{Op: "add", Path: path, Value: group}}, nil
	}
	return nil, nil
}

// Reach implements Targets.
func (s Services) Reach(ctx context.Context, arm rollout.Arm) (map[string]int, error) {
	service, err := s.get(ctx, s.Name(arm))
	if err != nil {
		return nil, failed(fmt.Sprintf("read Service %s/%s", s.Namespace, s.Name(arm)), err)
	}
	return Reach(ctx, s.Client, service)
}

// Prepare implements Targets.
func (s Services) Prepare(ctx context.Context, baseline bool) error {
	var errs []error
	names := []string{s.Stable, s.Canary}
	if s.Compares || baseline {
		names = append(names, s.Baseline)
	}
	for _, name := range names {
		_, err := s.get(ctx, name)
		if apierrors.IsNotFound(err) {
			err = s.create(ctx, name, "")
		}
		if apierrors.IsAlreadyExists(err) {
			err = nil // the cache had not heard of it
		}
		errs = append(errs, failed(fmt.Sprintf("prepare Service %s/%s", s.Namespace, name), err))
	}
	return errors.Join(errs...)
}

// create makes an arm's Service after the origin. It outlives the rollout: the
// user's route names it.
func (s Services) create(ctx context.Context, name, group string) error {
	origin, err := s.get(ctx, s.Origin)
	if apierrors.IsNotFound(err) && name == s.Baseline {
		origin, err = s.get(ctx, s.Stable)
	}
	if apierrors.IsNotFound(err) {
		return Refuse("Service %s/%s does not exist, and neither does %s, after which Serin would make it. Name the Service that selects the Deployment's pods in the field service, or create %s and %s",
			s.Namespace, name, s.Origin, s.Stable, s.Canary)
	}
	if err != nil {
		return fmt.Errorf("read Service %s/%s: %w", s.Namespace, s.Origin, err)
	}
	selector := WithoutHash(origin.Spec.Selector)
	if len(selector) == 0 {
		return Refuse("Service %s/%s has no selector, so no Service for an arm can be made after it; create %s and %s with the Deployment's", s.Namespace, s.Origin, s.Stable, s.Canary)
	}
	if group != "" {
		selector[serinv1.HashLabel] = group
	}
	made := s.named(name)
	made.Labels = map[string]string{kube.ManagedLabel: serinv1.FieldManager}
	made.Spec = corev1.ServiceSpec{
		Selector: selector, SessionAffinity: origin.Spec.SessionAffinity, SessionAffinityConfig: origin.Spec.SessionAffinityConfig,
		PublishNotReadyAddresses: origin.Spec.PublishNotReadyAddresses,
		InternalTrafficPolicy:    origin.Spec.InternalTrafficPolicy, TrafficDistribution: origin.Spec.TrafficDistribution,
	}
	if origin.Spec.ClusterIP == corev1.ClusterIPNone {
		made.Spec.ClusterIP = corev1.ClusterIPNone
	}
	for _, p := range origin.Spec.Ports {
		p.NodePort = 0
		made.Spec.Ports = append(made.Spec.Ports, p)
	}
	return s.Client.Create(ctx, made, client.FieldOwner(serinv1.FieldManager))
}

func (s Services) named(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name}}
}

func (s Services) get(ctx context.Context, name string) (*corev1.Service, error) {
	service := s.named(name)
	return service, s.Client.Get(ctx, client.ObjectKeyFromObject(service), service)
}

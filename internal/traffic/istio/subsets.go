package istio

import (
	"context"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/rollout"
)

// subsets are targets that are two subsets of a DestinationRule, held to their
// groups by a label.
type subsets struct {
	client          client.Client
	live            client.Reader
	namespace, rule string
	names           Subsets

	kind schema.GroupVersionKind
	// service is the host as last read.
	service client.ObjectKey
}

func (s *subsets) name(arm rollout.Arm) string {
	if arm == rollout.Canary {
		return s.names.Canary
	}
	return s.names.Stable
}

// Held implements arms.Targets.
func (s *subsets) Held(ctx context.Context) (stable, canary string, err error) {
	u, err := s.read(ctx)
	if err != nil {
		return "", "", err
	}
	var held [2]string
	for i, arm := range []rollout.Arm{rollout.Stable, rollout.Canary} {
		_, subset, err := s.find(u, arm)
		if err != nil {
			return "", "", err
		}
		held[i], _, _ = unstructured.NestedString(subset, "labels", serinv1.HashLabel)
	}
	return held[0], held[1], nil
}

// HeldBaseline implements arms.Targets: subsets have none.
func (s *subsets) HeldBaseline(context.Context) (string, error) { return "", nil }

// Hold implements arms.Targets.
func (s *subsets) Hold(ctx context.Context, arm rollout.Arm, group string) error {
	u, err := s.empty()
	if err != nil {
		return err
	}
	err = kube.Mutate(ctx, s.client, s.live, u, func() ([]kube.Op, error) {
		i, subset, err := s.find(u, arm)
		if err != nil {
			return nil, err
		}
		labels, has := subset["labels"].(map[string]any)
		path := []string{"spec", "subsets", strconv.Itoa(i), "labels"}
		now, held := labels[serinv1.HashLabel]
		switch {
		case group == "" && held:
			return []kube.Op{{Op: "remove", Path: kube.Pointer(append(path, serinv1.HashLabel)...)}}, nil
		case group == "" || now == group:
			return nil, nil
		case !has:
			return []kube.Op{{Op: "add", Path: kube.Pointer(path...), Value: map[string]string{serinv1.HashLabel: group}}}, nil
		}
		return []kube.Op{{Op: "add", Path: kube.Pointer(append(path, serinv1.HashLabel)...), Value: group}}, nil
	})
	return s.failed(fmt.Sprintf("hold subset %s to pod-template-hash %q in", s.name(arm), group), err)
}

// Reach implements arms.Targets: the subset of the host's endpoints that has
// the arm's hash. Whether the proxies have heard of a change of the subset is
// not told by any object.
func (s *subsets) Reach(ctx context.Context, arm rollout.Arm) (map[string]int, error) {
	stable, canary, err := s.Held(ctx)
	if err != nil {
		return nil, err
	}
	service, err := s.host(ctx)
	if err != nil {
		return nil, err
	}
	all, err := arms.Reach(ctx, s.client, service)
	if err != nil {
		return nil, err
	}
	group := stable
	if arm == rollout.Canary {
		group = canary
	}
	if group == "" {
		return all, nil
	}
	return map[string]int{group: all[group]}, nil
}

// Prepare implements arms.Targets. A DestinationRule is the user's: nothing is
// made.
func (s *subsets) Prepare(ctx context.Context, _ bool) error {
	_, _, errHeld := s.Held(ctx)
	if errHeld != nil {
		return errHeld
	}
	_, err := s.host(ctx)
	return err
}

// host is the Service whose endpoints the subsets divide.
func (s *subsets) host(ctx context.Context) (*corev1.Service, error) {
	if _, err := s.read(ctx); err != nil {
		return nil, err
	}
	service := &corev1.Service{}
	err := s.client.Get(ctx, s.service, service)
	if apierrors.IsNotFound(err) {
		return nil, arms.Refuse("%s: its host, Service %s, does not exist", s, s.service)
	}
	if err != nil {
		return nil, fmt.Errorf("read Service %s: %w", s.service, err)
	}
	return service, nil
}

func (s *subsets) String() string { return "DestinationRule " + s.namespace + "/" + s.rule }

func (s *subsets) empty() (*unstructured.Unstructured, error) {
	if s.kind.Empty() {
		kind, err := arms.Served(s.client, schema.GroupKind{Group: group, Kind: "DestinationRule"}, versions, missing)
		if err != nil {
			return nil, err
		}
		s.kind = kind
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(s.kind)
	u.SetNamespace(s.namespace)
	u.SetName(s.rule)
	return u, nil
}

func (s *subsets) read(ctx context.Context) (*unstructured.Unstructured, error) {
	u, err := s.empty()
	if err != nil {
		return nil, err
	}
	if err := s.client.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
		return nil, s.failed("read", err)
	}
	host, _, _ := unstructured.NestedString(u.Object, "spec", "host")
	name, namespace, ok := resolve(host, s.namespace)
	if !ok {
		return nil, arms.Refuse("%s: spec.host %q is not a Service of this cluster; write its short name, or name.namespace.svc.cluster.local", s, host)
	}
	s.service = client.ObjectKey{Namespace: namespace, Name: name}
	return u, nil
}

// find returns an arm's subset with its place.
func (s *subsets) find(u *unstructured.Unstructured, arm rollout.Arm) (int, map[string]any, error) {
	list, _, err := unstructured.NestedSlice(u.Object, "spec", "subsets")
	if err != nil {
		return 0, nil, arms.Refuse("%s: spec.subsets is not a list: %w", s, err)
	}
	for i, subset := range list {
		if subset, ok := subset.(map[string]any); ok && subset["name"] == s.name(arm) {
			return i, subset, nil
		}
	}
	return 0, nil, arms.Refuse("%s has no subset named %s; add it, with the labels of the Deployment's pods, or name another in spec.traffic.istio.subsets", s, s.name(arm))
}

func (s *subsets) failed(doing string, err error) error { return arms.Failed(err, doing, s.String()) }

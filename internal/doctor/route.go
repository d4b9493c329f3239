package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
)

// traffic looks at the route and the Services behind it.
func (c *cluster) traffic(ctx context.Context, r rollout.Rollout) {
	n := namesIn(r.Spec.Traffic)
	stable, canary := arms(r)
	var kind schema.GroupKind
	var name string
	switch {
	case n.HTTPRoute != "":
		kind, name = schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}, n.HTTPRoute
	case n.GRPCRoute != "":
		kind, name = schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"}, n.GRPCRoute
	case n.VirtualService != "":
		kind, name = schema.GroupKind{Group: "networking.istio.io", Kind: "VirtualService"}, n.VirtualService
	default:
		c.plainService(ctx, r, cmp.Or(n.Name, r.Metadata.Name))
		return
	}
	namespace := cmp.Or(n.Namespace, r.Metadata.Namespace)
	there := c.route(ctx, kind, namespace, name)
	if n.DestinationRule != "" {
		there = c.route(ctx, schema.GroupKind{Group: "networking.istio.io", Kind: "DestinationRule"}, namespace, n.DestinationRule) && there
	} else {
		services := []string{stable, canary}
		if r.Spec.Plan.Baseline {
			services = append(services, cmp.Or(n.BaselineService, kube.BaselineService(r.Metadata.Name)))
		}
		c.services(ctx, r, services...)
	}
	if c.refusals(ctx, r, there, kind.Kind, namespace, name) {
		c.asides(ctx, r)
	}
}

// plainService looks at the Service by whose pods the traffic is split.
func (c *cluster) plainService(ctx context.Context, r rollout.Rollout, name string) {
	var s corev1.Service
	if c.refusals(ctx, r, true, "Service", r.Metadata.Namespace, name) && c.Client.Get(ctx, client.ObjectKey{Namespace: r.Metadata.Namespace, Name: name}, &s) == nil {
		c.reaches(ctx, s, true)
	}
}

// refusals says what would keep a run from beginning, as the controller would. A
// route that is not there was told of by the looks before.
func (c *cluster) refusals(ctx context.Context, r rollout.Rollout, there bool, kind, namespace, name string) (usable bool) {
	const check = "route"
	if c.Refusals == nil {
		return there
	}
	problems, err := c.Refusals(ctx, r)
	for _, p := range problems {
		c.add(Missing, "plan", p.Mend, "%s %s", p.Field, p.Message)
	}
	switch {
	case !there:
		return false
	case apierrors.IsForbidden(err):
		c.add(Unknown, check, "let an administrator run `serin doctor`", "%v", err)
		return false
	case err != nil:
		// What is to be written stands below the first line.
		message, write, lines := strings.Cut(strings.TrimPrefix(err.Error(), traffic.ErrRefused.Error()+": "), "\n")
		mend := fmt.Sprintf("see `kubectl describe %s %s -n %s`", strings.ToLower(kind), name, namespace)
		if lines {
			message, mend = strings.TrimSuffix(message, ":"), "this:\n"+write
		}
		c.add(Missing, check, mend, "%s", message)
		return false
	}
	c.ok(check, "%s %s can split between the arms", kind, name)
	return true
}

// asides says which requests the route sends past the split.
func (c *cluster) asides(ctx context.Context, r rollout.Rollout) {
	const check = "beside the split"
	if c.Asides == nil {
		return
	}
	all, err := c.Asides(ctx, r)
	if err != nil {
		c.add(Unknown, check, "", "which requests go to a version whatever the weight is not known: %v", err)
	}
	for _, a := range all {
		if a.Arm == rollout.Canary && a.Open && !a.Copies {
			c.add(Warning, check, "let the rule ask for a header that testers send, or name both versions in it so that it gets the weights", "%s: also the requests of users, and when the canary is gone nobody answers them", a)
			continue
		}
		c.ok(check, "%s; they count in its figures", a)
	}
}

// route says where a route is missing.
func (c *cluster) route(ctx context.Context, kind schema.GroupKind, namespace, name string) (there bool) {
	const check = "route"
	mapping, err := c.Client.RESTMapper().RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		of := "the Gateway API"
		if kind.Group == "networking.istio.io" {
			of = "Istio"
		}
		c.add(Missing, check, "install "+of+", or use another kind of route", "the API server does not know %s: %s is not installed", kind.Kind, of)
		return false
	}
	if err != nil {
		c.add(Unknown, check, "", "ask for the kind %s: %v", kind.Kind, err)
		return false
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(mapping.GroupVersionKind)
	switch err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj); {
	case apierrors.IsNotFound(err):
		c.add(Missing, check, "create it, or correct spec.traffic", "there is no %s %s in %s", kind.Kind, name, namespace)
		return false
	case err != nil:
		c.add(Unknown, check, "", "read the %s %s: %v", kind.Kind, name, err)
		return false
	}
	return true
}

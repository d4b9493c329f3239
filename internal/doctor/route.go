package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
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
		if n.Name != "" {
			c.services(ctx, r, n.Name)
		}
		return
	}
	namespace := n.Namespace
	if namespace == "" {
		namespace = r.Metadata.Namespace
	}
	route := c.route(ctx, kind, namespace, name)
	if n.DestinationRule != "" {
		if c.route(ctx, schema.GroupKind{Group: "networking.istio.io", Kind: "DestinationRule"}, namespace, n.DestinationRule) != nil {
			c.ok("route", "DestinationRule %s is there", n.DestinationRule)
		}
	} else {
		c.services(ctx, r, stable, canary)
	}
	if route == nil {
		return
	}
	if n.DestinationRule == "" {
		c.namesBoth(route, stable, canary)
		if r.Spec.Plan.Baseline {
			c.namesBaseline(route, cmp.Or(n.BaselineService, kube.BaselineService(r.Metadata.Name)))
		}
	}
	if strings.HasSuffix(kind.Group, "k8s.io") {
		c.accepted(route)
	}
	c.asides(ctx, r)
}

// asides says which requests the route sends past the split. A route that cannot
// be used was told of by the looks before.
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

// route reads a route; nil when it is not there, which is said.
func (c *cluster) route(ctx context.Context, kind schema.GroupKind, namespace, name string) *unstructured.Unstructured {
	const check = "route"
	mapping, err := c.Client.RESTMapper().RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		of := "the Gateway API"
		if kind.Group == "networking.istio.io" {
			of = "Istio"
		}
		c.add(Missing, check, "install "+of+", or use another kind of route", "the API server does not know %s: %s is not installed", kind.Kind, of)
		return nil
	}
	if err != nil {
		c.add(Unknown, check, "", "ask for the kind %s: %v", kind.Kind, err)
		return nil
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(mapping.GroupVersionKind)
	switch err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj); {
	case apierrors.IsNotFound(err):
		c.add(Missing, check, "create it, or correct spec.traffic", "there is no %s %s in %s", kind.Kind, name, namespace)
		return nil
	case err != nil:
		c.add(Unknown, check, "", "read the %s %s: %v", kind.Kind, name, err)
		return nil
	}
	return obj
}

// namesBoth looks for the Services of both arms among a route's destinations.
func (c *cluster) namesBoth(route *unstructured.Unstructured, stable, canary string) {
	hosts := map[string]bool{}
	destinations(route.Object["spec"], hosts)
	var missing []string
	for _, name := range []string{stable, canary} {
		if !hosts[name] {
			missing = append(missing, name)
		}
	}
	title := fmt.Sprintf("%s %s", route.GetKind(), route.GetName())
	if len(missing) > 0 {
		c.add(Missing, "route", fmt.Sprintf("let a rule send to %s with weight 100 and to %s with weight 0", stable, canary), "%s sends nothing to %s", title, strings.Join(missing, " and "))
		return
	}
	c.ok("route", "%s names both arms", title)
}

// namesBaseline looks for the baseline's Service among a route's destinations.
func (c *cluster) namesBaseline(route *unstructured.Unstructured, name string) {
	hosts := map[string]bool{}
	destinations(route.Object["spec"], hosts)
	title := fmt.Sprintf("%s %s", route.GetKind(), route.GetName())
	if !hosts[name] {
		c.add(Missing, "route", fmt.Sprintf("let the rule that sends to both arms send to %s as well, with weight 0, or take baseline: true out of spec.plan", name),
			"%s sends nothing to %s, and the plan has a baseline", title, name)
		return
	}
	c.ok("route", "%s names the baseline", title)
}

// destinations collects the Services that a route sends to, wherever they
// stand: Istio's destination.host, the Gateway API's backendRefs.
func destinations(v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if d, ok := v["destination"].(map[string]any); ok {
			if host, ok := d["host"].(string); ok {
				short, _, _ := strings.Cut(host, ".")
				into[short] = true
			}
		}
		if refs, ok := v["backendRefs"].([]any); ok {
			for _, ref := range refs {
				if m, ok := ref.(map[string]any); ok {
					if name, ok := m["name"].(string); ok {
						into[name] = true
					}
				}
			}
		}
		for _, e := range v {
			destinations(e, into)
		}
	case []any:
		for _, e := range v {
			destinations(e, into)
		}
	}
}

// accepted looks at what the gateways say of a route.
func (c *cluster) accepted(route *unstructured.Unstructured) {
	const check = "route"
	parents, _, _ := unstructured.NestedSlice(route.Object, "status", "parents")
	if len(parents) == 0 {
		c.add(Missing, check, "see that its parentRefs name a Gateway, and that the Gateway's controller runs", "no gateway has taken %s %s", route.GetKind(), route.GetName())
		return
	}
	for _, p := range parents {
		parent, _ := p.(map[string]any)
		gateway, _, _ := unstructured.NestedString(parent, "parentRef", "name")
		conditions, _, _ := unstructured.NestedSlice(parent, "conditions")
		bad := 0
		for _, e := range conditions {
			cond, _ := e.(map[string]any)
			kind, status := cond["type"], cond["status"]
			if (kind == "Accepted" || kind == "ResolvedRefs") && status != "True" {
				bad++
				c.add(Missing, check, "mend what the gateway says", "the gateway %s says %s is %v of %s: %v", gateway, kind, status, route.GetName(), cond["message"])
			}
		}
		if bad == 0 {
			c.ok(check, "the gateway %s accepts %s", gateway, route.GetName())
		}
	}
}

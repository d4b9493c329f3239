package gatewayapi

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/traffic/weighted"
)

// group is the Gateway API's.
const group = "gateway.networking.k8s.io"

// New returns the router of one rollout. It asks the cluster for nothing yet.
func New(c Config, env kube.Env) (*weighted.Router, error) {
	if ps := c.Validate(); len(ps) > 0 {
		return nil, fmt.Errorf("traffic.gatewayAPI %s: %s; %s", ps[0].Field, ps[0].Message, ps[0].Mend)
	}
	k := kube.Fresh(env.Client, env.Live)
	services := arms.Services{
		Client: k, Live: env.Live, Namespace: env.Namespace,
		Stable:   cmp.Or(c.StableService, kube.StableService(env.Rollout)),
		Canary:   cmp.Or(c.CanaryService, kube.CanaryService(env.Rollout)),
		Origin:   cmp.Or(c.Service, env.Rollout),
		Baseline: cmp.Or(c.BaselineService, kube.BaselineService(env.Rollout)), Compares: env.Baseline,
	}
	rules := rules{services: services, namespace: cmp.Or(c.Namespace, env.Namespace)}
	object := &arms.Object{
		Client: k, Live: env.Live,
		Kind: schema.GroupKind{Group: group, Kind: "HTTPRoute"}, Versions: []string{"v1"},
		Namespace: rules.namespace, Name: c.HTTPRoute,
		Missing: "install the Gateway API and a gateway that implements it",
		Pairs:   rules.pairs, Asides: rules.asides, Trouble: trouble,
		Compares: services.Compares,
		Lacking:  fmt.Sprintf("add {name: %s, port: …, weight: 0} to its backendRefs", services.Baseline),
	}
	if c.GRPCRoute != "" {
		object.Kind.Kind, object.Name = "GRPCRoute", c.GRPCRoute
	}
	if rules.namespace != env.Namespace {
		grant := grant{client: k, from: rules.namespace, kind: object.Kind.Kind, services: services}
		object.Permitted = grant.given
	}
	return weighted.New(object, services, env.Logger), nil
}

package gatewayapi

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/traffic"
)

// group is the Gateway API's.
const group = "gateway.networking.k8s.io"

// Router is a route of the Gateway API.
type Router struct{ arms *arms.Router }

// New returns the router of one rollout. It asks the cluster for nothing yet.
func New(c Config, env kube.Env) (*Router, error) {
	if ps := c.Validate(); len(ps) > 0 {
		return nil, fmt.Errorf("traffic.gatewayAPI %s: %s; %s", ps[0].Field, ps[0].Message, ps[0].Mend)
	}
	k := kube.Fresh(env.Client, env.Live)
	services := arms.Services{
		Client: k, Live: env.Live, Namespace: env.Namespace,
		Stable: or(c.StableService, kube.StableService(env.Rollout)),
		Canary: or(c.CanaryService, kube.CanaryService(env.Rollout)),
		Origin: or(c.Service, env.Rollout),
	}
	rules := rules{services: services, namespace: or(c.Namespace, env.Namespace)}
	object := &arms.Object{
		Client: k, Live: env.Live,
		Kind: schema.GroupKind{Group: group, Kind: "HTTPRoute"}, Versions: []string{"v1"},
		Namespace: rules.namespace, Name: c.HTTPRoute,
		Missing: "install the Gateway API and a gateway that implements it",
		Pairs:   rules.pairs, Trouble: trouble,
	}
	if c.GRPCRoute != "" {
		object.Kind.Kind, object.Name = "GRPCRoute", c.GRPCRoute
	}
	if rules.namespace != env.Namespace {
		grant := grant{client: k, from: rules.namespace, kind: object.Kind.Kind, services: services}
		object.Permitted = grant.given
	}
	return &Router{arms: arms.New(object, services, env.Logger)}, nil
}

// Apply implements traffic.Router.
func (r *Router) Apply(ctx context.Context, s traffic.Split) error {
	return refused(r.arms.Apply(ctx, arms.Split{Weight: s.Weight, Stable: s.StableID, Canary: s.CanaryID, Promoted: s.Promoted}))
}

// Observe implements traffic.Router.
func (r *Router) Observe(ctx context.Context) (traffic.Observed, error) {
	o, err := r.arms.Observe(ctx)
	return traffic.Observed{
		Known: o.Known, Weight: o.Weight, InEffect: o.InEffect, Promoted: o.Promoted, ChangedBy: o.ChangedBy,
		Revision: o.Revision, CanaryInflight: -1, DrainingInflight: -1,
	}, refused(err)
}

// Rest implements traffic.Rester.
func (r *Router) Rest(ctx context.Context) error { return refused(r.arms.Rest(ctx)) }

// Prepare implements traffic.Preparer.
func (r *Router) Prepare(ctx context.Context) error { return refused(r.arms.Prepare(ctx)) }

// refused makes a refusal the port's.
func refused(err error) error {
	if arms.Refused(err) {
		return fmt.Errorf("%w: %w", traffic.ErrRefused, err)
	}
	return err
}

func or(value, byDefault string) string {
	if value != "" {
		return value
	}
	return byDefault
}

var _ interface {
	traffic.Router
	traffic.Rester
	traffic.Preparer
} = (*Router)(nil)

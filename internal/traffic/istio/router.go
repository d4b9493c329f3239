package istio

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/traffic"
)

// group is Istio's for traffic, in the versions that Serin reads: in both the
// objects are the same.
const group = "networking.istio.io"

var versions = []string{"v1", "v1beta1"}

const missing = "install Istio, or choose another traffic adapter"

// Router is a VirtualService.
type Router struct{ arms *arms.Router }

// New returns the router of one rollout. It asks the cluster for nothing yet.
func New(c Config, env kube.Env) (*Router, error) {
	if ps := c.Validate(); len(ps) > 0 {
		return nil, fmt.Errorf("traffic.istio %s: %s; %s", ps[0].Field, ps[0].Message, ps[0].Mend)
	}
	k := kube.Fresh(env.Client, env.Live)
	services := arms.Services{
		Client: k, Live: env.Live, Namespace: env.Namespace,
		Stable: or(c.StableService, kube.StableService(env.Rollout)),
		Canary: or(c.CanaryService, kube.CanaryService(env.Rollout)),
		Origin: or(c.Service, env.Rollout),
	}
	namespace := or(c.Namespace, env.Namespace)
	find := routes{
		namespace: namespace, only: c.Routes,
		stable: destination{service: services.Stable, namespace: env.Namespace},
		canary: destination{service: services.Canary, namespace: env.Namespace},
	}
	var targets arms.Targets = services
	if c.DestinationRule != "" {
		s := &subsets{client: k, live: env.Live, namespace: namespace, rule: c.DestinationRule, names: c.Subsets}
		targets = s
		find.stable, find.canary = destination{subset: c.Subsets.Stable}, destination{subset: c.Subsets.Canary}
		find.host = func() (string, string) { return s.service.Name, s.service.Namespace }
	}
	route := &arms.Object{
		Client: k, Live: env.Live,
		Kind: schema.GroupKind{Group: group, Kind: "VirtualService"}, Versions: versions,
		Namespace: namespace, Name: c.VirtualService,
		Missing: missing, Pairs: find.pairs,
	}
	return &Router{arms: arms.New(route, targets, env.Logger)}, nil
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

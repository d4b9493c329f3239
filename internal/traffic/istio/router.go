package istio

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/traffic/weighted"
)

// group is Istio's for traffic, in the versions that Serin reads: in both the
// objects are the same.
const group = "networking.istio.io"

var versions = []string{"v1", "v1beta1"}

const missing = "install Istio, or choose another traffic adapter"

// New returns the router of one rollout. It asks the cluster for nothing yet.
func New(c Config, env kube.Env) (*weighted.Router, error) {
	if ps := c.Validate(); len(ps) > 0 {
		return nil, fmt.Errorf("traffic.istio %s: %s; %s", ps[0].Field, ps[0].Message, ps[0].Mend)
	}
	k := kube.Fresh(env.Client, env.Live)
	services := arms.Services{
		Client: k, Live: env.Live, Namespace: env.Namespace,
		Stable:   cmp.Or(c.StableService, kube.StableService(env.Rollout)),
		Canary:   cmp.Or(c.CanaryService, kube.CanaryService(env.Rollout)),
		Origin:   cmp.Or(c.Service, env.Rollout),
		Baseline: cmp.Or(c.BaselineService, kube.BaselineService(env.Rollout)), Compares: env.Baseline,
	}
	namespace := cmp.Or(c.Namespace, env.Namespace)
	find := routes{
		namespace: namespace, only: c.Routes,
		stable:   destination{service: services.Stable, namespace: env.Namespace},
		canary:   destination{service: services.Canary, namespace: env.Namespace},
		baseline: destination{service: services.Baseline, namespace: env.Namespace}, compares: services.Compares,
	}
	var targets arms.Targets = services
	if c.DestinationRule != "" {
		s := &subsets{client: k, live: env.Live, namespace: namespace, rule: c.DestinationRule, names: c.Subsets}
		targets = s
		find.stable, find.canary = destination{subset: c.Subsets.Stable}, destination{subset: c.Subsets.Canary}
		find.baseline, find.compares = destination{}, false
		find.host = func() (string, string) { return s.service.Name, s.service.Namespace }
	}
	route := &arms.Object{
		Client: k, Live: env.Live,
		Kind: schema.GroupKind{Group: group, Kind: "VirtualService"}, Versions: versions,
		Namespace: namespace, Name: c.VirtualService,
		Missing: missing, Pairs: find.pairs, Asides: find.asides,
		Compares: find.compares,
		Lacking:  fmt.Sprintf("add a destination with host %s and weight 0", services.Baseline),
	}
	return weighted.New(route, targets, env.Logger), nil
}

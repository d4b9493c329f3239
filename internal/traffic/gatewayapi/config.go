package gatewayapi

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"

	"serin.dev/serin/internal/rollout"
)

// Config is what a rollout says under traffic.gatewayAPI: a route of the
// Gateway API whose rules name two Services, one an arm, with weights.
type Config struct {
	// HTTPRoute is the name of the HTTPRoute; this or grpcRoute is written.
	HTTPRoute string `json:"httpRoute,omitempty"`
	// GRPCRoute is the name of the GRPCRoute.
	GRPCRoute string `json:"grpcRoute,omitempty"`
	// Namespace is where the route is; default: where the rollout is. Another
	// one needs a ReferenceGrant for the two Services.
	Namespace string `json:"namespace,omitempty"`
	// StableService reaches the version that serves; default: the rollout's
	// name and -stable.
	StableService string `json:"stableService,omitempty"`
	// CanaryService reaches the candidate; default: the rollout's name and
	// -canary.
	CanaryService string `json:"canaryService,omitempty"`
	// BaselineService reaches the baseline, in a plan with one; default: the
	// rollout's name and -baseline.
	BaselineService string `json:"baselineService,omitempty"`
	// Service is the Service after which the two are made when they are
	// missing; default: the rollout's name.
	Service string `json:"service,omitempty"`
}

// NewConfig returns a pointer to a configuration with its defaults set, for
// the catalog.
func NewConfig() any { return &Config{} }

// Validate implements rollout.Validator.
func (c *Config) Validate() []rollout.Problem {
	var ps []rollout.Problem
	add := func(field, message, mend string) {
		ps = append(ps, rollout.Problem{Field: field, Message: message, Mend: mend})
	}
	switch {
	case c.HTTPRoute == "" && c.GRPCRoute == "":
		add("", "names no route", "write gatewayAPI: {httpRoute: shop}")
	case c.HTTPRoute != "" && c.GRPCRoute != "":
		add("grpcRoute", "stands beside httpRoute", "keep one; a rollout moves one route")
	}
	for _, f := range []struct{ field, value string }{{"httpRoute", c.HTTPRoute}, {"grpcRoute", c.GRPCRoute}} {
		if f.value != "" && len(validation.IsDNS1123Subdomain(f.value)) > 0 {
			add(f.field, fmt.Sprintf("%q is not an object's name", f.value), "write the name that kubectl get shows")
		}
	}
	for _, f := range []struct{ field, value string }{
		{"namespace", c.Namespace}, {"stableService", c.StableService}, {"canaryService", c.CanaryService}, {"baselineService", c.BaselineService}, {"service", c.Service},
	} {
		if f.value != "" && len(validation.IsDNS1123Label(f.value)) > 0 {
			add(f.field, fmt.Sprintf("%q is not an object's name", f.value), "write up to 63 lower-case letters, digits and hyphens")
		}
	}
	if c.StableService != "" && c.StableService == c.CanaryService {
		add("canaryService", "is the stable arm's Service", "name two Services; the weights are between them")
	}
	if c.BaselineService != "" && (c.BaselineService == c.StableService || c.BaselineService == c.CanaryService) {
		add("baselineService", "is an arm's Service", "name a Service of its own; Serin makes it when it is missing")
	}
	return ps
}

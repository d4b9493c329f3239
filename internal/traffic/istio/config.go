package istio

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"

	"serin.dev/serin/internal/rollout"
)

// Config is what a rollout says under traffic.istio: a VirtualService whose
// routes name both arms, as two Services or as two subsets of one.
type Config struct {
	// VirtualService is the name of the VirtualService.
	VirtualService string `json:"virtualService" jsonschema:"required,example=shop"`
	// Namespace is where the VirtualService and the DestinationRule are;
	// default: where the rollout is.
	Namespace string `json:"namespace,omitempty"`
	// Routes limits the rollout to the HTTP routes of these names; default:
	// every route, also of TLS and TCP, that names both arms.
	Routes []string `json:"routes,omitempty"`
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
	// DestinationRule is the name of a DestinationRule whose subsets are the
	// arms, in the place of two Services.
	DestinationRule string `json:"destinationRule,omitempty"`
	// Subsets are the names of the arms' subsets.
	Subsets Subsets `json:"subsets"`
}

// Subsets names two subsets of a DestinationRule.
type Subsets struct {
	// Stable reaches the version that serves.
	Stable string `json:"stable"`
	// Canary reaches the candidate.
	Canary string `json:"canary"`
}

// NewConfig returns a pointer to a configuration with its defaults set, for
// the catalog.
func NewConfig() any { return &Config{Subsets: Subsets{Stable: "stable", Canary: "canary"}} }

// Validate implements rollout.Validator.
func (c *Config) Validate() []rollout.Problem {
	var ps []rollout.Problem
	add := func(field, message, mend string) {
		ps = append(ps, rollout.Problem{Field: field, Message: message, Mend: mend})
	}
	if c.VirtualService == "" {
		add("virtualService", "is missing", "name the VirtualService, such as istio: {virtualService: shop}")
	}
	for _, f := range []struct {
		field, value string
		check        func(string) []string
	}{
		{"virtualService", c.VirtualService, validation.IsDNS1123Subdomain},
		{"destinationRule", c.DestinationRule, validation.IsDNS1123Subdomain},
		{"namespace", c.Namespace, validation.IsDNS1123Label},
		{"stableService", c.StableService, validation.IsDNS1123Label},
		{"canaryService", c.CanaryService, validation.IsDNS1123Label},
		{"baselineService", c.BaselineService, validation.IsDNS1123Label},
		{"service", c.Service, validation.IsDNS1123Label},
	} {
		if f.value != "" && len(f.check(f.value)) > 0 {
			add(f.field, fmt.Sprintf("%q is not an object's name", f.value), "write the name that kubectl get shows")
		}
	}
	for i, name := range c.Routes {
		if name == "" {
			add(fmt.Sprintf("routes[%d]", i), "is empty", "write the name of an HTTP route of the VirtualService")
		}
	}
	if c.DestinationRule == "" {
		if c.StableService != "" && c.StableService == c.CanaryService {
			add("canaryService", "is the stable arm's Service", "name two Services, or subsets with destinationRule")
		}
		if c.BaselineService != "" && (c.BaselineService == c.StableService || c.BaselineService == c.CanaryService) {
			add("baselineService", "is an arm's Service", "name a Service of its own; Serin makes it when it is missing")
		}
		return ps
	}
	for _, f := range []struct{ field, value string }{{"stableService", c.StableService}, {"canaryService", c.CanaryService}, {"baselineService", c.BaselineService}, {"service", c.Service}} {
		if f.value != "" {
			add(f.field, "stands beside destinationRule", "keep one of the two: the arms are Services, or subsets")
		}
	}
	switch {
	case c.Subsets.Stable == "" || c.Subsets.Canary == "":
		add("subsets", "names no subset for an arm", "write subsets: {stable: stable, canary: canary}")
	case c.Subsets.Stable == c.Subsets.Canary:
		add("subsets.canary", "is the stable arm's subset", "name two subsets of the DestinationRule")
	}
	return ps
}

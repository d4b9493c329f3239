// Package rollouttest has a catalog of adapters for tests that read rollout
// files without the real adapters. The adapters have every shape that a real
// one may have: defaults, nested groups, lists, maps, optional groups, required
// fields, embedded fields, secrets, and rules of their own. Nothing can be run
// with them.
package rollouttest

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"serin.dev/serin/internal/rollout"
)

type processConfig struct {
	Stable    processVersion `json:"stable" jsonschema:"required"`
	Canary    processVersion `json:"canary" jsonschema:"required"`
	Readiness *readiness     `json:"readiness,omitempty"`
	Replicas  int            `json:"replicas"`
}

type processVersion struct {
	Version string            `json:"version" jsonschema:"required,example=v1"`
	Command []string          `json:"command"`
	Env     map[string]string `json:"env,omitempty"`
}

type readiness struct {
	Path     string           `json:"path"`
	Interval rollout.Duration `json:"interval,omitempty"`
}

func (c *processConfig) Validate() []rollout.Problem {
	var all []rollout.Problem
	if c.Stable.Version == c.Canary.Version {
		all = append(all, rollout.Problem{Field: "canary.version", Message: "is stable's version too", Mend: "name the new version"})
	}
	if len(c.Stable.Command) == 0 {
		all = append(all, rollout.Problem{Field: "stable.command", Message: "is empty", Mend: "write the program and its arguments"})
	}
	if len(c.Stable.Command) > 0 && !strings.Contains(strings.Join(c.Stable.Command, " "), "$(ADDR)") {
		all = append(all, rollout.Problem{Warning: true, Field: "stable.command[0]", Message: "the program is not told its address", Mend: "pass $(ADDR)"})
	}
	return all
}

type endpointsConfig struct {
	URLs []string `json:"urls"`
}

type timeouts struct {
	Read  rollout.Duration `json:"read"`
	Write rollout.Duration `json:"write"`
}

type proxyConfig struct {
	timeouts
	Listen string          `json:"listen"`
	Share  rollout.Percent `json:"share,omitempty"`
	Sticky bool            `json:"sticky,omitempty"`
	Limit  float64         `json:"limit,omitempty"`
}

type httpConfig struct {
	Path   string   `json:"path,omitempty"`
	URL    string   `json:"url,omitempty"`
	Token  string   `json:"token,omitempty"`
	Expect []expect `json:"expect,omitempty"`
}

type expect struct {
	Status int `json:"status" jsonschema:"required,example=200"`
	Equals any `json:"equals,omitempty"`
	// Exactly is kept as it is written; From reads itself from text.
	Exactly json.RawMessage `json:"exactly,omitempty"`
	From    netip.Addr      `json:"from,omitzero"`
}

type shoutrrrConfig struct {
	URL map[string]string `json:"url"`
}

// Catalog returns the adapters of every port.
func Catalog() rollout.Catalog {
	http := func() any { return &httpConfig{} }
	return rollout.Catalog{
		rollout.WorkloadPort: {
			"process":   func() any { return &processConfig{Replicas: 1} },
			"endpoints": func() any { return &endpointsConfig{} },
		},
		rollout.TrafficPort: {
			"proxy": func() any {
				return &proxyConfig{Listen: "127.0.0.1:8080", timeouts: timeouts{Read: rollout.Duration(time.Minute)}}
			},
			"istio": func() any { return &struct{}{} },
		},
		rollout.MetricsPort:  {"prometheus": func() any { return &httpConfig{} }},
		rollout.BusinessPort: {"http": http},
		rollout.TestPort:     {"http": http, "command": func() any { return &endpointsConfig{} }},
		rollout.HookPort:     {"http": http, rollout.ApprovalKind: func() any { return &struct{}{} }},
		rollout.NotifyPort:   {"shoutrrr": func() any { return &shoutrrrConfig{} }},
		rollout.ArchivePort:  {"file": func() any { return &httpConfig{} }},
	}
}

package rollout_test

import (
	"strings"
	"time"

	. "serin.dev/serin/internal/rollout"
)

// The adapters of these tests have every shape that a real one may have:
// defaults, nested groups, lists, maps, optional groups, required and chosen
// fields, embedded fields, secrets, and rules of their own.

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
	Path     string   `json:"path"`
	Interval Duration `json:"interval,omitempty"`
}

func (c *processConfig) Validate() []Problem {
	var all []Problem
	if c.Stable.Version == c.Canary.Version {
		all = append(all, Problem{Field: "canary.version", Message: "is stable's version too", Mend: "name the new version"})
	}
	if len(c.Stable.Command) == 0 {
		all = append(all, Problem{Field: "stable.command", Message: "is empty", Mend: "write the program and its arguments"})
	}
	if len(c.Stable.Command) > 0 && !strings.Contains(strings.Join(c.Stable.Command, " "), "$(ADDR)") {
		all = append(all, Problem{Warning: true, Field: "stable.command[0]", Message: "the program is not told its address", Mend: "pass $(ADDR)"})
	}
	return all
}

type endpointsConfig struct {
	URLs []string `json:"urls"`
}

type timeouts struct {
	Read  Duration `json:"read"`
	Write Duration `json:"write"`
}

type proxyConfig struct {
	timeouts
	Listen string  `json:"listen"`
	Share  Percent `json:"share,omitempty"`
	Sticky bool    `json:"sticky,omitempty"`
	Limit  float64 `json:"limit,omitempty"`
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
}

type shoutrrrConfig struct {
	URL map[string]string `json:"url"`
}

func testCatalog() Catalog {
	http := func() any { return &httpConfig{} }
	return Catalog{
		WorkloadPort: {
			"process":   func() any { return &processConfig{Replicas: 1} },
			"endpoints": func() any { return &endpointsConfig{} },
		},
		TrafficPort: {
			"proxy": func() any {
				return &proxyConfig{Listen: "127.0.0.1:8080", timeouts: timeouts{Read: Duration(time.Minute)}}
			},
			"istio": func() any { return &struct{}{} },
		},
		MetricsPort: {"prometheus": func() any { return &httpConfig{} }},
		TestPort:    {"http": http, "command": func() any { return &endpointsConfig{} }},
		HookPort:    {"http": http, ApprovalKind: func() any { return &struct{}{} }},
		NotifyPort:  {"shoutrrr": func() any { return &shoutrrrConfig{} }},
		ArchivePort: {"file": func() any { return &httpConfig{} }},
	}
}

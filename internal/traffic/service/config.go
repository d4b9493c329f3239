package service

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"

	"serin.dev/serin/internal/rollout"
)

// Config is what a rollout says under traffic.service: one Service, whose
// traffic is split by the numbers of pods.
type Config struct {
	// Name is the Service; default: the rollout's name.
	Name string `json:"name,omitempty"`
}

// NewConfig returns a pointer to a configuration with its defaults set, for
// the catalog.
func NewConfig() any { return &Config{} }

// Validate implements rollout.Validator.
func (c *Config) Validate() []rollout.Problem {
	if c.Name != "" && len(validation.IsDNS1123Label(c.Name)) > 0 {
		return []rollout.Problem{{
			Field: "name", Message: fmt.Sprintf("%q is not an object's name", c.Name),
			Mend: "write up to 63 lower-case letters, digits and hyphens",
		}}
	}
	return nil
}

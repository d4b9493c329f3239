package deployment

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"serin.dev/serin/internal/rollout"
)

// Config is the part of a rollout's file under workload.deployment.
type Config struct {
	// Name is the Deployment that is released, in the rollout's own namespace.
	Name string `json:"name"`
}

// NewConfig returns a pointer to a configuration with its defaults set, for
// the catalog.
func NewConfig() any { return &Config{} }

// Validate implements rollout.Validator.
func (c *Config) Validate() []rollout.Problem {
	if c.Name == "" {
		return []rollout.Problem{{Field: "name", Message: "is missing", Mend: "name the Deployment, such as shop"}}
	}
	if complaints := validation.IsDNS1123Subdomain(c.Name); len(complaints) > 0 {
		return []rollout.Problem{{
			Field:   "name",
			Message: fmt.Sprintf("%q is no name that a Deployment can have: %s", c.Name, strings.Join(complaints, "; ")),
			Mend:    "write metadata.name of the Deployment as it is",
		}}
	}
	return nil
}

package install

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// NewestPolicy is the version of the policy's kind that an API server has which
// has everything.
const NewestPolicy = "v1"

// PolicyName is the name of the policy and its binding.
const PolicyName = "serin-hold"

// ServedPolicy returns the version of the admission policy's kind that an API
// server prefers; empty: it has none.
func ServedPolicy(c client.Client) (string, error) {
	mapping, err := c.RESTMapper().RESTMapping(policyKind)
	if meta.IsNoMatchError(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask the API server for its kinds: %w", err)
	}
	return mapping.GroupVersionKind.Version, nil
}

// policy is what holds a Deployment when its template changes.
func (o Options) policy() ([]client.Object, error) { return nil, nil }

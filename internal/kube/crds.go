package kube

import (
	"embed"
	"fmt"
	"path"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed crds/*.yaml
var crds embed.FS

// CRDs returns the definitions of Serin's objects, for installers and tests.
// They are generated: from api/v1alpha1, and the spec of a CanaryRollout from
// the schema of the rollout's file.
func CRDs() ([]*apiextv1.CustomResourceDefinition, error) {
	entries, err := crds.ReadDir("crds")
	if err != nil {
		return nil, fmt.Errorf("list the embedded definitions: %w", err)
	}
	var out []*apiextv1.CustomResourceDefinition
	for _, e := range entries {
		data, err := crds.ReadFile(path.Join("crds", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read an embedded definition: %w", err)
		}
		crd := new(apiextv1.CustomResourceDefinition)
		if err := yaml.UnmarshalStrict(data, crd); err != nil {
			return nil, fmt.Errorf("read the embedded definition %s: %w", e.Name(), err)
		}
		out = append(out, crd)
	}
	return out, nil
}

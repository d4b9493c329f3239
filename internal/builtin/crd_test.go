package builtin_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"serin.dev/serin/internal/builtin"
)

// Where the definitions are: embedded into the program, and a copy for those
// who apply them with kubectl.
const (
	crdFolder  = "../kube/crds"
	crdCopies  = "../../deploy/crds"
	rolloutCRD = "serin.dev_canaryrollouts.yaml"
)

// rolloutDefinition is the definition of a CanaryRollout as it is to be: as
// generated from its Go type, with the spec that the catalog says.
func rolloutDefinition(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(crdFolder, rolloutCRD))
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &crd); err != nil {
		t.Fatal(err)
	}
	spec, err := builtin.ClusterSchema(builtin.ClusterCatalog())
	if err != nil {
		t.Fatal(err)
	}
	root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	root.Properties["spec"] = *spec
	root.XValidations = apiextv1.ValidationRules{builtin.RolloutNameRule}
	// Marshal writes an empty status, which belongs to the API server.
	written, err := yaml.Marshal(map[string]any{"apiVersion": crd.APIVersion, "kind": crd.Kind, "metadata": map[string]any{
		"name": crd.Name, "annotations": crd.Annotations,
	}, "spec": crd.Spec})
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("---\n"), written...)
}

func TestDefinitionsAreThoseOfTheCatalog(t *testing.T) {
	files := map[string][]byte{filepath.Join(crdFolder, rolloutCRD): rolloutDefinition(t)}
	entries, err := os.ReadDir(crdFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(crdFolder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() == rolloutCRD {
			data = files[filepath.Join(crdFolder, rolloutCRD)]
		}
		files[filepath.Join(crdCopies, e.Name())] = data
	}
	if len(files) != 4 {
		t.Errorf("%d files, want three definitions and their copies", len(files))
	}
	for file, want := range files {
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types and adapters say; run make generate", file)
		}
	}
}

// kubectl apply keeps the whole object in an annotation, of 256 KiB at most.
func TestDefinitionsAreSmallEnoughToApply(t *testing.T) {
	entries, err := os.ReadDir(crdFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(crdFolder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := yaml.YAMLToJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes", e.Name(), len(asJSON))
		if len(asJSON) > 128<<10 {
			t.Errorf("%s has %d bytes; kubectl apply takes 256 KiB with everything around it", e.Name(), len(asJSON))
		}
	}
}

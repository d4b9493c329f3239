package builtin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/rollout/rollouttest"
)

func schemaOf(t *testing.T, catalog rollout.Catalog) validator {
	t.Helper()
	data, err := builtin.Schema(catalog)
	if err != nil {
		t.Fatal(err)
	}
	var v validator
	if err := json.Unmarshal(data, &v.root); err != nil {
		t.Fatal(err)
	}
	var ordered struct {
		Defs map[string]struct {
			Properties yaml.Node `yaml:"properties"`
		} `yaml:"$defs"`
	}
	if err := yaml.Unmarshal(data, &ordered); err != nil {
		t.Fatal(err)
	}
	v.order = map[string][]string{}
	for name, def := range ordered.Defs {
		for i := 0; i < len(def.Properties.Content); i += 2 {
			v.order[name] = append(v.order[name], def.Properties.Content[i].Value)
		}
	}
	return v
}

// checkFile holds every document of a file against the schema, as an editor
// does that reads YAML.
func (c validator) checkFile(data []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc any
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if doc == nil {
			continue
		}
		value, err := plain(doc)
		if err == nil {
			err = c.check(c.root, value, "")
		}
		if err != nil {
			return err
		}
	}
}

// readCorpus returns the files of rollout's testdata whose names begin so.
func readCorpus(t *testing.T, prefix string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	paths, err := filepath.Glob(filepath.Join("..", "rollout", "testdata", prefix+"*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s: %v", prefix, err)
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(p)] = data
	}
	return files
}

func TestTheSchemaAcceptsWhatParseAccepts(t *testing.T) {
	schema := schemaOf(t, rollouttest.Catalog())
	for file, data := range readCorpus(t, "good/") {
		if err := schema.checkFile(data); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		// What Serin writes, every default in it, is valid too.
		rollouts, _, err := rollout.ParseAll(file, data, rollouttest.Catalog())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rollouts {
			written, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.checkFile(written); err != nil {
				t.Errorf("%s as Serin writes it: %v", file, err)
			}
		}
	}
}

func TestTheSchemaRefusesEveryMistakeOfShape(t *testing.T) {
	schema := schemaOf(t, rollouttest.Catalog())
	for file, data := range readCorpus(t, "bad/shape-") {
		if err := schema.checkFile(data); err == nil {
			t.Errorf("%s: accepted", file)
		}
	}
}

// TestEveryMistakeOfShapeIsRefusedByItself: a file with several mistakes is
// refused for one of them, so each is tried alone as well.
func TestEveryMistakeOfShapeIsRefusedByItself(t *testing.T) {
	schema := schemaOf(t, rollouttest.Catalog())
	const head = "apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {name: a}\nspec:\n  workload: {endpoints: {urls: [x]}}\n  traffic: {istio: {}}\n"
	if err := schema.checkFile([]byte(head)); err != nil {
		t.Fatal(err)
	}
	for _, tail := range []string{
		"  plan: 3", "  plan: []", "  plan: {prepare: 600}", "  plan: {prepare: }", "  plan: {prepare: half an hour}", "  plan: {early: true}", "  plan: {early: {}}",
		"  plan: {phases: {}}", "  plan: {phases: [5]}", "  plan: {phases: [null]}", "  plan: {phases: [{}]}", "  plan: {phases: [{weight: 5%}]}", "  plan: {phases: [{weight: '5'}]}",
		"  plan: {phases: [{weight: 2.5}]}", "  plan: {phases: [{weight: 5, approval: 'yes'}]}", "  plan: {phases: [{weight: 5, wieght: 5}]}", "  plan: {phases: [{weight: 5, duration: [30m]}]}",
		"  analysis: {alpha: 1%}", "  analysis: {alpha: }", "  analysis: {metrics: {prometheus: {}, file: {}}}", "  analysis: {metrics: {graphite: {}}}",
		"  analysis: {checks: [{}]}", "  analysis: {checks: [{type: errors}]}", "  analysis: {checks: [errorRate]}", "  analysis: {checks: [{type: cpu, rollback: 20%}]}",
		"  analysis: {checks: [{type: cpu, rollback: {increase: 0.2}}]}", "  analysis: {checks: [{type: cpu, rollback: {increase: 20%, ratio: 2}}]}", "  analysis: {checks: [{type: cpu, rollback: {}}]}",
		"  tests: {}", "  tests: [{name: a}]", "  tests: [{name: a, http: {}, command: {}}]", "  tests: [{http: {}}]", "  tests: [{name: a, htp: {}}]", "  tests: [{name: a, http: {pat: x}}]",
		"  tests: [{name: a, http: {expect: [{}]}}]", "  tests: [{name: a, http: {expect: {status: 200}}}]", "  tests: [{name: a, failures: x, http: {}}]", "  tests: [{name: a, http: x}]",
		"  hooks: [{name: a, approval: {}}]", "  hooks: [{name: a, at: never, approval: {}}]", "  hooks: [{name: a, at: beforePhase, weights: ['5'], approval: {}}]", "  hooks: [{name: a, at: beforePhase, approval: {by: me}}]",
		"  notify: [{}]", "  notify: [{shoutrrr: {}, events: [done]}]", "  notify: [{shoutrrr: {url: {env: 3}}}]", "  archive: {folder: {}}", "  archive: file", "  unknown: 1", "status: {}",
	} {
		data := []byte(head + tail + "\n")
		if _, err := rollout.Parse("a.yaml", data, rollouttest.Catalog()); err == nil {
			t.Errorf("%s: Parse accepts it", tail)
		}
		if err := schema.checkFile(data); err == nil {
			t.Errorf("%s: the schema accepts it", tail)
		}
	}
}

func TestTheSchemaExplainsTheFields(t *testing.T) {
	schema := schemaOf(t, rollouttest.Catalog())
	if got := schema.root["$schema"]; got != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %v", got)
	}
	defs := schema.root["$defs"].(map[string]any)
	property := func(def, name string) map[string]any {
		p, ok := defs[def].(map[string]any)["properties"].(map[string]any)[name].(map[string]any)
		if !ok {
			t.Fatalf("%s has no %s", def, name)
		}
		return p
	}
	if d, _ := property("rollout.Plan", "holdTimeout")["description"].(string); !strings.Contains(d, "rolls back") {
		t.Errorf("holdTimeout is described as %q", d)
	}
	for _, c := range []struct {
		def, name string
		want      any
	}{
		{"rollout.Plan", "prepare", "10m0s"}, {"rollout.Plan", "drain", "30s"}, {"rollout.Analysis", "alpha", 0.01},
		{"traffic:proxy", "listen", "127.0.0.1:8080"}, {"workload:process", "replicas", 1.0},
	} {
		if got := property(c.def, c.name)["default"]; got != c.want {
			t.Errorf("the default of %s of %s is %v, want %v", c.name, c.def, got, c.want)
		}
	}
}

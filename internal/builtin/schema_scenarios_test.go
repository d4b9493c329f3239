package builtin_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/simulate"
)

func scenarioSchema(t *testing.T) validator {
	t.Helper()
	data, err := builtin.FileSchema(simulate.File{}, "https://serin.dev/schema/scenarios.json", "Serin scenarios", "…")
	if err != nil {
		t.Fatal(err)
	}
	var v validator
	if err := json.Unmarshal(data, &v.root); err != nil {
		t.Fatal(err)
	}
	return v
}

// What the schema says of a file of scenarios is what the program says of it.
func TestTheSchemaOfScenariosAgreesWithTheReader(t *testing.T) {
	schema := scenarioSchema(t)
	library, err := json.Marshal(simulate.File{Scenarios: simulate.Library()})
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../../docs/guide/simulate.md")
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"the library": string(library), "only a name": "scenarios: [{name: a}]", "no faults": "scenarios:\n- name: a\n  faults:\n"}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(scenarios:.*?)```").FindAllSubmatch(guide, -1) {
		good["the guide's"] = string(block[1])
	}
	if good["the guide's"] == "" {
		t.Fatal("the guide shows no scenarios")
	}
	for name, text := range good {
		if _, err := simulate.ParseScenarios("ours.yaml", []byte(text)); err != nil {
			t.Errorf("%s are refused: %v", name, err)
		}
		if err := schema.checkFile([]byte(text)); err != nil {
			t.Errorf("%s do not satisfy the schema: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"an unknown field":       "scenarios: [{name: a, faults: [{erors: 2}]}]",
		"a field at the top":     "scenarios: [{name: a}]\nplan: {}",
		"no name":                "scenarios: [{description: a}]",
		"a word for a number":    "scenarios: [{name: a, clumps: many}]",
		"a time without a unit":  "scenarios: [{name: a, faults: [{errors: 2, after: 20}]}]",
		"percent without a sign": "scenarios: [{name: a, daily: 60}]",
		"no such expectation":    "scenarios: [{name: a, expect: success}]",
		"no such arm":            "scenarios: [{name: a, faults: [{noFigures: everybody}]}]",
		"an incident's lack":     "scenarios: [{name: a, incidents: {every: 10m}}]",
		"no list":                "scenarios: {name: a}",
		"nothing":                "{}",
	} {
		if _, err := simulate.ParseScenarios("ours.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "ours.yaml:") {
			t.Errorf("%s: the reader says %v, want an error with its place", name, err)
		}
		if schema.checkFile([]byte(text)) == nil {
			t.Errorf("%s satisfies the schema", name)
		}
	}
}

// An editor shows what each field is.
func TestEveryFieldOfScenariosIsDescribed(t *testing.T) {
	for name, def := range scenarioSchema(t).root["$defs"].(map[string]any) {
		properties, _ := def.(map[string]any)["properties"].(map[string]any)
		for field, property := range properties {
			if s, _ := property.(map[string]any); s["description"] == nil || s["description"] == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
}

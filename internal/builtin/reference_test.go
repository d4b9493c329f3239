package builtin_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/rollout"
)

// The page's tables of fields stand between these marks and are written from
// the schema: <!-- fields rollout.Plan --> … <!-- end -->.
var (
	page  = filepath.Join("..", "..", "docs", "guide", "rollout-file.md")
	table = regexp.MustCompile(`(?s)<!-- fields ([^ ]+) -->\n.*?<!-- end -->`)
	block = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

// fieldTable lists the fields of one definition.
func fieldTable(schema validator, name string) string {
	def := schema.root["$defs"].(map[string]any)[name].(map[string]any)
	properties, _ := def["properties"].(map[string]any)
	if len(properties) == 0 && def["additionalProperties"] == false {
		return "It has no fields: write `{}` or nothing.\n"
	}
	required, _ := def["required"].([]any)
	var b strings.Builder
	b.WriteString("| field | value | default | |\n| --- | --- | --- | --- |\n")
	for _, field := range fieldOrder(schema, name, properties) {
		p := properties[field].(map[string]any)
		byDefault := ""
		if slices.Contains(required, any(field)) {
			byDefault = "required"
		} else if d, ok := p["default"]; ok {
			byDefault = defaultText(d)
		}
		description, _ := p["description"].(string)
		if description == "" {
			if target := resolved(schema, p); target != nil {
				description, _ = target["description"].(string)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", field, valueText(schema, p), byDefault, strings.ReplaceAll(description, "|", "\\|"))
	}
	return b.String()
}

// fieldOrder keeps the order of the schema, which is that of the source.
func fieldOrder(schema validator, name string, properties map[string]any) []string {
	order := slices.Sorted(maps.Keys(properties))
	slices.SortStableFunc(order, func(a, b string) int {
		return slices.Index(schema.order[name], a) - slices.Index(schema.order[name], b)
	})
	return order
}

// resolved follows a reference, and the first of two alternatives.
func resolved(schema validator, p map[string]any) map[string]any {
	if alternatives, ok := p["anyOf"].([]any); ok {
		return resolved(schema, alternatives[0].(map[string]any))
	}
	if ref, ok := p["$ref"].(string); ok {
		return schema.root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	return p
}

func valueText(schema validator, p map[string]any) string {
	if alternatives, ok := p["anyOf"].([]any); ok {
		return valueText(schema, alternatives[0].(map[string]any))
	}
	if ref, ok := p["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/$defs/")
		if strings.HasSuffix(name, ".Value") {
			return "text, `{env: …}` or `{file: …}`"
		}
		return "[fields](#" + anchor(name) + ")"
	}
	switch {
	case p["enum"] != nil:
		var choices []string
		for _, c := range p["enum"].([]any) {
			choices = append(choices, fmt.Sprintf("`%v`", c))
		}
		return strings.Join(choices, ", ")
	case p["maxProperties"] != nil && p["properties"] != nil:
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(p["properties"].(map[string]any))) {
			kinds = append(kinds, "`"+kind+"`")
		}
		if len(kinds) == 1 {
			return kinds[0]
		}
		return "one of " + strings.Join(kinds, ", ")
	case p["items"] != nil:
		return "list of " + valueText(schema, p["items"].(map[string]any))
	case p["additionalProperties"] != nil:
		return "names and values"
	case strings.Contains(fmt.Sprint(p["pattern"]), "ns|us"):
		return "duration"
	case strings.Contains(fmt.Sprint(p["pattern"]), "%"):
		return "percentage"
	case p["type"] == nil:
		return "anything"
	}
	return map[string]string{"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}[fmt.Sprint(p["type"])]
}

func anchor(name string) string {
	return strings.ToLower(strings.NewReplacer(".", "", ":", "-").Replace(name))
}

func defaultText(d any) string {
	switch d := d.(type) {
	case string:
		d = regexp.MustCompile(`([hm])0[ms](0s)?$`).ReplaceAllString(d, "$1")
		return "`" + d + "`"
	case []any, map[string]any:
		return "see below"
	}
	return fmt.Sprintf("`%v`", d)
}

func TestThePageOfTheFileHasEveryField(t *testing.T) {
	schema := schemaOf(t, builtin.Catalog())
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	got := table.ReplaceAllStringFunc(string(text), func(section string) string {
		name := table.FindStringSubmatch(section)[1]
		if schema.root["$defs"].(map[string]any)[name] == nil {
			t.Errorf("the page shows %s, which does not exist", name)
			return section
		}
		shown[name] = true
		return fmt.Sprintf("<!-- fields %s -->\n<a id=\"%s\"></a>\n\n%s<!-- end -->", name, anchor(name), fieldTable(schema, name))
	})
	for name, def := range schema.root["$defs"].(map[string]any) {
		if def.(map[string]any)["type"] == "object" && !shown[name] {
			t.Errorf("the page has no table of %s; add <!-- fields %s --> and <!-- end --> where it belongs", name, name)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != string(text) {
		t.Error("the page's tables are not what the source says; run go test ./internal/builtin -update")
	}
}

// TestTheExamplesOfTheFileWork reads every example of the guide: whole
// documents as they are, parts as they would stand in a minimal file.
func TestTheExamplesOfTheFileWork(t *testing.T) {
	var blocks [][]string
	for _, page := range []string{page, filepath.Join("..", "..", "docs", "guide", "prometheus.md"), filepath.Join("..", "..", "docs", "guide", "traffic-kubernetes.md")} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		here := block.FindAllStringSubmatch(string(text), -1)
		if len(here) < 5 {
			t.Fatalf("%d examples found in %s", len(here), page)
		}
		blocks = append(blocks, here...)
	}
	schema := schemaOf(t, builtin.Catalog())
	for _, b := range blocks {
		data := b[1]
		if strings.Contains(data, "apiVersion:") && !strings.Contains(data, "apiVersion: "+rollout.APIVersion) {
			continue // another project's object
		}
		if !strings.Contains(data, "apiVersion:") {
			data = inMinimalFile(t, data)
		}
		if _, _, err := rollout.ParseAll("example.yaml", []byte(data), builtin.Catalog()); err != nil {
			t.Errorf("%v\n%s", err, data)
		}
		if err := schema.checkFile([]byte(data)); err != nil {
			t.Errorf("by the schema: %v\n%s", err, data)
		}
	}
}

// inMinimalFile puts fields of spec into a file that is complete without them.
func inMinimalFile(t *testing.T, part string) string {
	t.Helper()
	spec := map[string]any{}
	const minimal = `{workload: {endpoints: {stable: {version: v1, urls: ["http://127.0.0.1:9001"]}, canary: {version: v2, urls: ["http://127.0.0.1:9002"]}}}, traffic: {proxy: {}}}`
	for _, layer := range []string{minimal, part} {
		if err := yaml.Unmarshal([]byte(layer), &spec); err != nil {
			t.Fatalf("%v\n%s", err, layer)
		}
	}
	data, err := json.Marshal(map[string]any{"apiVersion": rollout.APIVersion, "kind": rollout.Kind, "metadata": map[string]any{"name": "example"}, "spec": spec})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

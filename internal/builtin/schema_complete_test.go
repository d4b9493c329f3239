package builtin_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"serin.dev/serin/internal/builtin"
)

// TestEveryFieldOfEveryAdapterIsDescribed walks the schema of the program as
// it is built: what an editor shows for a field must say what it is for.
func TestEveryFieldOfEveryAdapterIsDescribed(t *testing.T) {
	schema := schemaOf(t, builtin.Catalog())
	var undescribed []string
	defs := schema.root["$defs"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(defs)) {
		properties, _ := defs[name].(map[string]any)["properties"].(map[string]any)
		for _, field := range slices.Sorted(maps.Keys(properties)) {
			p := properties[field].(map[string]any)
			if p["description"] == nil && !describedElsewhere(defs, p) {
				undescribed = append(undescribed, name+"."+field)
			}
		}
	}
	if len(undescribed) > 0 {
		t.Errorf("without a comment in the source: %s", strings.Join(undescribed, ", "))
	}
}

// describedElsewhere reports whether what a property refers to is described.
func describedElsewhere(defs map[string]any, p map[string]any) bool {
	if alternatives, ok := p["anyOf"].([]any); ok {
		return describedElsewhere(defs, alternatives[0].(map[string]any))
	}
	ref, _ := p["$ref"].(string)
	def, _ := defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	return p["description"] != nil || def["description"] != nil || len(def) > 0 && def["properties"] == nil
}

package builtin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"serin.dev/serin/internal/rollout"
)

// The definitions in internal/kube/crds and deploy/crds come from api/v1alpha1 by
// controller-gen, and then get their spec from here.
//
//go:generate go test -run TestDefinitionsAreThoseOfTheCatalog . -update

// ClusterSchema returns the schema of a CanaryRollout's spec for an API server:
// what Schema says with the adapters of catalog, as a structural schema, and
// beside it the rules that the API server can hold a spec against by itself.
//
// It refuses less than rollout.Parse, which the controller asks too. It refuses
// more in one thing: an adapter is chosen by {} and not by nothing at all. Defaults are left to Parse,
// so that what is stored is what was written.
func ClusterSchema(catalog rollout.Catalog) (*apiextv1.JSONSchemaProps, error) {
	data, err := Schema(catalog)
	if err != nil {
		return nil, err
	}
	var document struct {
		Defs map[string]map[string]any `json:"$defs"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	s := structural{defs: document.Defs}
	spec := s.definition("rollout.Spec")
	return &spec, s.err
}

// structural turns JSON Schema (draft 2020-12) into the structural OpenAPI
// schemas of Kubernetes: references written out, no choice between types.
type structural struct {
	defs map[string]map[string]any
	// within are the definitions being written out, outermost first.
	within []string
	err    error
}

func (s *structural) definition(name string) apiextv1.JSONSchemaProps {
	def, ok := s.defs[name]
	switch {
	case !ok:
		s.fail("the schema refers to %s, which it does not define", name)
		return apiextv1.JSONSchemaProps{}
	case slices.Contains(s.within, name):
		s.fail("%s contains itself, which an API server's schema cannot say", name)
		return apiextv1.JSONSchemaProps{}
	}
	s.within = append(s.within, name)
	out := s.convert(def)
	s.within = s.within[:len(s.within)-1]
	if rules, ok := rulesOf[name]; ok {
		rules(&out)
	}
	return out
}

func (s *structural) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// anything is a value that the API server takes as it is.
func anything() apiextv1.JSONSchemaProps {
	yes := true
	return apiextv1.JSONSchemaProps{XPreserveUnknownFields: &yes}
}

func (s *structural) convert(in map[string]any) apiextv1.JSONSchemaProps {
	var out apiextv1.JSONSchemaProps
	kind, typed := in["type"].(string)
	switch {
	case in["$ref"] != nil:
		out = s.definition(strings.TrimPrefix(text(in["$ref"]), "#/$defs/"))
	case in["anyOf"] != nil:
		out = s.orNull(list(in["anyOf"]))
	case !typed:
		out = anything() // text or a group of fields, or whatever JSON there is
	default:
		out.Type = kind
		s.constrain(&out, in)
	}
	if d := text(in["description"]); d != "" {
		out.Description = d
	}
	s.describeDefault(&out, in["default"])
	return out
}

// orNull converts the only choice that Schema makes between types: a value, or
// nothing behind its name.
func (s *structural) orNull(choices []any) apiextv1.JSONSchemaProps {
	if len(choices) != 2 || text(object(choices[1])["type"]) != "null" {
		s.fail("the schema chooses between %d types, which an API server's cannot", len(choices))
		return anything()
	}
	out := s.convert(object(choices[0]))
	out.Nullable = true
	return out
}

// Bounds for what has none of its own; the API server estimates the cost of its
// rules from them. No real rollout comes near.
const (
	maxItems  = 100
	maxText   = 4096
	maxFields = 100
)

func (s *structural) constrain(out *apiextv1.JSONSchemaProps, in map[string]any) {
	switch out.Type {
	case "object":
		s.fields(out, in)
	case "array":
		items := s.convert(object(in["items"]))
		out.Items = &apiextv1.JSONSchemaPropsOrArray{Schema: &items}
		out.MaxItems = new(int64(maxItems))
		out.MinItems = whole(in["minItems"])
	case "string":
		if in["enum"] == nil {
			out.MaxLength = new(int64(maxText))
		}
		if n := whole(in["maxLength"]); n != nil {
			out.MaxLength = n
		}
		s.pattern(out, text(in["pattern"]))
	case "integer":
		out.Format = "int32"
	}
	for _, v := range list(in["enum"]) {
		data, err := json.Marshal(v)
		if err != nil {
			s.fail("enum: %w", err)
		}
		out.Enum = append(out.Enum, apiextv1.JSON{Raw: data})
	}
	out.Minimum, out.Maximum = number(in["minimum"]), number(in["maximum"])
	if n := number(in["exclusiveMinimum"]); n != nil {
		out.Minimum, out.ExclusiveMinimum = n, true
	}
}

func (s *structural) fields(out *apiextv1.JSONSchemaProps, in map[string]any) {
	if values := object(in["additionalProperties"]); values != nil {
		each := s.convert(values)
		out.AdditionalProperties = &apiextv1.JSONSchemaPropsOrBool{Allows: true, Schema: &each}
		out.MaxProperties = new(int64(maxFields))
		return
	}
	for name, property := range object(in["properties"]) {
		if out.Properties == nil {
			out.Properties = map[string]apiextv1.JSONSchemaProps{}
		}
		out.Properties[name] = s.convert(object(property))
	}
	for _, name := range list(in["required"]) {
		out.Required = append(out.Required, text(name))
	}
	s.union(out, in)
}

// union says which adapters may be chosen: fields of which one is to be
// written, alone or beside others.
func (s *structural) union(out *apiextv1.JSONSchemaProps, in map[string]any) {
	var kinds []string
	for _, one := range list(in["oneOf"]) {
		kinds = append(kinds, text(list(object(one)["required"])[0]))
	}
	least := 1
	if n := whole(in["maxProperties"]); n != nil && *n == 1 {
		for name := range out.Properties {
			kinds = append(kinds, name)
		}
		if m := whole(in["minProperties"]); m != nil {
			least = int(*m)
		}
	}
	if len(kinds) > 0 {
		slices.Sort(kinds)
		out.XValidations = append(out.XValidations, oneOf(kinds, least))
	}
}

// describeDefault says what a field gets that is left out, where that is short.
func (s *structural) describeDefault(out *apiextv1.JSONSchemaProps, value any) {
	if value == nil || out.Type == "object" || out.Type == "array" {
		return
	}
	out.Description = strings.TrimSpace(fmt.Sprintf("%s Default: %v.", out.Description, short(value)))
}

// short writes 10m0s as people do.
func short(v any) any {
	t, ok := v.(string)
	if ok && strings.HasSuffix(t, "m0s") {
		t = strings.TrimSuffix(t, "0s")
	}
	if ok && strings.HasSuffix(t, "h0m") {
		t = strings.TrimSuffix(t, "0m")
	}
	if ok {
		return t
	}
	return v
}

func text(v any) string           { t, _ := v.(string); return t }
func list(v any) []any            { l, _ := v.([]any); return l }
func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

func number(v any) *float64 {
	if n, ok := v.(float64); ok {
		return &n
	}
	return nil
}

func whole(v any) *int64 {
	if n, ok := v.(float64); ok {
		return new(int64(n))
	}
	return nil
}

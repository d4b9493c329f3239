package builtin

import (
	_ "embed"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"serin.dev/serin/internal/rollout"
)

// schemaID names the schema; editors fetch nothing from it.
const schemaID = "https://serin.dev/schema/canaryrollout-v1alpha1.json"

// schemaComments are the doc comments of the configuration types, by package
// path, type and field: the descriptions in the schema. Source code is not at
// hand when the program runs.
//
//go:generate go test -run TestSchemaCommentsAreThoseOfTheSource . -update
//go:embed schema_comments.json
var schemaComments []byte

// Schema returns the JSON Schema (draft 2020-12) of a rollout file with the
// adapters of catalog, for editors. It accepts what rollout.Parse accepts, and
// refuses what Parse refuses for its shape: unknown fields, wrong types, more
// or fewer adapters than one. Rules between fields are left to Parse.
func Schema(catalog rollout.Catalog) ([]byte, error) {
	b := schemaBuilder{catalog: catalog, types: map[string]reflect.Type{}}
	if err := json.Unmarshal(schemaComments, &b.comments); err != nil {
		return nil, fmt.Errorf("read the embedded comments: %w; run go generate ./internal/builtin", err)
	}
	root, err := b.build()
	if err != nil {
		return nil, fmt.Errorf("generate the schema: %w", err)
	}
	return json.MarshalIndent(root, "", "  ")
}

// FileSchema is the JSON Schema of a file of another kind, by the Go type that it
// is read into, whose comments are embedded too.
func FileSchema(file any, id, title, description string) ([]byte, error) {
	b := schemaBuilder{types: map[string]reflect.Type{}}
	if err := json.Unmarshal(schemaComments, &b.comments); err != nil {
		return nil, fmt.Errorf("read the embedded comments: %w; run go generate ./internal/builtin", err)
	}
	root := b.reflector().Reflect(file)
	for name, def := range root.Definitions {
		b.allowNulls(def, b.types[name])
	}
	root.ID, root.Title, root.Description = jsonschema.ID(id), title, description
	return json.MarshalIndent(root, "", "  ")
}

type schemaBuilder struct {
	catalog  rollout.Catalog
	comments map[string]string
	// types holds the Go type of every definition, by its name.
	types map[string]reflect.Type
	defs  jsonschema.Definitions
}

func (b *schemaBuilder) build() (*jsonschema.Schema, error) {
	root := b.reflector().Reflect(rollout.Rollout{})
	b.defs = root.Definitions
	if err := b.addConfigs(); err != nil {
		return nil, err
	}
	// Adapters of one port may bring types of their own, so nulls and unions
	// come when all definitions are there.
	for _, name := range slices.Sorted(maps.Keys(b.defs)) {
		b.allowNulls(b.defs[name], b.types[name])
	}
	b.addUnions()
	if err := b.addDefaults(); err != nil {
		return nil, err
	}
	root.ID, root.Title = schemaID, "Serin rollout"
	root.Description = "How a workload is released by canary: what is released, how its traffic is split, in which phases, and what is compared."
	return root, nil
}

func (b *schemaBuilder) reflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{
		Anonymous:                  true,
		RequiredFromJSONSchemaTags: true,
		Namer:                      b.name,
		Mapper:                     scalar,
		LookupComment:              b.comment,
	}
}

// name gives every type a name of its own: each adapter calls its type Config.
func (b *schemaBuilder) name(t reflect.Type) string {
	if t.Name() == "" {
		return ""
	}
	pkg := t.PkgPath()
	if i := strings.Index(pkg, "/internal/"); i >= 0 {
		pkg = pkg[i+len("/internal/"):]
	}
	name := strings.ReplaceAll(path.Join(pkg, t.Name()), "/", ".")
	b.types[name] = t
	return name
}

// comment returns the description of a type or a field; where it begins with
// a name in Go, without it or with the name in the file.
func (b *schemaBuilder) comment(t reflect.Type, field string) string {
	key := t.PkgPath() + "." + t.Name()
	if field == "" {
		if what, ok := strings.CutPrefix(b.comments[key], t.Name()+" is "); ok {
			return strings.ToUpper(what[:1]) + what[1:]
		}
		return b.comments[key]
	}
	text := b.comments[key+"."+field]
	if rest, ok := strings.CutPrefix(text, field+" "); ok {
		f, _ := t.FieldByName(field)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name + " " + rest
	}
	return text
}

// How values are written that are text in a file.
const (
	durationPattern = `^[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`
	percentPattern  = `^\s*[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?%\s*$`
)

// scalar returns the schema of types that are written as text, nil for others.
func scalar(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[rollout.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: durationPattern, Examples: []any{"30m", "10s"}}
	case reflect.TypeFor[rollout.Percent]():
		return &jsonschema.Schema{Type: "string", Pattern: percentPattern}
	case reflect.TypeFor[rollout.Adapter]():
		return &jsonschema.Schema{Type: "object"} // addUnions fills it
	}
	if p := reflect.PointerTo(t); p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) && !p.Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return &jsonschema.Schema{Type: "string"}
	}
	if c, ok := reflect.Zero(t).Interface().(rollout.Chooser); ok {
		s := &jsonschema.Schema{Type: "string"}
		for _, choice := range c.Choices() {
			s.Enum = append(s.Enum, choice)
		}
		return s
	}
	return nil
}

// configName is the name of the definition of one adapter's configuration.
func configName(port rollout.Port, kind string) string { return string(port) + ":" + kind }

// addConfigs defines every adapter's configuration, with its defaults.
func (b *schemaBuilder) addConfigs() error {
	for _, port := range slices.Sorted(maps.Keys(b.catalog)) {
		for _, kind := range slices.Sorted(maps.Keys(b.catalog[port])) {
			prototype := b.catalog[port][kind]()
			reflector := b.reflector()
			reflector.ExpandedStruct = true
			config := reflector.Reflect(prototype)
			for name, def := range config.Definitions {
				b.defs[name] = def
			}
			config.Version, config.Definitions = "", nil
			name := configName(port, kind)
			b.defs[name], b.types[name] = config, reflect.TypeOf(prototype).Elem()
			if err := setDefaults(config, prototype); err != nil {
				return fmt.Errorf("defaults of the %s adapter %s: %w", port, kind, err)
			}
		}
	}
	return nil
}

// setDefaults notes the values of v as the defaults of its fields.
func setDefaults(s *jsonschema.Schema, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var values map[string]any
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	for name, value := range values {
		property, ok := s.Properties.Get(name)
		if group, isGroup := value.(map[string]any); isGroup && len(group) == 0 {
			continue // an adapter that is not chosen
		}
		if ok && value != nil && value != "" && !slices.Contains(s.Required, name) {
			property.Default = value
		}
	}
	return nil
}

// allowNulls lets the value of a field be missing behind its name where Parse
// does: lists, and groups of fields none of which is required.
func (b *schemaBuilder) allowNulls(s *jsonschema.Schema, t reflect.Type) {
	if s.Properties == nil || t == nil || t.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		property, ok := s.Properties.Get(name)
		if !ok || name == "" || !nullable(f.Type) {
			continue
		}
		tidyListExamples(property)
		description := property.Description
		property.Description = ""
		s.Properties.Set(name, &jsonschema.Schema{Description: description, AnyOf: []*jsonschema.Schema{property, {Type: "null"}}})
	}
}

// tidyListExamples: an example written as a whole list is not one of its items.
func tidyListExamples(property *jsonschema.Schema) {
	if property.Items != nil && len(property.Items.Examples) > 0 {
		if text, ok := property.Items.Examples[0].(string); ok && strings.HasPrefix(text, "[") {
			property.Items.Examples = nil
		}
	}
}

func nullable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer:
		return true
	case reflect.Map:
		return true
	case reflect.Slice:
		return t != reflect.TypeFor[json.RawMessage]()
	case reflect.Struct:
		return t != reflect.TypeFor[rollout.Adapter]() && !readsItself(t) && !requires(t)
	}
	return false
}

func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// requires reports whether a type has a field without which it is refused.
func requires(t reflect.Type) bool {
	for _, f := range reflect.VisibleFields(t) {
		if slices.Contains(strings.Split(f.Tag.Get("jsonschema"), ","), "required") && len(f.Index) == 1 {
			return true
		}
	}
	return false
}

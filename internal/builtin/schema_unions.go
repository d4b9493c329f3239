package builtin

import (
	"maps"
	"slices"

	"github.com/invopop/jsonschema"

	"serin.dev/serin/internal/rollout"
)

// addUnions says at every place where an adapter is chosen which ones there
// are and that one is enough.
func (b *schemaBuilder) addUnions() {
	one, none := uint64(1), uint64(0)
	spec, analysis := b.defs["rollout.Spec"], b.defs["rollout.Analysis"]
	for _, u := range []struct {
		in    *jsonschema.Schema
		port  rollout.Port
		least *uint64
	}{
		{spec, rollout.WorkloadPort, &one},
		{spec, rollout.TrafficPort, &one},
		{analysis, rollout.MetricsPort, &none},
		{analysis, rollout.BusinessPort, &none},
		{spec, rollout.ArchivePort, &none},
	} {
		before, _ := u.in.Properties.Get(string(u.port))
		union := &jsonschema.Schema{Type: "object", MinProperties: u.least, MaxProperties: &one, Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
		for _, kind := range b.kinds(u.port) {
			union.Properties.Set(kind, b.config(u.port, kind))
		}
		if u.least == &one {
			union.Description = before.Description
			u.in.Properties.Set(string(u.port), union)
			continue
		}
		u.in.Properties.Set(string(u.port), &jsonschema.Schema{Description: before.Description, AnyOf: []*jsonschema.Schema{union, {Type: "null"}}})
	}
	for name, port := range map[string]rollout.Port{"rollout.Test": rollout.TestPort, "rollout.Hook": rollout.HookPort, "rollout.Notifier": rollout.NotifyPort} {
		b.inline(b.defs[name], port)
	}
	b.defs["rollout.Margin"].MinProperties, b.defs["rollout.Margin"].MaxProperties = &one, &one
}

// inline puts the adapters of a port beside a type's own fields; exactly one
// of them is to be written.
func (b *schemaBuilder) inline(s *jsonschema.Schema, port rollout.Port) {
	s.Properties.Delete("Kind") // the fields of rollout.Adapter in Go
	s.Properties.Delete("Config")
	for _, kind := range b.kinds(port) {
		s.Properties.Set(kind, b.config(port, kind))
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{kind}})
	}
	if s.OneOf == nil {
		s.Not = &jsonschema.Schema{} // there is no adapter to write
	}
}

func (b *schemaBuilder) kinds(port rollout.Port) []string {
	return slices.Sorted(maps.Keys(b.catalog[port]))
}

// config refers to the fields of one adapter, which may be left out when none
// of them is required.
func (b *schemaBuilder) config(port rollout.Port, kind string) *jsonschema.Schema {
	name := configName(port, kind)
	fields := &jsonschema.Schema{Ref: "#/$defs/" + name}
	if len(b.defs[name].Required) > 0 {
		return fields
	}
	either := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{fields, {Type: "null"}}}
	if kind == rollout.ApprovalKind {
		either.Description = "A person: the run waits until somebody promotes it, or rolls it back."
	}
	return either
}

// addDefaults notes what fields get that a file leaves out.
func (b *schemaBuilder) addDefaults() error {
	spec := rollout.DefaultSpec()
	for name, value := range map[string]any{
		"rollout.Plan":     spec.Plan,
		"rollout.Phase":    rollout.Phase{Duration: rollout.DefaultPhase},
		"rollout.Analysis": spec.Analysis,
		"rollout.Test":     rollout.DefaultTest(),
	} {
		if err := setDefaults(b.defs[name], value); err != nil {
			return err
		}
	}
	return nil
}

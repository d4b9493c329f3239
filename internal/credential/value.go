package credential

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/invopop/jsonschema"

	"serin.dev/serin/internal/rollout"
)

// Value is a setting that may be secret: in a file either the text itself or a
// reference, {env: NAME} or {file: PATH}.
type Value struct {
	// Text is the value as written in the file; nothing secret belongs there.
	Text string
	// Ref is where the value is kept; zero when Text holds it.
	Ref Ref
}

// IsRef reports whether the value is kept elsewhere.
func (v Value) IsRef() bool { return !v.Ref.IsZero() }

// IsZero reports whether nothing was written.
func (v Value) IsZero() bool { return v == Value{} }

// String names the value for a person: where it is kept, or that it is written
// in the file. It is never the value.
func (v Value) String() string {
	if v.IsRef() {
		return v.Ref.String()
	}
	return "the value written in the file"
}

// Resolve returns the value. What is written in the file is treated with the
// same care as what is not.
func (v Value) Resolve() (Secret, error) {
	if v.IsRef() {
		return v.Ref.Resolve()
	}
	return NewSecret(v.Text), nil
}

// Problems returns what is wrong with the reference, if it is one.
func (v Value) Problems(field string) []rollout.Problem {
	if !v.IsRef() {
		return nil
	}
	return v.Ref.Problems(field)
}

// MarshalJSON writes the text, or the reference.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.IsRef() {
		return json.Marshal(v.Ref)
	}
	return json.Marshal(v.Text)
}

// UnmarshalJSON reads a text or a reference. Its errors do not repeat what was
// written, which may be a secret in the wrong place.
func (v *Value) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*v = Value{Text: text}
		return nil
	}
	var ref Ref
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(&ref) != nil || ref.IsZero() {
		return errors.New("is neither a text nor a reference; write a text in quotes, {env: NAME} or {file: PATH}")
	}
	*v = Value{Ref: ref}
	return nil
}

// JSONSchema says the same to editors.
func (Value) JSONSchema() *jsonschema.Schema {
	one := func(name, what string) *jsonschema.Schema {
		properties := jsonschema.NewProperties()
		properties.Set(name, &jsonschema.Schema{Type: "string", Description: what})
		return &jsonschema.Schema{
			Type:                 "object",
			Properties:           properties,
			Required:             []string{name},
			AdditionalProperties: jsonschema.FalseSchema,
		}
	}
	return &jsonschema.Schema{
		Description: "A text, or where it is kept: {env: NAME} or {file: PATH}.",
		OneOf: []*jsonschema.Schema{
			{Type: "string"},
			one("env", "The environment variable of Serin that holds it."),
			one("file", "The file that holds it."),
		},
	}
}

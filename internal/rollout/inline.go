package rollout

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// The fields of a Test, Hook and Notifier stand beside their adapter's key in a
// file: {"name": "buy", "http": {…}}. Each is written and read as its own
// fields merged with its adapter's.

func (t Test) MarshalJSON() ([]byte, error)         { return marshalInline(t, t.Adapter) }
func (t *Test) UnmarshalJSON(data []byte) error     { return unmarshalInline(data, t, &t.Adapter) }
func (h Hook) MarshalJSON() ([]byte, error)         { return marshalInline(h, h.Adapter) }
func (h *Hook) UnmarshalJSON(data []byte) error     { return unmarshalInline(data, h, &h.Adapter) }
func (n Notifier) MarshalJSON() ([]byte, error)     { return marshalInline(n, n.Adapter) }
func (n *Notifier) UnmarshalJSON(data []byte) error { return unmarshalInline(data, n, &n.Adapter) }

func marshalInline(v any, a Adapter) ([]byte, error) {
	out := map[string]any{}
	rv := reflect.ValueOf(v)
	for i := range rv.NumField() {
		name, omitempty := fieldName(rv.Type().Field(i))
		if name == "" || omitempty && rv.Field(i).IsZero() {
			continue
		}
		out[name] = rv.Field(i).Interface()
	}
	if !a.IsZero() {
		out[a.Kind] = a.Config
		if len(a.Config) == 0 {
			out[a.Kind] = json.RawMessage("{}")
		}
	}
	return json.Marshal(out)
}

func unmarshalInline(data []byte, into any, a *Adapter) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	rv := reflect.ValueOf(into).Elem()
	for i := range rv.NumField() {
		name, _ := fieldName(rv.Type().Field(i))
		raw, ok := m[name]
		if name == "" || !ok {
			continue
		}
		if err := json.Unmarshal(raw, rv.Field(i).Addr().Interface()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		delete(m, name)
	}
	*a = Adapter{}
	if len(m) > 1 {
		kinds := make([]string, 0, len(m))
		for k := range m {
			kinds = append(kinds, k)
		}
		slices.Sort(kinds)
		return fmt.Errorf("names more than one adapter or unknown fields: %s", strings.Join(kinds, ", "))
	}
	for kind, config := range m {
		*a = Adapter{Kind: kind, Config: config}
	}
	return nil
}

// fieldName returns a field's name in JSON, empty for one that is inlined.
func fieldName(f reflect.StructField) (name string, omitempty bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" || name == "" {
		return "", false
	}
	return name, strings.Contains(options, "omitempty")
}

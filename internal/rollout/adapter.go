package rollout

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Adapter names one adapter and carries its configuration, still encoded: in a
// file it is a mapping with the adapter's kind as its only key. The zero value
// means that none was named.
type Adapter struct {
	// Kind is the adapter's name in its port, such as "process" or "istio".
	Kind string
	// Config is the adapter's own configuration as JSON, with its defaults
	// filled in and already validated.
	Config json.RawMessage
}

// IsZero reports whether no adapter was named.
func (a Adapter) IsZero() bool { return a.Kind == "" }

// Decode stores the adapter's configuration in into, which points to the
// adapter's own configuration type. Unknown fields are errors.
func (a Adapter) Decode(into any) error {
	dec := json.NewDecoder(bytes.NewReader(a.Config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("configuration of %s: %w", a.Kind, err)
	}
	return nil
}

// MarshalJSON writes {"kind": config}, or {} for none.
func (a Adapter) MarshalJSON() ([]byte, error) {
	if a.IsZero() {
		return []byte("{}"), nil
	}
	config := a.Config
	if len(config) == 0 {
		config = json.RawMessage("{}")
	}
	return json.Marshal(map[string]json.RawMessage{a.Kind: config})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Adapter) UnmarshalJSON(data []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	*a = Adapter{}
	if len(m) > 1 {
		return fmt.Errorf("names %d adapters; keep one", len(m))
	}
	for kind, config := range m {
		*a = Adapter{Kind: kind, Config: config}
	}
	return nil
}

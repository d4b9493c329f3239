// Package cloudevents tells a program about runs: every message is a
// CloudEvent, posted over HTTP. It knows messages, not runs.
package cloudevents

import (
	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/rollout"
)

// Config is where events are posted, and how.
type Config struct {
	// URL receives the events; a secret one is given by reference.
	URL credential.Value `json:"url" jsonschema:"required"`
	// Mode is binary (attributes in headers, the message as the body) or
	// structured (all in the body); default binary.
	Mode Mode `json:"mode,omitempty"`
	// Headers are sent along; a secret is given by reference.
	Headers map[string]credential.Value `json:"headers,omitempty"`
	// HMAC signs the body in the header Serin-Signature.
	HMAC *credential.HMAC `json:"hmac,omitempty"`
}

// Mode is a content mode of CloudEvents over HTTP.
type Mode string

// The content modes.
const (
	Binary     Mode = "binary"
	Structured Mode = "structured"
)

// Choices implements rollout.Chooser.
func (Mode) Choices() []string { return []string{string(Binary), string(Structured)} }

// NewConfig returns a Config with its defaults.
func NewConfig() any { return &Config{Mode: Binary} }

// Validate implements rollout.Validator.
func (c Config) Validate() []rollout.Problem {
	found := c.target().Problems()
	if c.HMAC != nil {
		found = append(found, c.HMAC.Secret.Problems("hmac.secret")...)
	}
	if c.Mode != "" && c.Mode != Binary && c.Mode != Structured {
		found = append(found, rollout.Problem{Field: "mode", Message: "is not known", Mend: "write binary or structured"})
	}
	return found
}

func (c Config) target() guarded.Target {
	return guarded.Target{URL: c.URL, Headers: c.Headers}
}

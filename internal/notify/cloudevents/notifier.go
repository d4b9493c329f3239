// Package cloudevents tells a program about runs: every message is a
// CloudEvent, posted over HTTP. It knows messages, not runs.
package cloudevents

import (
	"context"
	"errors"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/notify"
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
func (c Config) Validate() []rollout.Problem { return nil }

// Notifier posts events.
type Notifier struct{ cfg Config }

var _ notify.Notifier = (*Notifier)(nil)

// New returns the notifier; it connects to nothing yet.
func New(cfg Config) (*Notifier, error) { return &Notifier{cfg: cfg}, nil }

// Send implements notify.Notifier.
func (n *Notifier) Send(ctx context.Context, m notify.Message) error {
	return errors.New("not built yet")
}

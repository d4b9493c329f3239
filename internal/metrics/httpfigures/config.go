// Package httpfigures reads business figures and complaints from an HTTP
// endpoint of the user's own, which counts them by version. It must not know
// what is concluded from them, nor where requests are counted.
package httpfigures

import (
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/guarded"
	"serin.dev/serin/internal/rollout"
)

// Config says where the figures are.
type Config struct {
	// URL is asked by GET once a tick. The answer is JSON: under versions, for
	// each version, business and complaints as in the judge stream, counted
	// since any time: Serin takes the differences.
	URL credential.Value `json:"url" jsonschema:"required,example=http://127.0.0.1:9200/figures"`
	// Headers are sent along; a secret is given by reference.
	Headers map[string]credential.Value `json:"headers,omitempty"`
	// Timeout bounds each question.
	Timeout rollout.Duration `json:"timeout,omitempty" jsonschema:"example=3s"`
}

const (
	defaultTimeout = 3 * time.Second
	minTimeout     = 10 * time.Millisecond
	maxTimeout     = 30 * time.Second
)

// NewConfig returns a pointer to a configuration with its defaults set, for the
// catalog.
func NewConfig() any { return &Config{Timeout: rollout.Duration(defaultTimeout)} }

func (c Config) target() guarded.Target { return guarded.Target{URL: c.URL, Headers: c.Headers} }

// Validate implements rollout.Validator.
func (c Config) Validate() []rollout.Problem {
	found := c.target().Problems()
	if t := time.Duration(c.Timeout); t < minTimeout || t > maxTimeout {
		found = append(found, rollout.Problem{Field: "timeout", Message: "is not a time in which such a question is answered", Mend: "write one from 10ms to 30s, such as 3s"})
	}
	return found
}

// Measures implements rollout.Measurer: what the endpoint has is not known.
func (Config) Measures(t rollout.CheckType, _ string) bool {
	return t == rollout.Business || t == rollout.Complaints
}

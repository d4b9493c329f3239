// Package httpgate is the gate that is an HTTP request: a test asks every
// instance of the canary and compares the answers with what was expected; a
// hook tells a URL what is about to happen. It must not know what an answer
// means for the run.
package httpgate

import (
	"encoding/json"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/rollout"
)

// TestConfig is a request to the canary and the answer expected.
type TestConfig struct {
	// Method is the request's method; default GET, or POST with a body.
	Method string `json:"method,omitempty" jsonschema:"example=GET"`
	// Path is asked of every instance of the canary directly, past the router;
	// all must answer as expected. Give either path or url.
	Path string `json:"path,omitempty" jsonschema:"example=/healthz"`
	// URL is asked instead of the canary's instances.
	URL credential.Value `json:"url,omitzero"`
	// Headers are sent along; a secret is given by reference.
	Headers map[string]credential.Value `json:"headers,omitempty"`
	// Body is sent as it stands.
	Body string `json:"body,omitempty"`
	// Expect says which answer passes; default: any status from 200 to 299.
	Expect Expect `json:"expect,omitzero"`
}

// HookConfig is a call to a URL. Its body is the call as JSON; the header
// Serin-Idempotency-Key is the same when a call is repeated.
type HookConfig struct {
	// URL is called.
	URL credential.Value `json:"url" jsonschema:"required"`
	// Method is the request's method; default POST.
	Method string `json:"method,omitempty" jsonschema:"example=POST"`
	// Headers are sent along; a secret is given by reference.
	Headers map[string]credential.Value `json:"headers,omitempty"`
	// HMAC signs the call in the header Serin-Signature.
	HMAC *credential.HMAC `json:"hmac,omitempty"`
	// Expect says which answer passes; default: any status from 200 to 299.
	Expect Expect `json:"expect,omitzero"`
}

// Expect is the answer that passes: everything that is given must hold.
// Redirects are not followed; a redirect is an answer.
type Expect struct {
	// Status lists the statuses that pass.
	Status []int `json:"status,omitempty"`
	// Body is a regular expression that the body must match somewhere.
	Body string `json:"body,omitempty" jsonschema:"example=welcome"`
	// JSON lists what the body, read as JSON, must hold.
	JSON []JSONExpect `json:"json,omitempty"`
	// Latency is the longest time from connecting to the end of the answer.
	Latency rollout.Duration `json:"latency,omitempty" jsonschema:"example=300ms"`
}

// JSONExpect is one expectation of a JSON body.
type JSONExpect struct {
	// Path is a JSONPath; it must find something.
	Path string `json:"path" jsonschema:"required,example=$.total"`
	// Equals is what every value found must be; without it, any will do.
	Equals json.RawMessage `json:"equals,omitempty"`
}

// NewTestConfig returns a TestConfig with its defaults.
func NewTestConfig() any { return &TestConfig{} }

// NewHookConfig returns a HookConfig with its defaults.
func NewHookConfig() any { return &HookConfig{Method: "POST"} }

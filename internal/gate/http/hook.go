package httpgate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/guarded"
)

// KeyHeader carries gate.Call.Key, by which a receiver recognises a repetition.
const KeyHeader = "Serin-Idempotency-Key"

// Hook calls one URL.
type Hook struct {
	cfg    HookConfig
	expect expectation
	client *http.Client
}

var _ gate.Gate = (*Hook)(nil)

// NewHook returns the gate of a hook; it calls nothing yet.
func NewHook(cfg HookConfig) (*Hook, error) {
	if err := firstError("hook", cfg.Validate()); err != nil {
		return nil, err
	}
	expect, err := newExpectation(cfg.Expect)
	if err != nil {
		return nil, fmt.Errorf("http hook: %w", err)
	}
	client := guarded.NewClient(guarded.Options{Timeout: longest, MaxBody: maxBody, Proxy: true})
	return &Hook{cfg: cfg, expect: expect, client: client}, nil
}

// Check says before a run whether the secrets the hook needs can be read.
func (h *Hook) Check() error {
	if _, err := h.key(); err != nil {
		return err
	}
	return h.target().Check()
}

func (h *Hook) target() guarded.Target {
	return guarded.Target{URL: h.cfg.URL, Headers: h.cfg.Headers}
}

// key returns the secret that calls are signed with; zero for none.
func (h *Hook) key() (credential.Secret, error) {
	if h.cfg.HMAC == nil {
		return credential.Secret{}, nil
	}
	secret, err := h.cfg.HMAC.Secret.Resolve()
	if err != nil {
		return credential.Secret{}, fmt.Errorf("hmac: %w", err)
	}
	return secret, nil
}

// Run implements gate.Gate.
func (h *Hook) Run(ctx context.Context, c gate.Call) gate.Result {
	started := time.Now()
	result := h.run(ctx, c)
	result.Took = time.Since(started)
	return result
}

func (h *Hook) run(ctx context.Context, c gate.Call) gate.Result {
	body, err := json.Marshal(c)
	if err != nil {
		return failed(fmt.Errorf("write the call: %w", err))
	}
	key, err := h.key()
	if err != nil {
		return failed(err)
	}
	method := h.cfg.Method
	if method == "" {
		method = http.MethodPost
	}
	req, scrubber, err := h.target().Request(ctx, method, body, key)
	if err != nil {
		return failed(err)
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set(KeyHeader, c.Key)
	if !key.IsZero() {
		req.Header.Set(credential.SignatureHeader, credential.Sign(key, time.Now(), body))
	}
	a := ask(ctx, h.client, req, h.expect, scrubber)
	if a.why != "" {
		return gate.Result{Message: oneLine(method + " " + h.host(req) + ", " + a.why), Output: a.output}
	}
	return gate.Result{Passed: true, Message: oneLine(fmt.Sprintf("%s %s passed in %s", method, h.host(req), round(a.took)))}
}

// host names the receiver in messages, unless its whole URL is a secret.
func (h *Hook) host(req *http.Request) string {
	if h.cfg.URL.IsRef() {
		return "the URL of " + h.cfg.URL.String()
	}
	return req.URL.Host
}

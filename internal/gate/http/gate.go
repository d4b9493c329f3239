package httpgate

import (
	"context"

	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/rollout"
)

// Test asks the canary's instances, or one URL.
type Test struct{ cfg TestConfig }

// Hook calls one URL.
type Hook struct{ cfg HookConfig }

var (
	_ gate.Gate = (*Test)(nil)
	_ gate.Gate = (*Hook)(nil)
)

// NewTest returns the gate of a test.
func NewTest(cfg TestConfig) (*Test, error) { return &Test{cfg: cfg}, nil }

// NewHook returns the gate of a hook.
func NewHook(cfg HookConfig) (*Hook, error) { return &Hook{cfg: cfg}, nil }

// Validate implements rollout.Validator.
func (c TestConfig) Validate() []rollout.Problem { return nil }

// Validate implements rollout.Validator.
func (c HookConfig) Validate() []rollout.Problem { return nil }

// Run implements gate.Gate.
func (t *Test) Run(ctx context.Context, c gate.Call) gate.Result {
	return gate.Result{Message: "not built yet"}
}

// Run implements gate.Gate.
func (h *Hook) Run(ctx context.Context, c gate.Call) gate.Result {
	return gate.Result{Message: "not built yet"}
}

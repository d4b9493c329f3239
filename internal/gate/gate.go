// Package gate is the port to continuous tests and hooks: anything outside
// that is asked a question and answers passed or failed. It must not know what
// an answer means for the run; the engine decides that.
package gate

import (
	"context"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Gate is one configured test or hook.
type Gate interface {
	// Run asks once and returns the answer before ctx ends. A gate that cannot
	// be asked (no connection, missing program, time-out) has failed, with a
	// message that says so. Run may be called again for the same Call after a
	// crash: Call.Key is the same then.
	Run(ctx context.Context, c Call) Result
}

// Call is what a gate is told.
type Call struct {
	// Key is the same for every repetition of one call; receivers use it to
	// recognise repetitions.
	Key     string `json:"key"`
	Rollout string `json:"rollout"`
	Run     string `json:"run"`
	// Name is the test's or hook's name, Point empty for a test.
	Name  string        `json:"name"`
	Point rollout.Point `json:"point,omitempty"`
	// Phase counts from 1; 0 outside phases.
	Phase         int    `json:"phase"`
	Weight        int    `json:"weight"`
	StableVersion string `json:"stableVersion"`
	CanaryVersion string `json:"canaryVersion"`
	// Reason says why, at OnRollback.
	Reason string `json:"reason,omitempty"`
	// Canary and Stable are the instances that can be asked directly.
	Canary []rollout.Instance `json:"canary,omitempty"`
	Stable []rollout.Instance `json:"stable,omitempty"`
}

// Result is a gate's answer.
type Result struct {
	Passed bool `json:"passed"`
	// Message is one line for a person; never a secret, never a whole body.
	Message string `json:"message"`
	// Output is an excerpt of what was answered, at most 4 KiB.
	Output string        `json:"output,omitempty"`
	Took   time.Duration `json:"took"`
}

package simulate

import (
	"context"

	"serin.dev/serin/internal/rollout"
)

// Finding is one thing that a plan would miss, or a change that would help.
type Finding struct {
	Text string `json:"text"`
}

// Findings says in words what a plan would miss.
func Findings(context.Context, Options, []Outcome, []rollout.CheckType) ([]Finding, error) {
	return nil, nil
}

package command

import (
	"context"

	"serin.dev/serin/internal/gate"
)

// Gate starts the program once a Run.
type Gate struct {
	cfg Config
}

var _ gate.Gate = (*Gate)(nil)

// New returns the gate; it does not look for the program yet.
func New(cfg Config) (*Gate, error) { return &Gate{cfg: cfg}, nil }

// Run implements gate.Gate.
func (g *Gate) Run(ctx context.Context, c gate.Call) gate.Result {
	return gate.Result{Message: "not built yet"}
}

func placeholders() []string {
	return []string{"CANARY_URL", "STABLE_URL", "VERSION", "STABLE_VERSION", "WEIGHT", "PHASE", "RUN", "ROLLOUT"}
}

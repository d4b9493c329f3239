package builtin

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/gate/command"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
)

// Gates is what a run's hooks and tests are.
type Gates struct {
	Hooks map[string]runner.Hook
	Tests []runner.Test
}

// NewGates builds a rollout's hooks and tests; dir is the folder of its file. One
// that cannot be built fails whenever it is asked, until it can be: a run is
// carried all the same.
func NewGates(r rollout.Rollout, dir string) Gates {
	g := Gates{Hooks: map[string]runner.Hook{}}
	for _, t := range r.Spec.Tests {
		ask := built(func() (gate.Gate, error) {
			build, err := find(tests, rollout.TestPort, t.Kind)
			if err != nil {
				return nil, err
			}
			return build(t.Adapter, dir)
		})
		g.Tests = append(g.Tests, runner.Test{Name: t.Name, Gate: ask, Interval: time.Duration(t.Interval), Timeout: time.Duration(t.Timeout)})
	}
	for _, h := range r.Spec.Hooks {
		if h.Kind == rollout.ApprovalKind {
			continue
		}
		ask := built(func() (gate.Gate, error) {
			build, err := find(hooks, rollout.HookPort, h.Kind)
			if err != nil {
				return nil, err
			}
			return build(h.Adapter, dir)
		})
		g.Hooks[h.Name] = runner.Hook{Gate: ask, Timeout: time.Duration(h.Timeout), Retries: h.Retries}
	}
	return g
}

// built returns what build makes, or what builds it when it is asked.
func built(build func() (gate.Gate, error)) gate.Gate {
	if g, err := build(); err == nil {
		return g
	}
	return unbuilt(build)
}

// unbuilt is a gate that could not be built.
type unbuilt func() (gate.Gate, error)

// Run implements gate.Gate.
func (build unbuilt) Run(ctx context.Context, c gate.Call) gate.Result {
	g, err := build()
	if err != nil {
		return gate.Result{Message: fmt.Sprintf("it cannot be asked: %v", err)}
	}
	return g.Run(ctx, c)
}

// newCommand runs the program in the folder of the rollout's file unless it
// names another.
func newCommand(c command.Config, dir string) (gate.Gate, error) {
	if !filepath.IsAbs(c.Dir) {
		c.Dir = filepath.Join(dir, c.Dir)
	}
	return command.New(c)
}

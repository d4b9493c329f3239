package server

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// ReadOnly is the Backend of a program that runs nothing: it tells what the
// store and the archive hold, and refuses to act.
type ReadOnly struct {
	Runs  store.Store
	Files archive.Archive
	// State is the state folder, for messages.
	State string
}

var _ Backend = ReadOnly{}

func (b ReadOnly) Store() store.Store       { return b.Runs }
func (b ReadOnly) Archive() archive.Archive { return b.Files }

// Rollouts tells of the rollouts that have runs.
func (b ReadOnly) Rollouts(ctx context.Context) ([]Rollout, error) {
	runs, err := b.Runs.Runs(ctx, "", 0)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	var out []Rollout
	for _, r := range runs { // newest first
		if !slices.ContainsFunc(out, func(o Rollout) bool { return o.Name == r.Rollout }) {
			out = append(out, lastKnown(r, b.idle(r.Rollout).Error()))
		}
	}
	slices.SortFunc(out, func(a, b Rollout) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Rollout tells of a rollout that has runs.
func (b ReadOnly) Rollout(ctx context.Context, name string) (Rollout, error) {
	runs, err := b.Runs.Runs(ctx, name, 1)
	if err != nil {
		return Rollout{}, fmt.Errorf("list runs: %w", err)
	}
	if len(runs) == 0 || name == "" {
		return Rollout{}, fmt.Errorf("rollout %q: %w; `serin get` lists the rollouts", name, ErrUnknownRollout)
	}
	return lastKnown(runs[0], b.idle(name).Error()), nil
}

// lastKnown is what the latest run says of its rollout when nobody looks.
func lastKnown(r store.Run, problem string) Rollout {
	out := Rollout{Name: r.Rollout, Serving: r.StableVersion, Problem: problem}
	switch {
	case standing(r.State) == Promoted:
		out.Serving = r.CanaryVersion
	case !r.State.Ended():
		out.Run = r.ID
		out.Weight = r.Plan.Want(r.State).Weight
		out.Stable.Version, out.Canary.Version = r.StableVersion, r.CanaryVersion
	}
	return out
}

func (b ReadOnly) idle(name string) error {
	return fmt.Errorf("%w: no serin serve or run is running for %s under %s; start `serin serve -f DIR`, or `serin run -f FILE`", ErrNotRunning, name, b.State)
}

func (b ReadOnly) Owns(name string) error { return b.idle(name) }

func (b ReadOnly) Release(_ context.Context, name string, _ Candidate) (store.Run, error) {
	return store.Run{}, b.idle(name)
}

func (b ReadOnly) Wake(string) {}

func (b ReadOnly) Watch(string) (<-chan struct{}, func()) { return nil, func() {} }

func (b ReadOnly) Glance() time.Duration { return AtHand }

func (b ReadOnly) Live(string) (Live, bool) { return Live{}, false }

func (b ReadOnly) Logs(_ context.Context, name string, _ rollout.Arm, _ bool, _ io.Writer) error {
	return b.idle(name)
}

// Package controller carries rollouts on a cluster: it watches CanaryRollouts
// and what they are about, begins runs, keeps one loop a run going, and says in
// one place how a rollout is. It knows objects and runs; it must not know an
// adapter, and it decides nothing that the engine decides.
package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
)

// Program is what the controller drives: one rollout at a time, named by its
// namespace and name. Its methods may be called for different rollouts at the
// same time, and return before ctx ends.
type Program interface {
	// Asked compares what the user asks for with what serves.
	Asked(ctx context.Context, r rollout.Rollout) (Asked, error)
	// Attach makes changes of the workload's template wait for a run. A workload
	// that the rollout named before is its owner's alone again.
	Attach(ctx context.Context, r rollout.Rollout) error
	// Release lets a held workload go on: what it asks for serves already.
	Release(ctx context.Context, r rollout.Rollout) error
	// Detach undoes Attach for every workload of a rollout, whatever it says by now.
	Detach(ctx context.Context, name types.NamespacedName) error
	// LetGo leaves the routes to their owner. What is gone, or what only a person
	// could mend, does not fail it.
	LetGo(ctx context.Context, r rollout.Rollout) error
	// Rest leaves the routes as they are between runs.
	Rest(ctx context.Context, r rollout.Rollout) error
	// Begin creates a run; its errors wrap store.ErrActive where there is one.
	Begin(ctx context.Context, r rollout.Rollout, a Asked) error
	// Carry takes a run to its end, or until ctx is done. after is told of
	// every look.
	Carry(ctx context.Context, run types.NamespacedName, wake runner.Waker, after func(runner.Look, error)) error
	// Finish carries on what a run that ended promoted has left open, and says
	// whether there is nothing left to do.
	Finish(ctx context.Context, run types.NamespacedName) (done bool, err error)
	// Archive archives a run that has ended and is in no archive, as after a
	// program that was killed at the run's end.
	Archive(ctx context.Context, run types.NamespacedName) error
	// RollBack asks a run to roll back.
	RollBack(ctx context.Context, run types.NamespacedName, reason string) error
	// Prune removes what is kept of a rollout's ended runs but for the newest.
	Prune(ctx context.Context, r rollout.Rollout) error
}

// Asked is what a rollout's workload asks for, beside what serves.
type Asked struct {
	// Stable serves; Canary is what is asked for. They are equal when nothing is
	// to be released.
	Stable, Canary Revision
	// Held: the workload waits, so a run can begin.
	Held bool
	// Why says in words why nothing can begin, when the workload cannot be
	// released as it is; Do what to do about it.
	Why, Do string
	// Actor is who asked, as far as can be told.
	Actor string
	// PausedBy is who has paused the workload, when it was a person or a tool of
	// theirs; that is left alone.
	PausedBy string
}

// Changed reports that something else is asked for than what serves.
func (a Asked) Changed() bool { return a.Canary.Hash != "" && a.Canary.Hash != a.Stable.Hash }

// Revision is one version of a workload.
type Revision struct {
	Version, Hash, ReplicaSet string
}

// Parser turns an object into the rollout it describes. Problems are mistakes
// of the user's; an error is anything else.
type Parser func(*serinv1.CanaryRollout) (rollout.Rollout, []rollout.Problem, error)

// Options are what a controller needs.
type Options struct {
	Client  client.Client
	Program Program
	Parse   Parser
	Events  events.EventRecorder
	Logger  *slog.Logger
	// Workers is how many rollouts are looked at at the same time. Runs are not
	// among them: each has a loop of its own.
	Workers int
}

// Controller reconciles CanaryRollouts.
type Controller struct {
	Options
	runs *runs
}

const (
	// lookTime bounds one look at a rollout.
	lookTime = 30 * time.Second
	// finishPause is when a promotion that is being finished is looked at again.
	finishPause = time.Second
	// retryPause is when a rollout that cannot go on is looked at again, beyond
	// the changes that are watched; within the first such time sooner.
	retryPause = time.Minute
	retrySoon  = 5 * time.Second
)

// Setup adds a controller to a manager. It begins when the manager leads.
func Setup(mgr ctrl.Manager, o Options) (*Controller, error) {
	c := &Controller{Options: o, runs: newRuns(o)}
	if err := mgr.Add(c.runs); err != nil {
		return nil, fmt.Errorf("add the runs to the manager: %w", err)
	}
	if err := c.watch(mgr); err != nil {
		return nil, fmt.Errorf("watch rollouts: %w", err)
	}
	return c, nil
}

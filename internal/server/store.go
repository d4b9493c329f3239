package server

import (
	"context"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

const (
	// storeTime bounds one small call of the store.
	storeTime = 5 * time.Second
	// listTime bounds one that may bring much, over a slow line to a cluster.
	listTime = 30 * time.Second
	// rollbackTime bounds the writing down of a rollback: who asks for one is better
	// served by an API server that takes its time than by a refusal.
	rollbackTime = 30 * time.Second
)

// prompt is what the API asks of a store. A store that hangs is not waited for
// longer than the bounds, however long a client would wait.
type prompt struct{ store store.Store }

func (a *api) store() prompt { return prompt{a.backend.Store()} }

func (p prompt) Load(ctx context.Context, run string) (store.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	return p.store.Load(ctx, run)
}

func (p prompt) Runs(ctx context.Context, rollout string, limit int) ([]store.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	return p.store.Runs(ctx, rollout, limit)
}

func (p prompt) Lines(ctx context.Context, run string, after, limit int) ([]record.Line, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	return p.store.Lines(ctx, run, after, limit)
}

func (p prompt) AddIntent(ctx context.Context, run string, i rollout.Intent) error {
	bound := storeTime
	if i.Kind == rollout.Rollback {
		bound = rollbackTime
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return p.store.AddIntent(ctx, run, i)
}

func (p prompt) Answer(ctx context.Context, run, intent string) (engine.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	return p.store.Answer(ctx, run, intent)
}

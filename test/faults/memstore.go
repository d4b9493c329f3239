package faults

import (
	"context"
	"errors"
	"fmt"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
)

// memStore is the store in memory with faults: what it acknowledges is kept,
// as a disk would keep it.
type memStore struct {
	*memory.Store
	world *world

	conflict bool // the next save finds that somebody else saved
	stale    bool // the next load returns the state before the last save
	full     int  // so many saves fail for want of space
	previous store.Run
	// state is the one in the store, kept apart so that the invariants can look
	// at it at every effect without decoding it.
	state engine.State
}

// Load implements store.Store.
func (m *memStore) Load(ctx context.Context, id string) (store.Run, error) {
	_, after, before := m.world.enter(storeLoad)
	if before != nil {
		return store.Run{}, before
	}
	r, err := m.Store.Load(ctx, id)
	if m.stale && m.previous.ID != "" {
		r, m.stale = m.previous, false
	}
	return r, errors.Join(err, after())
}

// Intents implements store.Store.
func (m *memStore) Intents(ctx context.Context, run string) ([]rollout.Intent, error) {
	_, after, before := m.world.enter(storeIntents)
	if before != nil {
		return nil, before
	}
	intents, err := m.Store.Intents(ctx, run)
	return intents, errors.Join(err, after())
}

// Save implements store.Store.
func (m *memStore) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	_, after, before := m.world.enter(storeSave)
	switch {
	case before != nil:
		return 0, before
	case m.full > 0:
		m.full--
		return 0, fmt.Errorf("save: %w", store.ErrFull)
	case m.conflict:
		// Another program loaded and saved the same state again.
		m.conflict = false
		other, err := m.Store.Load(ctx, r.ID)
		if err != nil {
			return 0, err
		}
		if _, err := m.Store.Save(ctx, other, store.Change{}); err != nil {
			return 0, err
		}
	}
	version, err := m.Store.Save(ctx, r, c)
	if err != nil {
		return 0, err
	}
	was := m.state
	m.previous, m.state = r, r.State
	m.previous.State = was
	m.world.check.saved(m.world, was, r.State)
	return version, after()
}

// durable is the state a new process would find.
func (m *memStore) durable() engine.State { return m.state }

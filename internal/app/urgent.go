package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// urgentStore is a store that takes a rollback although it cannot write it
// down: on a full disk, or while others write for long, a person's rollback is
// kept in memory, is carried out at once like any other, and is stored with the
// next save that succeeds.
type urgentStore struct {
	store.Store

	mu sync.Mutex
	// unwritten are the rollbacks that are not stored yet, by run; answers what
	// became of them.
	unwritten map[string][]rollout.Intent
	answers   map[string]engine.Answer
}

func newUrgentStore(s store.Store) *urgentStore {
	return &urgentStore{Store: s, unwritten: map[string][]rollout.Intent{}, answers: map[string]engine.Answer{}}
}

// maxUnwritten bounds what is kept of a run: one rollback is enough.
const maxUnwritten = 16

const (
	// writeTime is how long a rollback waits to be written down.
	writeTime = time.Second
	// readTime is how long a rollback in memory waits for the intents in the store.
	readTime = 100 * time.Millisecond
)

// AddIntent implements store.Store.
func (s *urgentStore) AddIntent(ctx context.Context, run string, i rollout.Intent) error {
	if i.Kind == rollout.Rollback {
		bounded, cancel := context.WithTimeout(ctx, writeTime)
		defer cancel()
		ctx = bounded
	}
	err := s.Store.AddIntent(ctx, run, i)
	if i.Kind != rollout.Rollback || !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unwritten[run]) >= maxUnwritten {
		return err
	}
	s.unwritten[run] = append(s.unwritten[run], i)
	return nil
}

// Intents implements store.Store. What is kept in memory is told even when the
// store cannot be read, and is not kept back by one that is slow.
func (s *urgentStore) Intents(ctx context.Context, run string) ([]rollout.Intent, error) {
	s.mu.Lock()
	kept := slices.Clone(s.unwritten[run])
	s.mu.Unlock()
	if len(kept) > 0 {
		bounded, cancel := context.WithTimeout(ctx, readTime)
		defer cancel()
		ctx = bounded
	}
	stored, err := s.Store.Intents(ctx, run)
	if len(kept) > 0 {
		err = nil
	}
	for _, i := range kept {
		if !slices.ContainsFunc(stored, func(o rollout.Intent) bool { return o.ID == i.ID }) {
			stored = append(stored, i)
		}
	}
	return stored, err
}

// Save implements store.Store. Rollbacks kept in memory are stored before it.
func (s *urgentStore) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	s.mu.Lock()
	kept := slices.Clone(s.unwritten[r.ID])
	for _, a := range c.Answered {
		if slices.ContainsFunc(kept, func(i rollout.Intent) bool { return i.ID == a.ID }) {
			s.answers[a.ID] = a
		}
	}
	s.mu.Unlock()
	for _, i := range kept {
		if err := s.Store.AddIntent(ctx, r.ID, i); err != nil && !errors.Is(err, store.ErrEnded) {
			return 0, err
		}
	}
	version, err := s.Store.Save(ctx, r, c)
	if err == nil && len(kept) > 0 {
		s.written(r.ID, kept)
	}
	return version, err
}

// written forgets rollbacks that are stored now.
func (s *urgentStore) written(run string, kept []rollout.Intent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range kept {
		delete(s.answers, i.ID)
	}
	left := slices.DeleteFunc(s.unwritten[run], func(i rollout.Intent) bool {
		return slices.ContainsFunc(kept, func(k rollout.Intent) bool { return k.ID == i.ID })
	})
	s.unwritten[run] = left
	if len(left) == 0 {
		delete(s.unwritten, run)
	}
}

// Answer implements store.Store.
func (s *urgentStore) Answer(ctx context.Context, run, intent string) (engine.Answer, error) {
	s.mu.Lock()
	a, ok := s.answers[intent]
	kept := slices.ContainsFunc(s.unwritten[run], func(i rollout.Intent) bool { return i.ID == intent })
	s.mu.Unlock()
	switch {
	case ok:
		return a, nil
	case kept:
		return engine.Answer{}, store.ErrNotFound
	}
	return s.Store.Answer(ctx, run, intent)
}

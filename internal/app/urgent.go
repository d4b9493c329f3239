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

// urgentStore is a store that takes a rollback although it cannot write it down,
// and hears it although it cannot be read: on a full disk, on one that hangs, or
// while others write for long, a person's rollback is kept in memory until a save
// has answered it. It is carried out at once like any other, and is stored with
// the next save that succeeds.
type urgentStore struct {
	store.Store

	mu sync.Mutex
	// kept are the rollbacks that no save has answered, by run; answers what became
	// of them.
	kept    map[string][]keptIntent
	answers map[string]engine.Answer
	// reads are ended when a rollback is kept: it is not to wait for them.
	reads map[string]context.CancelFunc
}

type keptIntent struct {
	rollout.Intent
	written bool
}

func newUrgentStore(s store.Store) *urgentStore {
	return &urgentStore{Store: s, kept: map[string][]keptIntent{}, answers: map[string]engine.Answer{}, reads: map[string]context.CancelFunc{}}
}

// maxKept bounds what is kept of a run: one rollback is enough.
const maxKept = 16

const (
	// writeTime is how long a rollback waits to be written down.
	writeTime = time.Second
	// readTime is how long a rollback in memory waits for the intents in the store.
	readTime = 100 * time.Millisecond
)

// AddIntent implements store.Store.
func (s *urgentStore) AddIntent(ctx context.Context, run string, i rollout.Intent) error {
	if i.Kind != rollout.Rollback {
		return s.Store.AddIntent(ctx, run, i)
	}
	kept := s.keep(run, i)
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	err := s.Store.AddIntent(ctx, run, i)
	switch {
	case err == nil:
		s.settle(run, func(k *keptIntent) bool {
			k.written = k.written || k.ID == i.ID
			return false
		})
	case kept && (errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrUnavailable)):
		return nil
	default:
		s.settle(run, func(k *keptIntent) bool { return k.ID == i.ID })
	}
	return err
}

// keep keeps a rollback in memory, unless there are enough.
func (s *urgentStore) keep(run string, i rollout.Intent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept[run]) >= maxKept {
		return false
	}
	s.kept[run] = append(s.kept[run], keptIntent{Intent: i})
	if cancel, ok := s.reads[run]; ok {
		cancel()
	}
	return true
}

// settle forgets those of a run's rollbacks of which done says so.
func (s *urgentStore) settle(run string, done func(*keptIntent) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []keptIntent
	for _, k := range s.kept[run] {
		if done(&k) {
			delete(s.answers, k.ID)
		} else {
			left = append(left, k)
		}
	}
	s.kept[run] = left
	if len(left) == 0 {
		delete(s.kept, run)
	}
}

// Intents implements store.Store. What is kept in memory is told even when the
// store cannot be read, and is not kept back by one that is slow.
func (s *urgentStore) Intents(ctx context.Context, run string) ([]rollout.Intent, error) {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.reads[run] = cancel
	if len(s.kept[run]) > 0 {
		var done context.CancelFunc
		reading, done = context.WithTimeout(reading, readTime)
		defer done()
	}
	s.mu.Unlock()
	stored, err := s.Store.Intents(reading, run)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.reads, run)
	for _, k := range s.kept[run] {
		err = nil
		if !slices.ContainsFunc(stored, func(o rollout.Intent) bool { return o.ID == k.ID }) {
			stored = append(stored, k.Intent)
		}
	}
	return stored, err
}

// Save implements store.Store. Rollbacks that are in memory alone are stored
// before it.
func (s *urgentStore) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	answered := map[string]engine.Answer{}
	for _, a := range c.Answered {
		answered[a.ID] = a
	}
	s.mu.Lock()
	kept := slices.Clone(s.kept[r.ID])
	for _, k := range kept {
		if a, ok := answered[k.ID]; ok {
			s.answers[k.ID] = a
		}
	}
	s.mu.Unlock()
	stored := map[string]bool{}
	for _, k := range kept {
		if !k.written {
			if err := s.Store.AddIntent(ctx, r.ID, k.Intent); err != nil && !errors.Is(err, store.ErrEnded) {
				return 0, err
			}
		}
		stored[k.ID] = true
	}
	version, err := s.Store.Save(ctx, r, c)
	if err == nil && len(kept) > 0 {
		s.settle(r.ID, func(k *keptIntent) bool {
			k.written = k.written || stored[k.ID]
			_, ok := answered[k.ID]
			return ok || k.written && !r.EndedAt.IsZero()
		})
	}
	return version, err
}

// Answer implements store.Store.
func (s *urgentStore) Answer(ctx context.Context, run, intent string) (engine.Answer, error) {
	s.mu.Lock()
	a, ok := s.answers[intent]
	kept := slices.ContainsFunc(s.kept[run], func(k keptIntent) bool { return k.ID == intent })
	s.mu.Unlock()
	switch {
	case ok:
		return a, nil
	case kept:
		return engine.Answer{}, store.ErrNotFound
	}
	return s.Store.Answer(ctx, run, intent)
}

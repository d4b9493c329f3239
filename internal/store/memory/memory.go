// Package memory is the store that forgets everything with the process: for
// simulations and tests. It keeps the port's contract in everything but
// durability.
package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// Store is an empty store when zero.
type Store struct {
	mu     sync.Mutex
	runs   []*held
	outbox []*store.Outgoing
	sent   map[string]bool
}

type held struct {
	run     store.Run
	state   json.RawMessage
	lines   []record.Line
	intents []rollout.Intent
	answers map[string]engine.Answer
}

var _ store.Store = (*Store)(nil)

// Create implements store.Store.
func (s *Store) Create(_ context.Context, r store.Run, lines []record.Line, messages []store.Outgoing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := 1
	for _, h := range s.runs {
		if h.run.Rollout == r.Rollout {
			number++
			if h.run.EndedAt.IsZero() {
				return fmt.Errorf("create run %s: %w: %s", r.ID, store.ErrActive, h.run.ID)
			}
		}
	}
	r.Number, r.Version = number, 1
	h := &held{run: r, lines: slices.Clone(lines), answers: map[string]engine.Answer{}}
	if err := h.keep(r.State); err != nil {
		return err
	}
	s.runs = append(s.runs, h)
	s.put(messages)
	return nil
}

// keep stores the state as it would be written, so that what comes back is
// what was read and shares nothing with it.
func (h *held) keep(state engine.State) error {
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	h.state = data
	return nil
}

func (h *held) load() (store.Run, error) {
	r := h.run
	r.State = engine.State{}
	if err := json.Unmarshal(h.state, &r.State); err != nil {
		return r, fmt.Errorf("read the state: %w", err)
	}
	return r, nil
}

func (s *Store) put(messages []store.Outgoing) {
	if s.sent == nil {
		s.sent = map[string]bool{}
	}
	for _, m := range messages {
		if !s.sent[m.ID] {
			s.sent[m.ID] = true
			s.outbox = append(s.outbox, &m)
		}
	}
}

func (s *Store) find(id string) (*held, error) {
	for _, h := range s.runs {
		if h.run.ID == id {
			return h, nil
		}
	}
	return nil, fmt.Errorf("run %s: %w", id, store.ErrNotFound)
}

// Load implements store.Store.
func (s *Store) Load(_ context.Context, id string) (store.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.find(id)
	if err != nil {
		return store.Run{}, err
	}
	return h.load()
}

// Active implements store.Store.
func (s *Store) Active(_ context.Context, rollout string) (store.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.runs {
		if h.run.Rollout == rollout && h.run.EndedAt.IsZero() {
			return h.load()
		}
	}
	return store.Run{}, fmt.Errorf("active run of %s: %w", rollout, store.ErrNotFound)
}

// Runs implements store.Store.
func (s *Store) Runs(_ context.Context, rollout string, limit int) ([]store.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []store.Run
	for _, h := range slices.Backward(s.runs) {
		if rollout != "" && h.run.Rollout != rollout {
			continue
		}
		r, err := h.load()
		if err != nil {
			return nil, err
		}
		r.State.Analysis = analysis.State{}
		out = append(out, r)
		if limit > 0 && len(out) == limit {
			break
		}
	}
	return out, nil
}

// Save implements store.Store.
func (s *Store) Save(_ context.Context, r store.Run, c store.Change) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.find(r.ID)
	if err != nil {
		return 0, err
	}
	if h.run.Version != r.Version {
		return 0, fmt.Errorf("save run %s at version %d, it has %d: %w", r.ID, r.Version, h.run.Version, store.ErrConflict)
	}
	if err := h.keep(r.State); err != nil {
		return 0, err
	}
	h.run.Version++
	h.run.EndedAt = r.EndedAt
	h.lines = append(h.lines, c.Lines...)
	for _, a := range c.Answered {
		h.answers[a.ID] = a
	}
	s.put(c.Messages)
	return h.run.Version, nil
}

// Append implements store.Store.
func (s *Store) Append(_ context.Context, run string, lines []record.Line) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.find(run)
	if err != nil {
		return err
	}
	h.lines = append(h.lines, lines...)
	return nil
}

// Lines implements store.Store.
func (s *Store) Lines(_ context.Context, run string, after, limit int) ([]record.Line, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.find(run)
	if err != nil {
		return nil, err
	}
	lines := h.lines[min(max(after, 0), len(h.lines)):]
	if limit > 0 {
		lines = lines[:min(limit, len(lines))]
	}
	return slices.Clone(lines), nil
}

// SetArchived implements store.Store.
func (s *Store) SetArchived(_ context.Context, run, report string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.find(run)
	if err != nil {
		return err
	}
	h.run.Archived, h.run.Report = true, report
	return nil
}

// AddIntent implements store.Store.
func (s *Store) AddIntent(_ context.Context, run string, i rollout.Intent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.find(run)
	if err != nil {
		return err
	}
	if !h.run.EndedAt.IsZero() {
		return fmt.Errorf("run %s: %w", run, store.ErrEnded)
	}
	if slices.ContainsFunc(h.intents, func(have rollout.Intent) bool { return have.ID == i.ID }) {
		return nil
	}
	line, err := record.Encode(record.Intent{Intent: i})
	if err != nil {
		return fmt.Errorf("write the intent: %w", err)
	}
	h.intents = append(h.intents, i)
	h.lines = append(h.lines, line)
	return nil
}

// Intents implements store.Store.
func (s *Store) Intents(_ context.Context, run string) ([]rollout.Intent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.find(run)
	if err != nil {
		return nil, err
	}
	var open []rollout.Intent
	for _, i := range h.intents {
		if _, done := h.answers[i.ID]; !done {
			open = append(open, i)
		}
	}
	return open, nil
}

// Answer implements store.Store.
func (s *Store) Answer(_ context.Context, run, intent string) (engine.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.find(run)
	if err != nil {
		return engine.Answer{}, err
	}
	a, ok := h.answers[intent]
	if !ok {
		return a, fmt.Errorf("answer to intent %s: %w", intent, store.ErrNotFound)
	}
	return a, nil
}

// Due implements store.Store.
func (s *Store) Due(_ context.Context, now time.Time, each int) ([]store.Outgoing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []store.Outgoing
	for _, m := range s.outbox {
		if !m.NotUntil.After(now) {
			due = append(due, *m)
		}
	}
	slices.SortStableFunc(due, func(a, b store.Outgoing) int { return cmp.Compare(a.NotUntil.UnixNano(), b.NotUntil.UnixNano()) })
	return store.Share(due, each), nil
}

// Settle implements store.Store.
func (s *Store) Settle(_ context.Context, id string, delivered bool, retry time.Time, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range s.outbox {
		if m.ID != id {
			continue
		}
		if delivered || retry.IsZero() {
			s.outbox = slices.Delete(s.outbox, i, i+1)
			return nil
		}
		m.Attempts++
		m.NotUntil = retry
		return nil
	}
	return fmt.Errorf("message %s: %w", id, store.ErrNotFound)
}

// Close implements store.Store; everything is still there afterwards, as it
// would be on a disk.
func (s *Store) Close() error { return nil }

package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

func appendLines(ctx context.Context, tx *sql.Tx, run string, lines []record.Line) error {
	for _, l := range lines {
		if _, err := tx.ExecContext(ctx, "INSERT INTO lines (run, seq, line) SELECT ?1, coalesce(max(seq), 0) + 1, ?2 FROM lines WHERE run = ?1",
			run, string(l)); err != nil {
			return err
		}
	}
	return nil
}

// Append implements store.Store.
func (s *Store) Append(ctx context.Context, run string, lines []record.Line) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		if err := exists(ctx, tx, run); err != nil {
			return err
		}
		return appendLines(ctx, tx, run, lines)
	})
	if err != nil {
		return fmt.Errorf("append to the record of %s: %w", run, err)
	}
	return nil
}

func exists(ctx context.Context, tx *sql.Tx, run string) error {
	var one int
	err := tx.QueryRowContext(ctx, "SELECT 1 FROM runs WHERE id = ?", run).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return err
}

// Lines implements store.Store.
func (s *Store) Lines(ctx context.Context, run string, after, limit int) (_ []record.Line, err error) {
	if limit <= 0 {
		limit = -1
	}
	rows, err := s.read.QueryContext(ctx, "SELECT line FROM lines WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?", run, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the record of %s: %w", run, s.explain(err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var lines []record.Line
	for rows.Next() {
		var l string
		if err := rows.Scan(&l); err != nil {
			return nil, fmt.Errorf("read the record of %s: %w", run, s.explain(err))
		}
		lines = append(lines, record.Line(l))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the record of %s: %w", run, s.explain(err))
	}
	if len(lines) == 0 {
		if _, err := s.Load(ctx, run); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// AddIntent implements store.Store. An intent that is there already is kept.
func (s *Store) AddIntent(ctx context.Context, run string, i rollout.Intent) error {
	line, err := record.Encode(record.Intent{Intent: i})
	if err != nil {
		return fmt.Errorf("add an intent to %s: %w", run, err)
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		var ended string
		switch err := tx.QueryRowContext(ctx, "SELECT ended FROM runs WHERE id = ?", run).Scan(&ended); {
		case errors.Is(err, sql.ErrNoRows):
			return store.ErrNotFound
		case err != nil:
			return err
		case ended != "":
			return store.ErrEnded
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO intents (run, id, seq, intent)
			SELECT ?1, ?2, coalesce(max(seq), 0) + 1, ?3 FROM intents WHERE run = ?1 ON CONFLICT DO NOTHING`, run, i.ID, string(line))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return appendLines(ctx, tx, run, []record.Line{line})
	})
	if err != nil {
		return fmt.Errorf("add an intent to %s: %w", run, err)
	}
	return nil
}

// Intents implements store.Store.
func (s *Store) Intents(ctx context.Context, run string) (_ []rollout.Intent, err error) {
	rows, err := s.read.QueryContext(ctx, "SELECT intent FROM intents WHERE run = ? AND answer IS NULL ORDER BY seq", run)
	if err != nil {
		return nil, fmt.Errorf("read the intents of %s: %w", run, s.explain(err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var intents []rollout.Intent
	for rows.Next() {
		var text string
		var i rollout.Intent
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("read the intents of %s: %w", run, s.explain(err))
		}
		if err := json.Unmarshal([]byte(text), &i); err != nil {
			return nil, fmt.Errorf("read the intents of %s: %w", run, err)
		}
		intents = append(intents, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the intents of %s: %w", run, s.explain(err))
	}
	return intents, nil
}

// Answer implements store.Store.
func (s *Store) Answer(ctx context.Context, run, intent string) (engine.Answer, error) {
	var a engine.Answer
	var text sql.NullString
	err := s.read.QueryRowContext(ctx, "SELECT answer FROM intents WHERE run = ? AND id = ?", run, intent).Scan(&text)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && !text.Valid:
		return a, fmt.Errorf("answer to intent %s of %s: %w", intent, run, store.ErrNotFound)
	case err != nil:
		return a, fmt.Errorf("answer to intent %s of %s: %w", intent, run, s.explain(err))
	}
	if err := json.Unmarshal([]byte(text.String), &a); err != nil {
		return a, fmt.Errorf("answer to intent %s of %s: %w", intent, run, err)
	}
	return a, nil
}

// putOut puts messages in the outbox; one that was ever there is not put again.
func putOut(ctx context.Context, tx *sql.Tx, messages []store.Outgoing) error {
	for _, m := range messages {
		text, err := json.Marshal(m.Message)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO outbox (id, receiver, message, attempts, not_until) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			m.ID, m.To, string(text), m.Attempts, nanos(m.NotUntil)); err != nil {
			return err
		}
	}
	return nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Due implements store.Store.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) (_ []store.Outgoing, err error) {
	if limit <= 0 {
		limit = -1
	}
	rows, err := s.read.QueryContext(ctx, `SELECT id, receiver, message, attempts, not_until FROM outbox
		WHERE settled IS NULL AND not_until <= ? ORDER BY not_until, rowid LIMIT ?`, now.UnixNano(), limit)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", s.explain(err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var due []store.Outgoing
	for rows.Next() {
		var m store.Outgoing
		var text string
		var notUntil int64
		if err := rows.Scan(&m.ID, &m.To, &text, &m.Attempts, &notUntil); err != nil {
			return nil, fmt.Errorf("read the outbox: %w", s.explain(err))
		}
		if err := json.Unmarshal([]byte(text), &m.Message); err != nil {
			return nil, fmt.Errorf("read the outbox: %w", err)
		}
		m.NotUntil = time.Unix(0, notUntil).UTC()
		due = append(due, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the outbox: %w", s.explain(err))
	}
	return due, nil
}

// Settle implements store.Store.
func (s *Store) Settle(ctx context.Context, id string, delivered bool, retry time.Time, failure string) error {
	doing := "settle message " + id
	switch {
	case delivered:
		return s.change(ctx, doing, "UPDATE outbox SET settled = '', attempts = attempts + 1 WHERE id = ?", id)
	case retry.IsZero():
		return s.change(ctx, doing, "UPDATE outbox SET settled = ?, attempts = attempts + 1 WHERE id = ?", "given up: "+failure, id)
	}
	return s.change(ctx, doing, "UPDATE outbox SET not_until = ?, attempts = attempts + 1 WHERE id = ? AND settled IS NULL", nanos(retry), id)
}

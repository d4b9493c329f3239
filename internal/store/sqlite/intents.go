package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// AddIntent implements store.Store. The same intent again changes nothing.
func (s *Store) AddIntent(ctx context.Context, run string, i rollout.Intent) error {
	line, err := record.Encode(record.Intent{Intent: i})
	if err != nil {
		return fmt.Errorf("add intent %s: %w", i.ID, err)
	}
	return s.change(ctx, "add an intent to run "+run, func(tx *sql.Tx) error {
		var seq int64
		var endedAt string
		err := tx.QueryRowContext(ctx, `SELECT seq, ended_at FROM runs WHERE id = ?`, run).Scan(&seq, &endedAt)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return store.ErrNotFound
		case err != nil:
			return err
		case endedAt != "":
			return store.ErrEnded
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO intents (run, id, intent) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, seq, i.ID, string(line))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return appendLines(ctx, tx, seq, []record.Line{line})
	})
}

// Intents implements store.Store.
func (s *Store) Intents(ctx context.Context, run string) ([]rollout.Intent, error) {
	return answered(ctx, s, func() ([]rollout.Intent, error) {
		what := "read the intents of run " + run
		var seq int64
		if err := s.read.QueryRowContext(ctx, `SELECT seq FROM runs WHERE id = ?`, run).Scan(&seq); err != nil {
			return nil, s.named(ctx, what, err)
		}
		rows, err := s.read.QueryContext(ctx, `SELECT intent FROM intents WHERE run = ? AND answer IS NULL ORDER BY seq`, seq)
		if err != nil {
			return nil, s.named(ctx, what, err)
		}
		defer rows.Close()
		var open []rollout.Intent
		for rows.Next() {
			var data []byte
			var i rollout.Intent
			if err := rows.Scan(&data); err != nil {
				return nil, s.named(ctx, what, err)
			}
			if err := json.Unmarshal(data, &i); err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			open = append(open, i)
		}
		return open, s.named(ctx, what, rows.Err())
	})
}

// Answer implements store.Store.
func (s *Store) Answer(ctx context.Context, run, intent string) (engine.Answer, error) {
	return answered(ctx, s, func() (engine.Answer, error) {
		what := "answer to intent " + intent
		var a engine.Answer
		var data []byte
		err := s.read.QueryRowContext(ctx, `SELECT answer FROM intents
			WHERE id = ? AND run = (SELECT seq FROM runs WHERE id = ?) AND answer IS NOT NULL`, intent, run).Scan(&data)
		if err != nil {
			return a, s.named(ctx, what, err)
		}
		if err := json.Unmarshal(data, &a); err != nil {
			return a, fmt.Errorf("%s: %w", what, err)
		}
		return a, nil
	})
}

// putAnswers closes intents; the first answer stays.
func putAnswers(ctx context.Context, tx *sql.Tx, seq int64, answers []engine.Answer) error {
	for _, a := range answers {
		data, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("write the answer to intent %s: %w", a.ID, err)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE intents SET answer = ? WHERE run = ? AND id = ? AND answer IS NULL`, string(data), seq, a.ID); err != nil {
			return fmt.Errorf("answer intent %s: %w", a.ID, err)
		}
	}
	return nil
}

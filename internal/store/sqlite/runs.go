package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
)

const timeForm = time.RFC3339Nano

// fixed is a run without what Save changes.
func fixed(r store.Run) store.Run {
	r.State = engine.State{}
	r.Version, r.EndedAt, r.Archived, r.Report = 0, time.Time{}, false, ""
	return r
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, r store.Run, lines []record.Line, messages []store.Outgoing) error {
	state, err := json.Marshal(r.State)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		var active string
		err := tx.QueryRowContext(ctx, "SELECT id FROM runs WHERE rollout = ? AND ended = ''", r.Rollout).Scan(&active)
		if err == nil {
			return fmt.Errorf("%w: %s", store.ErrActive, active)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) + 1 FROM runs WHERE rollout = ?", r.Rollout).Scan(&r.Number); err != nil {
			return err
		}
		run, err := json.Marshal(fixed(r))
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO runs (id, rollout, number, run, state, version) VALUES (?, ?, ?, ?, ?, 1)",
			r.ID, r.Rollout, r.Number, string(run), string(state)); err != nil {
			return err
		}
		return errors.Join(appendLines(ctx, tx, r.ID, lines), putOut(ctx, tx, messages))
	})
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	return nil
}

const runColumns = "run, state, version, ended, archived, report"

func scanRun(row interface{ Scan(...any) error }) (store.Run, error) {
	var r store.Run
	var run, state, ended, report string
	var version int64
	var archived bool
	if err := row.Scan(&run, &state, &version, &ended, &archived, &report); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return r, store.ErrNotFound
		}
		return r, err
	}
	if err := json.Unmarshal([]byte(run), &r); err != nil {
		return r, fmt.Errorf("stored run: %w", err)
	}
	if err := json.Unmarshal([]byte(state), &r.State); err != nil {
		return r, fmt.Errorf("stored state of %s: %w", r.ID, err)
	}
	r.Version, r.Archived, r.Report = version, archived, report
	if ended != "" {
		at, err := time.Parse(timeForm, ended)
		if err != nil {
			return r, fmt.Errorf("stored end of %s: %w", r.ID, err)
		}
		r.EndedAt = at
	}
	return r, nil
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, id string) (store.Run, error) {
	r, err := scanRun(s.read.QueryRowContext(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?", id))
	if err != nil {
		return r, fmt.Errorf("load run %s: %w", id, s.explain(err))
	}
	return r, nil
}

// Active implements store.Store.
func (s *Store) Active(ctx context.Context, rollout string) (store.Run, error) {
	r, err := scanRun(s.read.QueryRowContext(ctx, "SELECT "+runColumns+" FROM runs WHERE rollout = ? AND ended = ''", rollout))
	if err != nil {
		return r, fmt.Errorf("active run of %s: %w", rollout, s.explain(err))
	}
	return r, nil
}

// Runs implements store.Store.
func (s *Store) Runs(ctx context.Context, rollout string, limit int) (_ []store.Run, err error) {
	if limit <= 0 {
		limit = -1
	}
	rows, err := s.read.QueryContext(ctx, `SELECT run, json_remove(state, '$.analysis', '$.assessment', '$.passes'), version, ended, archived, report
		FROM runs WHERE ? IN ('', rollout) ORDER BY rowid DESC LIMIT ?`, rollout, limit)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", s.explain(err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var runs []store.Run
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", s.explain(err))
		}
		r.State.Analysis = analysis.State{}
		runs = append(runs, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list runs: %w", s.explain(err))
	}
	return runs, nil
}

// Save implements store.Store.
func (s *Store) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	state, err := json.Marshal(r.State)
	if err != nil {
		return 0, fmt.Errorf("save run %s: %w", r.ID, err)
	}
	ended := ""
	if !r.EndedAt.IsZero() {
		ended = r.EndedAt.Format(timeForm)
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE runs SET state = ?, ended = ?, version = version + 1 WHERE id = ? AND version = ?",
			string(state), ended, r.ID, r.Version)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return s.whyNot(ctx, tx, r)
		}
		for _, a := range c.Answered {
			answer, err := json.Marshal(a)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE intents SET answer = ? WHERE run = ? AND id = ?", string(answer), r.ID, a.ID); err != nil {
				return err
			}
		}
		return errors.Join(appendLines(ctx, tx, r.ID, c.Lines), putOut(ctx, tx, c.Messages))
	})
	if err != nil {
		return 0, fmt.Errorf("save run %s: %w", r.ID, err)
	}
	return r.Version + 1, nil
}

// whyNot says why a save matched no run.
func (s *Store) whyNot(ctx context.Context, tx *sql.Tx, r store.Run) error {
	var version int64
	switch err := tx.QueryRowContext(ctx, "SELECT version FROM runs WHERE id = ?", r.ID).Scan(&version); {
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrNotFound
	case err != nil:
		return err
	}
	return fmt.Errorf("it was loaded at version %d and has %d: %w", r.Version, version, store.ErrConflict)
}

// SetArchived implements store.Store.
func (s *Store) SetArchived(ctx context.Context, run, report string) error {
	return s.change(ctx, "note the archive of "+run, "UPDATE runs SET archived = 1, report = ? WHERE id = ?", report, run)
}

// change executes a statement that must match a row.
func (s *Store) change(ctx context.Context, doing, statement string, args ...any) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return store.ErrNotFound
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Prune removes the records of runs that are in the archive, all but the newest
// keep of each rollout. The runs themselves stay listed.
func (s *Store) Prune(ctx context.Context, keep int) error {
	err := s.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM lines WHERE run IN (
			SELECT id FROM (SELECT id, archived, ended, row_number() OVER (PARTITION BY rollout ORDER BY number DESC) AS place FROM runs)
			WHERE archived = 1 AND ended <> '' AND place > ?)`, keep)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM outbox WHERE settled IS NOT NULL AND not_until < ?", time.Now().Add(-7*24*time.Hour).UnixNano())
		return err
	})
	if err != nil {
		return fmt.Errorf("prune records: %w", err)
	}
	return nil
}

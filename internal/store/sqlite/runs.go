package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
)

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, r store.Run, lines []record.Line, messages []store.Outgoing) error {
	w, err := write(r)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	return s.change(ctx, "create run "+r.ID, func(tx *sql.Tx) error {
		if active, err := activeID(ctx, tx, r.Rollout); err == nil {
			return fmt.Errorf("%w: %s", store.ErrActive, active)
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var seq int64
		err := tx.QueryRowContext(ctx, `INSERT INTO runs (id, rollout, number, pinned, ended_at, version, state, analysis)
			VALUES (?1, ?2, (SELECT 1 + coalesce(max(number), 0) FROM runs WHERE rollout = ?2), ?3, ?4, 1, ?5, ?6)
			RETURNING seq`, r.ID, r.Rollout, w.pinned, w.endedAt, w.state, w.analysis).Scan(&seq)
		if isUnique(err) {
			return fmt.Errorf("a run of this name is there already: %w", store.ErrConflict)
		}
		if err != nil {
			return err
		}
		if err := appendLines(ctx, tx, seq, lines); err != nil {
			return err
		}
		return putMessages(ctx, tx, messages)
	})
}

func activeID(ctx context.Context, tx *sql.Tx, rollout string) (id string, err error) {
	err = tx.QueryRowContext(ctx, `SELECT id FROM runs WHERE rollout = ? AND ended_at = ''`, rollout).Scan(&id)
	return id, err
}

// Save implements store.Store.
func (s *Store) Save(ctx context.Context, r store.Run, c store.Change) (int64, error) {
	w, err := write(r)
	if err != nil {
		return 0, fmt.Errorf("save run %s: %w", r.ID, err)
	}
	version := r.Version + 1
	err = s.change(ctx, "save run "+r.ID, func(tx *sql.Tx) error {
		var seq int64
		err := tx.QueryRowContext(ctx, `UPDATE runs SET state = ?, analysis = ?, ended_at = ?, version = ?
			WHERE id = ? AND version = ? RETURNING seq`,
			w.state, w.analysis, w.endedAt, version, r.ID, r.Version).Scan(&seq)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return conflict(ctx, tx, r)
		case isUnique(err):
			return fmt.Errorf("it had ended: %w", store.ErrActive)
		case err != nil:
			return err
		}
		if err := appendLines(ctx, tx, seq, c.Lines); err != nil {
			return err
		}
		if err := putAnswers(ctx, tx, seq, c.Answered); err != nil {
			return err
		}
		return putMessages(ctx, tx, c.Messages)
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// conflict says why no run of r's version could be replaced.
func conflict(ctx context.Context, tx *sql.Tx, r store.Run) error {
	var have int64
	err := tx.QueryRowContext(ctx, `SELECT version FROM runs WHERE id = ?`, r.ID).Scan(&have)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("it has version %d and this is about version %d: %w", have, r.Version, store.ErrConflict)
}

// SetArchived implements store.Store.
func (s *Store) SetArchived(ctx context.Context, run, report string) error {
	return s.change(ctx, "note the archive of run "+run, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE runs SET archived = 1, report = ? WHERE id = ?`, report, run))
	})
}

// one answers store.ErrNotFound when a statement changed nothing.
func one(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, store.ErrNotFound)
	}
	return nil
}

const columns = `number, pinned, ended_at, version, archived, report, state`

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, id string) (store.Run, error) {
	return answered(ctx, s, func() (store.Run, error) {
		r, err := scanWhole(s.read.QueryRowContext(ctx, `SELECT `+columns+`, analysis FROM runs WHERE id = ?`, id))
		return r, s.named(ctx, "load run "+id, err)
	})
}

// Active implements store.Store.
func (s *Store) Active(ctx context.Context, rollout string) (store.Run, error) {
	return answered(ctx, s, func() (store.Run, error) {
		r, err := scanWhole(s.read.QueryRowContext(ctx, `SELECT `+columns+`, analysis FROM runs WHERE rollout = ? AND ended_at = ''`, rollout))
		return r, s.named(ctx, "active run of "+rollout, err)
	})
}

// Runs implements store.Store.
func (s *Store) Runs(ctx context.Context, rollout string, limit int) ([]store.Run, error) {
	return answered(ctx, s, func() ([]store.Run, error) {
		if limit <= 0 {
			limit = -1
		}
		const what = "list runs"
		rows, err := s.read.QueryContext(ctx, `SELECT `+columns+` FROM runs
			WHERE ?1 = '' OR rollout = ?1 ORDER BY seq DESC LIMIT ?2`, rollout, limit)
		if err != nil {
			return nil, s.named(ctx, what, err)
		}
		defer rows.Close()
		var out []store.Run
		for rows.Next() {
			r, err := scan(rows)
			if err != nil {
				return nil, s.named(ctx, what, err)
			}
			out = append(out, r)
		}
		return out, s.named(ctx, what, rows.Err())
	})
}

// named says what was being done, and speaks the port's errors.
func (s *Store) named(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %w", what, store.ErrNotFound)
	}
	return fmt.Errorf("%s: %w", what, s.explain(ctx, err))
}

// written is a run as its columns hold it.
type written struct{ pinned, state, analysis, endedAt string }

// write splits a run into what never changes, the state, and the analysis.
func write(r store.Run) (written, error) {
	judged := r.State.Analysis
	r.State.Analysis = analysis.State{}
	state, err1 := json.Marshal(r.State)
	heavy, err2 := json.Marshal(judged)
	pinned := r
	pinned.State, pinned.EndedAt, pinned.Number, pinned.Version = store.Run{}.State, time.Time{}, 0, 0
	pinned.Archived, pinned.Report = false, ""
	fixed, err3 := json.Marshal(pinned)
	if err := errors.Join(err1, err2, err3); err != nil {
		return written{}, fmt.Errorf("write it as JSON: %w", err)
	}
	w := written{pinned: string(fixed), state: string(state), analysis: string(heavy)}
	if !r.EndedAt.IsZero() {
		w.endedAt = r.EndedAt.Format(time.RFC3339Nano)
	}
	return w, nil
}

type scanner interface{ Scan(into ...any) error }

// scan reads columns, followed by what more points to.
func scan(row scanner, more ...any) (store.Run, error) {
	var number int
	var version int64
	var pinned, state []byte
	var endedAt, report string
	var archived bool
	if err := row.Scan(append([]any{&number, &pinned, &endedAt, &version, &archived, &report, &state}, more...)...); err != nil {
		return store.Run{}, err
	}
	var r store.Run
	if err := json.Unmarshal(pinned, &r); err != nil {
		return r, fmt.Errorf("read its pinned part: %w", err)
	}
	r.State = store.Run{}.State
	if err := json.Unmarshal(state, &r.State); err != nil {
		return r, fmt.Errorf("read its state: %w", err)
	}
	r.State.Analysis = analysis.State{}
	r.Number, r.Version, r.Archived, r.Report = number, version, archived, report
	if endedAt != "" {
		var err error
		if r.EndedAt, err = time.Parse(time.RFC3339Nano, endedAt); err != nil {
			return r, fmt.Errorf("read when it ended: %w", err)
		}
	}
	return r, nil
}

// scanWhole reads columns and the analysis.
func scanWhole(row scanner) (store.Run, error) {
	var heavy []byte
	r, err := scan(row, &heavy)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(heavy, &r.State.Analysis); err != nil {
		return r, fmt.Errorf("read its analysis: %w", err)
	}
	return r, nil
}

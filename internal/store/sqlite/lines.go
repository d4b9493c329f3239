package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
)

// Append implements store.Store.
func (s *Store) Append(ctx context.Context, run string, lines []record.Line) error {
	return s.change(ctx, "append to the record of run "+run, func(tx *sql.Tx) error {
		seq, err := seqOf(ctx, tx, run)
		if err != nil {
			return err
		}
		return appendLines(ctx, tx, seq, lines)
	})
}

func seqOf(ctx context.Context, tx *sql.Tx, run string) (seq int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT seq FROM runs WHERE id = ?`, run).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, store.ErrNotFound
	}
	return seq, err
}

// appendLines gives each line the next place in the run's record. A place can
// be taken once, so no line is ever there twice or overwritten.
func appendLines(ctx context.Context, tx *sql.Tx, seq int64, lines []record.Line) error {
	if len(lines) == 0 {
		return nil
	}
	var last int
	err := tx.QueryRowContext(ctx, `UPDATE runs SET last_line = last_line + ? WHERE seq = ? RETURNING last_line`, len(lines), seq).Scan(&last)
	if err != nil {
		return fmt.Errorf("count its lines: %w", err)
	}
	insert, err := tx.PrepareContext(ctx, `INSERT INTO lines (run, n, line) VALUES (?, ?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for i, line := range lines {
		if _, err := insert.ExecContext(ctx, seq, last-len(lines)+i+1, string(line)); err != nil {
			return fmt.Errorf("write line %d: %w", last-len(lines)+i+1, err)
		}
	}
	return nil
}

// Lines implements store.Store. The lines of a run that was pruned are not
// found; the error says where they are.
func (s *Store) Lines(ctx context.Context, run string, after, limit int) ([]record.Line, error) {
	return answered(ctx, s, func() ([]record.Line, error) {
		what := "read the record of run " + run
		var seq int64
		var pruned bool
		var report string
		err := s.read.QueryRowContext(ctx, `SELECT seq, pruned, report FROM runs WHERE id = ?`, run).Scan(&seq, &pruned, &report)
		if err != nil {
			return nil, s.named(ctx, what, err)
		}
		if pruned {
			return nil, fmt.Errorf("%s: it is only in the archive by now, beside its report %s: %w", what, report, store.ErrNotFound)
		}
		if limit <= 0 {
			limit = -1
		}
		rows, err := s.read.QueryContext(ctx, `SELECT line FROM lines WHERE run = ? AND n > ? ORDER BY n LIMIT ?`, seq, max(after, 0), limit)
		if err != nil {
			return nil, s.named(ctx, what, err)
		}
		defer rows.Close()
		var lines []record.Line
		for rows.Next() {
			var line record.Line
			if err := rows.Scan((*[]byte)(&line)); err != nil {
				return nil, s.named(ctx, what, err)
			}
			lines = append(lines, line)
		}
		return lines, s.named(ctx, what, rows.Err())
	})
}

// Prune bounds the database: it forgets the record lines, the analysis and the
// settled messages of ended, archived runs, except of the newest keep runs of
// each rollout. It returns how many runs it pruned. The runs themselves stay in
// the history.
func (s *Store) Prune(ctx context.Context, keep int) (int, error) {
	var pruned int
	err := s.change(ctx, "prune the database", func(tx *sql.Tx) error {
		old, err := prunable(ctx, tx, keep)
		if err != nil {
			return err
		}
		for _, r := range old {
			for _, del := range []struct {
				query string
				arg   any
			}{
				{`DELETE FROM lines WHERE run = ?`, r.seq},
				{`DELETE FROM intents WHERE run = ? AND answer IS NOT NULL`, r.seq},
				{`DELETE FROM outbox WHERE run = ? AND standing <> 'open'`, r.id},
				{`UPDATE runs SET pruned = 1, analysis = '{}' WHERE seq = ?`, r.seq},
			} {
				if _, err := tx.ExecContext(ctx, del.query, del.arg); err != nil {
					return fmt.Errorf("run %s: %w", r.id, err)
				}
			}
		}
		pruned = len(old)
		return nil
	})
	if err != nil || pruned == 0 {
		return 0, err
	}
	// Give the space back to the disk.
	_, err = answered(ctx, s, func() (sql.Result, error) { return s.write.ExecContext(ctx, `PRAGMA incremental_vacuum`) })
	if err != nil {
		return pruned, s.named(ctx, "shrink the database", err)
	}
	return pruned, nil
}

type prunee struct {
	seq int64
	id  string
}

func prunable(ctx context.Context, tx *sql.Tx, keep int) ([]prunee, error) {
	rows, err := tx.QueryContext(ctx, `SELECT seq, id FROM runs AS r
		WHERE archived = 1 AND pruned = 0 AND ended_at <> ''
		AND ? <= (SELECT count(*) FROM runs WHERE rollout = r.rollout AND number > r.number)`, max(keep, 0))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var old []prunee
	for rows.Next() {
		var r prunee
		if err := rows.Scan(&r.seq, &r.id); err != nil {
			return nil, err
		}
		old = append(old, r)
	}
	return old, rows.Err()
}

package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"serin.dev/serin/internal/store"
)

// applicationID marks the file as serin's: "SRN1".
const applicationID = 0x53524e31

// migrations lead from each schema version to the next; a database's version
// is how many of them it has seen. One that has been released never changes.
var migrations = []string{
	`CREATE TABLE runs (
		seq        INTEGER PRIMARY KEY,
		id         TEXT NOT NULL UNIQUE,
		rollout    TEXT NOT NULL,
		number     INTEGER NOT NULL,
		-- What never changes in a run, as JSON.
		pinned     TEXT NOT NULL,
		-- Empty while the run goes on.
		ended_at   TEXT NOT NULL DEFAULT '',
		version    INTEGER NOT NULL,
		archived   INTEGER NOT NULL DEFAULT 0,
		report     TEXT NOT NULL DEFAULT '',
		last_line  INTEGER NOT NULL DEFAULT 0,
		pruned     INTEGER NOT NULL DEFAULT 0,
		-- The state, and the large part of it that lists do not read.
		state      TEXT NOT NULL,
		analysis   TEXT NOT NULL,
		UNIQUE (rollout, number)
	);
	CREATE UNIQUE INDEX runs_active ON runs (rollout) WHERE ended_at = '';

	CREATE TABLE lines (
		run  INTEGER NOT NULL REFERENCES runs (seq),
		n    INTEGER NOT NULL,
		line TEXT NOT NULL
	);
	CREATE UNIQUE INDEX lines_place ON lines (run, n);

	CREATE TABLE intents (
		seq    INTEGER PRIMARY KEY,
		run    INTEGER NOT NULL REFERENCES runs (seq),
		id     TEXT NOT NULL,
		intent TEXT NOT NULL,
		answer TEXT,
		UNIQUE (run, id)
	);
	CREATE INDEX intents_open ON intents (run) WHERE answer IS NULL;

	CREATE TABLE outbox (
		seq       INTEGER PRIMARY KEY,
		-- Kept after a message is settled, so that it is never put in again.
		id        TEXT NOT NULL UNIQUE,
		run       TEXT NOT NULL,
		receiver  TEXT NOT NULL,
		message   TEXT NOT NULL,
		attempts  INTEGER NOT NULL,
		not_until INTEGER NOT NULL,
		-- open, delivered or givenUp
		standing  TEXT NOT NULL DEFAULT 'open',
		failure   TEXT NOT NULL DEFAULT ''
	);
	CREATE INDEX outbox_due ON outbox (not_until, seq) WHERE standing = 'open';
	CREATE INDEX outbox_run ON outbox (run);`,
}

// migrate brings the database to this program's schema.
func (s *Store) migrate(ctx context.Context) error {
	version, err := s.schema(ctx, s.write)
	if err != nil || version == len(migrations) {
		return err
	}
	return s.change(ctx, "prepare the database", func(tx *sql.Tx) error {
		// Another process may have been faster.
		version, err := s.schema(ctx, tx)
		if err != nil {
			return err
		}
		for ; version < len(migrations); version++ {
			if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
				return fmt.Errorf("bring it to form %d: %w", version+1, err)
			}
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version))
		return err
	})
}

// schema returns the database's version, 0 for an empty one.
func (s *Store) schema(ctx context.Context, q interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
},
) (int, error) {
	var id, version, tables int
	err := q.QueryRowContext(ctx, `SELECT
		(SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`).Scan(&id, &version, &tables)
	switch {
	case err != nil:
		return 0, s.explain(ctx, err)
	case id != applicationID && tables > 0:
		return 0, fmt.Errorf("%s is a database of another program; move it away or set SERIN_STATE to another folder: %w", s.path, store.ErrUnavailable)
	case version > len(migrations):
		return 0, fmt.Errorf("%s has form %d and this program reads up to form %d: %w; use the newer serin, or move the file away to begin anew",
			s.path, version, len(migrations), store.ErrNewer)
	}
	return version, nil
}

// Package sqlite is the store that is one file: SQLite in WAL mode, without
// cgo. Two programs may have it open at once; each save is one transaction
// that is on the disk when it returns.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	lite "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"serin.dev/serin/internal/store"
)

// busyTimeout is how long a write waits for another program's.
const busyTimeout = 5 * time.Second

// Options tune a Store.
type Options struct {
	Logger *slog.Logger
}

// Store is a store in one file.
type Store struct {
	path string
	// write has one connection, so that writers of this program queue here and
	// not on the file's lock; read has several.
	write, read *sql.DB
	log         *slog.Logger
}

var _ store.Store = (*Store)(nil)

// Open opens the file at path, making it and its folder when there are none.
// The error wraps store.ErrNewer for a file of a newer program.
func Open(path string, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the database: %w", err)
	}
	// The file is made here so that its mode is never wider, not even for a moment.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s := &Store{path: path, log: o.Logger}
	if s.write, err = connect(path, "immediate", 1); err != nil {
		return nil, err
	}
	if s.read, err = connect(path, "deferred", 4); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*busyTimeout)
	defer cancel()
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// connect opens a pool. synchronous(FULL) makes a commit durable before it
// returns.
func connect(path, txlock string, connections int) (*sql.DB, error) {
	q := url.Values{}
	q.Set("_txlock", txlock)
	for _, p := range []string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
	} {
		q.Add("_pragma", p)
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetConnMaxIdleTime(0)
	return db, nil
}

// Close implements store.Store.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// migrations are applied in order; the file's user_version counts those done.
// One that has been released is never changed.
var migrations = []string{`
CREATE TABLE runs (
	id       TEXT PRIMARY KEY,
	rollout  TEXT NOT NULL,
	number   INTEGER NOT NULL,
	run      TEXT NOT NULL, -- everything that does not change, as JSON
	state    TEXT NOT NULL,
	version  INTEGER NOT NULL,
	ended    TEXT NOT NULL DEFAULT '',
	archived INTEGER NOT NULL DEFAULT 0,
	report   TEXT NOT NULL DEFAULT '',
	UNIQUE (rollout, number)
) STRICT;
CREATE UNIQUE INDEX one_active_run ON runs (rollout) WHERE ended = '';

CREATE TABLE lines (
	run  TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
	seq  INTEGER NOT NULL,
	line TEXT NOT NULL,
	PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE intents (
	run    TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
	id     TEXT NOT NULL,
	seq    INTEGER NOT NULL,
	intent TEXT NOT NULL,
	answer TEXT,
	PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
	id        TEXT PRIMARY KEY,
	receiver  TEXT NOT NULL,
	message   TEXT NOT NULL,
	attempts  INTEGER NOT NULL DEFAULT 0,
	not_until INTEGER NOT NULL, -- nanoseconds since 1970
	settled   TEXT              -- NULL while it waits, else '' or why it was given up
) STRICT;
CREATE INDEX due ON outbox (not_until) WHERE settled IS NULL;
`}

func (s *Store) migrate(ctx context.Context) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("%s has form %d and this program reads up to %d; run the newer serin, or move the file away to begin anew: %w",
				s.path, version, len(migrations), store.ErrNewer)
		}
		for i := version; i < len(migrations); i++ {
			if _, err := tx.ExecContext(ctx, migrations[i]); err != nil {
				return err
			}
		}
		if version == len(migrations) {
			return nil
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(migrations)))
		return err
	})
}

// transact runs fn in one write transaction.
func (s *Store) transact(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(s.explain(err), ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return errors.Join(s.explain(err), ignoreDone(tx.Rollback()))
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// explain turns the database's errors into the port's, with what to do.
func (s *Store) explain(err error) error {
	var e *lite.Error
	if !errors.As(err, &e) {
		switch {
		case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
			return fmt.Errorf("%w: %w", store.ErrFull, err)
		case errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		return err
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_FULL:
		return fmt.Errorf("%w for %s; free some: %w", store.ErrFull, s.path, err)
	case lib.SQLITE_IOERR:
		// A write that the disk refuses, mostly for want of space.
		if e.Code() == lib.SQLITE_IOERR_WRITE || e.Code() == lib.SQLITE_IOERR_SHMSIZE || e.Code() == lib.SQLITE_IOERR_FSYNC {
			return fmt.Errorf("%w for %s, or the disk fails; free some: %w", store.ErrFull, s.path, err)
		}
		return fmt.Errorf("%w: %s cannot be read or written; check the disk: %w", store.ErrUnavailable, s.path, err)
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_INTERRUPT:
		return fmt.Errorf("%w: %s: %w", store.ErrUnavailable, s.path, err)
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return fmt.Errorf("%w: %s is damaged or no database of serin; restore it, or move it away to begin anew (records of ended runs are in the archive): %w", store.ErrUnavailable, s.path, err)
	}
	return err
}

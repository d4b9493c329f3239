// Package sqlite keeps live state in one SQLite file: the store of the
// one-machine home. Several processes may have the same file open.
//
// It knows tables and the disk. It must not know what a state means, and it
// never decides: it refuses a save that would overwrite somebody else's.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver; no cgo

	"serin.dev/serin/internal/store"
)

// Options may be zero.
type Options struct {
	// Logger hears of what was mended while opening.
	Logger *slog.Logger
	// Busy bounds the wait for another process' write; 0: 5 s. A shorter
	// context wins.
	Busy time.Duration
	// Readers bounds the connections that read; 0: 4.
	Readers int
}

// Store implements store.Store. One connection writes, so that writers in this
// process wait in line without polling; others read beside it.
type Store struct {
	path string
	// write holds the single connection that may change anything.
	write *sql.DB
	read  *sql.DB
}

var _ store.Store = (*Store)(nil)

const (
	defaultBusy    = 5 * time.Second
	defaultReaders = 4
	// openTimeout bounds Open as a whole.
	openTimeout = 15 * time.Second
	// closeTimeout bounds Close.
	closeTimeout = 5 * time.Second
	// lastWord is how long an answer is waited for when the context has ended.
	lastWord = 200 * time.Millisecond
)

// Open opens the database at path and makes it, with its folder, when it is
// missing. The error wraps store.ErrNewer when a newer program wrote it,
// ErrDamaged when it cannot be read as a database, store.ErrFull and
// store.ErrUnavailable as everywhere.
func Open(path string, opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if opts.Busy <= 0 {
		opts.Busy = defaultBusy
	}
	if opts.Readers <= 0 {
		opts.Readers = defaultReaders
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	empty, err := makeFile(path, opts.Logger)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	s, err := open(ctx, path, opts, empty)
	// Two processes that make the same database at once can meet in the switch
	// to write-ahead logging, for which SQLite does not wait.
	for pause := 5 * time.Millisecond; errors.Is(err, errBusy) && ctx.Err() == nil; pause *= 2 {
		time.Sleep(min(pause, time.Second))
		s, err = open(ctx, path, opts, empty)
	}
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, path string, opts Options, empty bool) (*Store, error) {
	pragmas := []string{"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "journal_size_limit(16777216)"}
	if empty {
		// Before anything is written; in an existing file it would be a write.
		pragmas = append([]string{"auto_vacuum(2)"}, pragmas...)
	}
	write, err := sql.Open("sqlite", dsn(path, opts, pragmas...))
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn(path, opts, "query_only(1)"))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(opts.Readers)
	read.SetMaxIdleConns(opts.Readers)
	s := &Store{path: path, write: write, read: read}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// dsn names the file and what every connection begins with.
func dsn(path string, opts Options, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", opts.Busy.Milliseconds()))
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// makeFile makes folder and file so that nobody else can read them: records
// hold log lines and versions. SQLite gives its side files the same mode.
func makeFile(path string, log *slog.Logger) (empty bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, fmt.Errorf("make the folder of the database: %w; set SERIN_STATE to a folder that can be written: %w", err, unavailable(err))
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, fmt.Errorf("make the database: %w; the file and its folder must be writable by the user that runs serin: %w", err, unavailable(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("look at the database: %w", err)
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("the database %s is not a file: %w", path, store.ErrUnavailable)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return false, fmt.Errorf("keep the database from other users: %w: %w", err, store.ErrUnavailable)
		}
		log.Info("the database could be read by other users; its mode is 0600 now", "file", path)
	}
	return info.Size() == 0, nil
}

// unavailable is the port's word for an error of the file system.
func unavailable(err error) error {
	if isFull(err) {
		return store.ErrFull
	}
	if errors.Is(err, fs.ErrNotExist) {
		return store.ErrNotFound
	}
	return store.ErrUnavailable
}

// Close implements store.Store. The last one to close folds the log into the
// file. A disk that hangs is not waited for.
func (s *Store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, err := answered(ctx, s, func() (struct{}, error) {
		return struct{}{}, errors.Join(s.read.Close(), s.write.Close())
	})
	return err
}

// change runs fn in one transaction and names what was being done on error.
// Nothing of a failed change is kept.
func (s *Store) change(ctx context.Context, what string, fn func(*sql.Tx) error) error {
	_, err := answered(ctx, s, func() (struct{}, error) {
		tx, err := s.write.BeginTx(ctx, nil)
		if err != nil {
			return struct{}{}, err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to undo
		if err := fn(tx); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, tx.Commit()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, s.explain(ctx, err))
	}
	return nil
}

// answered returns what do returns, or ctx's error when it has ended: a disk may
// hang in a system call, which no context ends. What goes on alone then is bounded
// by the connections.
func answered[T any](ctx context.Context, s *Store, do func() (T, error)) (T, error) {
	if ctx.Done() == nil {
		return do()
	}
	type answer struct {
		value T
		err   error
	}
	came := make(chan answer, 1)
	go func() {
		value, err := do()
		came <- answer{value, err}
	}()
	select {
	case a := <-came:
		return a.value, a.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(lastWord)
	defer timer.Stop()
	select {
	case a := <-came: // it says better what it was about
		return a.value, a.err
	case <-timer.C:
		return *new(T), fmt.Errorf("%s hangs, look at its disk: %w: %w", s.path, store.ErrUnavailable, ctx.Err())
	}
}

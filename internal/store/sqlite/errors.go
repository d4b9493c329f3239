package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"syscall"

	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"serin.dev/serin/internal/store"
)

// ErrDamaged is wrapped when the file is no database, or is broken.
var ErrDamaged = errors.New("the database is damaged")

// errBusy is wrapped, beside store.ErrUnavailable, when somebody else was
// writing for longer than the wait.
var errBusy = errors.New("another process is writing")

// explain turns the driver's errors into the port's, naming the file and what
// to do about it.
func (s *Store) explain(ctx context.Context, err error) error {
	var e *driver.Error
	switch {
	case errors.Is(err, sql.ErrConnDone):
		return fmt.Errorf("the store is closed: %w: %w", store.ErrUnavailable, err)
	case !errors.As(err, &e) && errors.Is(err, context.DeadlineExceeded): // in line behind another write of this program
		return fmt.Errorf("%s did not answer in time: %w: %w", s.path, store.ErrUnavailable, err)
	case !errors.As(err, &e):
		return err
	case e.Code() == code.SQLITE_INTERRUPT && ctx.Err() != nil:
		return fmt.Errorf("%s did not answer in time: %w: %w", s.path, store.ErrUnavailable, ctx.Err())
	}
	// The lower byte is the kind of error, the rest says where it came up.
	switch e.Code() & 0xff {
	case code.SQLITE_FULL:
		return fmt.Errorf("%s: %w; make room on its disk, serin goes on by itself then: %w", s.path, store.ErrFull, err)
	case code.SQLITE_IOERR:
		if noRoom[e.Code()] {
			return fmt.Errorf("%s cannot grow: %w; make room on its disk, or raise the quota or file size limit, serin goes on by itself then: %w", s.path, store.ErrFull, err)
		}
		return fmt.Errorf("%s cannot be read or written, look at its disk: %w: %w", s.path, store.ErrUnavailable, err)
	case code.SQLITE_BUSY, code.SQLITE_LOCKED:
		return fmt.Errorf("%s: %w for too long: %w: %w", s.path, errBusy, store.ErrUnavailable, err)
	case code.SQLITE_CORRUPT, code.SQLITE_NOTADB:
		return fmt.Errorf("%s: %w (%w): move it away together with the files of the same name ending in -wal and -shm, "+
			"then start again: stable goes on serving, and finished runs are in the archive: %w", s.path, ErrDamaged, err, store.ErrUnavailable)
	case code.SQLITE_CANTOPEN, code.SQLITE_READONLY, code.SQLITE_PERM, code.SQLITE_AUTH:
		return fmt.Errorf("%s cannot be opened for writing; it and its folder must be writable by the user that runs serin: %w: %w", s.path, store.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", s.path, err)
}

// noRoom lists how SQLite reports that a file could not grow for another
// reason than a full disk: a quota, a file size limit, or the index of the
// write-ahead log.
var noRoom = map[int]bool{
	code.SQLITE_IOERR_WRITE:    true,
	code.SQLITE_IOERR_SHMSIZE:  true,
	code.SQLITE_IOERR_SHMMAP:   true,
	code.SQLITE_IOERR_TRUNCATE: true,
}

// isFull reports whether the file system had no room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// isUnique reports that err is about a value that is there already.
func isUnique(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && (e.Code() == code.SQLITE_CONSTRAINT_UNIQUE || e.Code() == code.SQLITE_CONSTRAINT_PRIMARYKEY)
}

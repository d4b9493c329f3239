// Package archive is the port to where finished records, logs and reports are
// kept. It knows named files of a run; it must not know what is in them.
package archive

import (
	"context"
	"io"
)

// Archive keeps the files of finished runs.
type Archive interface {
	// Put stores what r yields under rollout, run and name, replacing an
	// earlier version whole, and returns where it can be found: a path or a
	// URL. A name may contain slashes, never "..".
	Put(ctx context.Context, rollout, run, name string, r io.Reader) (location string, err error)
	// Open returns a stored file; the error wraps fs.ErrNotExist when there is
	// none.
	Open(ctx context.Context, rollout, run, name string) (io.ReadCloser, error)
	// List returns the names stored for a run, sorted.
	List(ctx context.Context, rollout, run string) ([]string, error)
}

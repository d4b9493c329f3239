package app

import (
	"context"
	"fmt"
	"io"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/store"
)

// archives finds each run's files in the archive that the run's own rollout
// named, wherever that was; dir is the default folder.
type archives struct {
	store store.Store
	dir   string
}

var _ archive.Archive = archives{}

func (a archives) of(ctx context.Context, run string) (archive.Archive, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	r, err := a.store.Load(ctx, run)
	if err != nil {
		return nil, fmt.Errorf("find the archive of %s: %w", run, err)
	}
	return builtin.NewArchive(r.Spec.Spec.Archive, a.dir)
}

// Put implements archive.Archive.
func (a archives) Put(ctx context.Context, rollout, run, name string, r io.Reader) (string, error) {
	ar, err := a.of(ctx, run)
	if err != nil {
		return "", err
	}
	return ar.Put(ctx, rollout, run, name, r)
}

// Open implements archive.Archive.
func (a archives) Open(ctx context.Context, rollout, run, name string) (io.ReadCloser, error) {
	ar, err := a.of(ctx, run)
	if err != nil {
		return nil, err
	}
	return ar.Open(ctx, rollout, run, name)
}

// List implements archive.Archive.
func (a archives) List(ctx context.Context, rollout, run string) ([]string, error) {
	ar, err := a.of(ctx, run)
	if err != nil {
		return nil, err
	}
	return ar.List(ctx, rollout, run)
}

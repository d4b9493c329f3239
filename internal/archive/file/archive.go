// Package file is the archive that is a folder: DIR/ROLLOUT/RUN/NAME. It knows
// files of a run; it must not know what is in them.
package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/rollout"
)

// Config is where the files are kept.
type Config struct {
	// Dir is the folder; default: archive in Serin's state folder. Only the user
	// that Serin runs as can read it.
	Dir string `json:"dir,omitempty" jsonschema:"example=/var/lib/serin/archive"`
}

// NewConfig returns a Config with its defaults.
func NewConfig() any { return &Config{} }

// Validate implements rollout.Validator.
func (c Config) Validate() []rollout.Problem {
	if strings.Contains(c.Dir, "\x00") {
		return []rollout.Problem{{Field: "dir", Message: "holds a NUL character", Mend: "remove it"}}
	}
	return nil
}

// partial is the folder of files that are being written. No rollout's name
// begins with a dot, so nothing in it is ever listed or opened.
const partial = ".partial"

// Archive keeps files in a folder.
type Archive struct{ dir string }

var _ archive.Archive = (*Archive)(nil)

// New returns the archive in cfg.Dir, or in defaultDir when that is empty. The
// folder is made by the first Put.
func New(cfg Config, defaultDir string) (*Archive, error) {
	dir := cfg.Dir
	if dir == "" {
		dir = defaultDir
	}
	if dir == "" {
		return nil, errors.New("archive: no folder is named; write archive: {file: {dir: PATH}}")
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("archive: folder %s: %w", dir, err)
	}
	return &Archive{dir: absolute}, nil
}

// Put implements archive.Archive. What it has written is on the disk before it
// takes the place of an earlier version, in one rename.
func (a *Archive) Put(ctx context.Context, rollout, run, name string, r io.Reader) (string, error) {
	at, err := place(rollout, run, name)
	if err != nil {
		return "", err
	}
	location := filepath.Join(a.dir, filepath.FromSlash(at))
	if err := a.put(ctx, at, r); err != nil {
		return "", fmt.Errorf("archive %s: %w", location, err)
	}
	return location, nil
}

func (a *Archive) put(ctx context.Context, at string, r io.Reader) (err error) {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	// Everything below goes through the root, which no name and no symbolic
	// link leads out of.
	root, err := os.OpenRoot(a.dir)
	if err != nil {
		return err
	}
	defer root.Close()

	sweep(root)
	written, err := writePartial(ctx, root, r)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(written)
		}
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := root.MkdirAll(path.Dir(at), 0o700); err != nil {
		return err
	}
	if err := root.Rename(written, at); err != nil {
		return err
	}
	return syncFolders(root, path.Dir(at))
}

// writePartial writes r to a new file under partial, to the disk, and returns
// its name.
func writePartial(ctx context.Context, root *os.Root, r io.Reader) (name string, err error) {
	if err := root.MkdirAll(partial, 0o700); err != nil {
		return "", err
	}
	random := make([]byte, 12)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	name = path.Join(partial, hex.EncodeToString(random))
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(name)
		}
	}()
	if _, err = io.Copy(f, interruptible{ctx, r}); err == nil {
		err = f.Sync()
	}
	return name, errors.Join(err, f.Close())
}

// abandonedAfter is the age at which a partial file's writer is surely gone.
const abandonedAfter = 24 * time.Hour

// sweep removes what writers left that were killed. What it cannot remove does
// no harm.
func sweep(root *os.Root) {
	entries, err := fs.ReadDir(root.FS(), partial)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > abandonedAfter {
			_ = root.Remove(path.Join(partial, entry.Name()))
		}
	}
}

// syncFolders makes the new name itself durable, up to the root.
func syncFolders(root *os.Root, dir string) error {
	for {
		f, err := root.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if dir == "." {
			return nil
		}
		dir = path.Dir(dir)
	}
}

// Open implements archive.Archive.
func (a *Archive) Open(ctx context.Context, rollout, run, name string) (io.ReadCloser, error) {
	at, err := place(rollout, run, name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.OpenInRoot(a.dir, at)
	if errors.Is(err, syscall.ENOTDIR) {
		err = errors.Join(err, fs.ErrNotExist) // a file stands where a folder would be
	}
	if err != nil {
		return nil, fmt.Errorf("open archived file: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("open archived file %s: %w", at, errors.Join(err, fs.ErrNotExist))
	}
	return f, nil
}

// List implements archive.Archive.
func (a *Archive) List(ctx context.Context, rollout, run string) ([]string, error) {
	at, err := place(rollout, run, "any")
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list archived files: %w", err)
	}
	defer root.Close()
	dir := path.Dir(at)
	var names []string
	err = fs.WalkDir(root.FS(), dir, func(p string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing stored, or removed meanwhile
		}
		if err == nil && entry.Type().IsRegular() {
			names = append(names, strings.TrimPrefix(p, dir+"/"))
		}
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return nil, fmt.Errorf("list archived files of %s: %w", dir, err)
	}
	slices.Sort(names)
	return names, nil
}

// interruptible stops reading when ctx ends.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

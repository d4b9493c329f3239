package file_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/archive/archivetest"
	"serin.dev/serin/internal/archive/file"
)

// fillVariable makes this test binary the process that runs out of disk.
const fillVariable = "SERIN_TEST_FILL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fillVariable); dir != "" {
		fill(dir)
		return
	}
	os.Exit(m.Run())
}

func open(t *testing.T, dir string) *file.Archive {
	t.Helper()
	a, err := file.New(file.Config{Dir: dir}, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestConformance(t *testing.T) {
	archivetest.Run(t, func(t *testing.T) archive.Archive { return open(t, filepath.Join(t.TempDir(), "not", "yet", "made")) })
}

func put(t *testing.T, a *file.Archive, name, content string) string {
	t.Helper()
	location, err := a.Put(context.Background(), "shop", "run-1", name, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func TestOnlyItsUserCanReadTheArchive(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "archive")
	location := put(t, open(t, dir), "logs/out.log", "x")
	if location != filepath.Join(dir, "shop", "run-1", "logs", "out.log") {
		t.Errorf("stored at %s", location)
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheDefaultFolderIsUsedWhenNoneIsNamed(t *testing.T) {
	dir := t.TempDir()
	a, err := file.New(file.Config{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if location := put(t, a, "x", "x"); !strings.HasPrefix(location, dir+"/") {
		t.Errorf("stored at %s", location)
	}
	if _, err := file.New(file.Config{}, ""); err == nil {
		t.Error("an archive without a folder was made")
	}
}

func TestASymbolicLinkLeadsNowhere(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "shop", "run-1")); err != nil {
		t.Fatal(err)
	}
	a := open(t, dir)
	if r, err := a.Open(context.Background(), "shop", "run-1", "secret"); err == nil {
		r.Close()
		t.Error("a file outside was opened")
	}
	if _, err := a.Put(context.Background(), "shop", "run-1", "new", strings.NewReader("x")); err == nil {
		t.Error("a file outside was written")
	}
	if _, err := os.Stat(filepath.Join(outside, "new")); err == nil {
		t.Error("a file outside is there")
	}
}

func TestAFolderThatCannotBeWrittenIsNamed(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, filepath.Join(blocked, "archive")).Put(context.Background(), "shop", "run-1", "x", strings.NewReader("x"))
	if err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsLeftOfAFailedWrite(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	// Its time is up after the last byte was read and before it is in place.
	content := io.MultiReader(strings.NewReader("all of it"), lastly(cancel))
	if _, err := a.Put(ctx, "shop", "run-1", "x", content); !errors.Is(err, context.Canceled) {
		t.Errorf("stored although its time was up: %v", err)
	}
	mustHoldOnly(t, dir)
}

// lastly is an empty reader that does something when it is read.
type lastly func()

func (l lastly) Read([]byte) (int, error) {
	l()
	return 0, io.EOF
}

func TestWhatAKilledWriterLeftIsRemovedADayLater(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	if err := os.Mkdir(filepath.Join(dir, ".partial"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 25 * time.Hour, "new": time.Hour} {
		path := filepath.Join(dir, ".partial", name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, a, "x", "x")
	mustHoldOnly(t, dir, ".partial/new", "shop/run-1/x")
}

// mustHoldOnly checks which files a folder holds, partial ones included.
func mustHoldOnly(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			relative, _ := filepath.Rel(dir, path)
			got = append(got, relative)
		}
		return err
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("holds %q, %v; want %q", got, err, want)
	}
}

// A full disk is a write that the system refuses half-way. A limit on the size
// of a process's files is refused in the same place, and needs no disk.
func TestAWriteThatTheSystemRefusesLeavesTheEarlierVersion(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	put(t, a, "report.md", "earlier")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fillVariable+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused: archive "+dir) || !strings.Contains(string(out), "file too large") {
		t.Fatalf("%v: %s", err, out)
	}
	r, err := a.Open(context.Background(), "shop", "run-1", "report.md")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "earlier" {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	mustHoldOnly(t, dir, "shop/run-1/report.md")
}

// fill puts more than the system lets it.
func fill(dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		panic(err)
	}
	a, err := file.New(file.Config{Dir: dir}, "")
	if err != nil {
		panic(err)
	}
	_, err = a.Put(context.Background(), "shop", "run-1", "report.md", strings.NewReader(strings.Repeat("x", 1<<20)))
	fmt.Println("refused:", err)
}

package workloadtest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Hang makes the disk hang, as in a system call that nothing ends, for whoever
// replaces one of these state files. It goes on when the function returned is
// called, at the test's end at the latest.
func Hang(t *testing.T, files ...string) (goOn func()) {
	t.Helper()
	// What a file is to become is written beside it first. Opening a pipe there
	// does not return before there is somebody to read it.
	for _, f := range files {
		if err := unix.Mkfifo(f+".new", 0o600); err != nil {
			t.Fatal(err)
		}
	}
	aside := t.TempDir()
	goOn = sync.OnceFunc(func() {
		for n, f := range files {
			pipe := filepath.Join(aside, string(rune('a'+n)))
			if err := os.Rename(f+".new", pipe); err != nil {
				t.Error(err)
				continue
			}
			reader, err := os.OpenFile(pipe, os.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Error(err)
				continue
			}
			t.Cleanup(func() { reader.Close() })
		}
	})
	t.Cleanup(goOn)
	return goOn
}

package server

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// short returns another name for dir/name that is short enough for a socket's
// address, which holds 108 bytes at most, and is good until done is called.
func short(dir, name string) (path string, done func(), err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(fd), name), func() { _ = unix.Close(fd) }, nil
}

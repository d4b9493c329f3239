//go:build unix

package doctor

import "golang.org/x/sys/unix"

// freeSpace is how many bytes an ordinary user may still write in a folder.
func freeSpace(dir string) (bytes uint64, known bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true //nolint:unconvert // the types differ by system
}

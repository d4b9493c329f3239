//go:build !linux

package proxy

import (
	"errors"
	"net"
	"syscall"
)

// acknowledgeAtOnce: other kernels are not known to need it.
func acknowledgeAtOnce(uintptr) {}

// readAtOnce reads from a socket that does not wait; p is not empty.
func readAtOnce(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Read(int(fd), p)
		if errno := numberOf(err); errno != syscall.EINTR {
			return max(n, 0), errno
		}
	}
}

// writeAtOnce writes two pieces, of which one may be empty, to a socket that does
// not wait.
func writeAtOnce(fd uintptr, p, q []byte) (int, syscall.Errno) {
	if len(p) == 0 {
		p = q
	}
	for {
		n, err := syscall.Write(int(fd), p)
		if errno := numberOf(err); errno != syscall.EINTR {
			return max(n, 0), errno
		}
	}
}

// acceptAtOnce: elsewhere connections that wait are cut at the end.
func acceptAtOnce(syscall.Conn) net.Conn { return nil }

// attends is false: attending has been measured on Linux alone.
const attends = false

// peekAtOnce is not used where sockets are not attended.
func peekAtOnce(uintptr) syscall.Errno { return syscall.EAGAIN }

func numberOf(err error) syscall.Errno {
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		return syscall.EIO
	}
	return errno
}

package proxy

import (
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// acknowledgeAtOnce sends the acknowledgement that the kernel is holding back.
func acknowledgeAtOnce(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
}

// readAtOnce reads from a socket that does not wait; p is not empty.
func readAtOnce(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))) //nolint:gosec // what the syscall package does
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
}

// writeAtOnce writes two pieces, of which one may be empty, to a socket that does
// not wait.
func writeAtOnce(fd uintptr, p, q []byte) (int, syscall.Errno) {
	var pieces [2]syscall.Iovec
	count := 0
	for _, piece := range [2][]byte{p, q} {
		if len(piece) > 0 {
			pieces[count].Base = &piece[0]
			pieces[count].SetLen(len(piece))
			count++
		}
	}
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&pieces)), uintptr(count)) //nolint:gosec // what the syscall package does
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
}

// acceptAtOnce accepts a connection that waits for it, nil when none does.
func acceptAtOnce(ln syscall.Conn) net.Conn {
	raw, err := ln.SyscallConn()
	if err != nil {
		return nil
	}
	fd := -1
	_ = raw.Control(func(listener uintptr) {
		for {
			var err error
			fd, _, err = unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != unix.EINTR && err != unix.ECONNABORTED {
				return
			}
		}
	})
	if fd < 0 {
		return nil
	}
	file := os.NewFile(uintptr(fd), "accepted")
	defer func() { _ = file.Close() }()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil
	}
	return conn
}

// attends says that sockets are attended for a moment before they are waited for.
const attends = true

// peekAtOnce looks whether a socket that does not wait has something to read, or
// its end: EAGAIN when not.
func peekAtOnce(fd uintptr) syscall.Errno {
	var one [1]byte
	for {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&one)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // what the syscall package does
		if errno != syscall.EINTR {
			return errno
		}
	}
}

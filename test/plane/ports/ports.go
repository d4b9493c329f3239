// Package ports keeps addresses for tests that name one before anybody listens
// there, or while nobody does.
package ports

import (
	"fmt"
	"net"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

// Keep returns an address of 127.0.0.1 that nobody listens at. Until the test
// ends it is given to nobody who asks for any free port; who names it may listen
// there.
func Keep(t testing.TB) string {
	t.Helper()
	address, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return address
}

// Reserve is Keep until release is called.
func Reserve() (address string, release func(), err error) {
	if runtime.GOOS != "linux" {
		// Elsewhere a port with a socket on it is nobody else's: it is only free
		// at this moment.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", nil, fmt.Errorf("find a free port: %w", err)
		}
		return l.Addr().String(), func() {}, l.Close()
	}
	// A socket that has the port and does not listen. The kernel passes it over
	// when it picks a port for somebody, and lets listen who names it with
	// SO_REUSEADDR, which servers set.
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return "", nil, fmt.Errorf("reserve a port: %w", err)
	}
	port, err := bind(fd)
	if err != nil {
		_ = syscall.Close(fd)
		return "", nil, fmt.Errorf("reserve a port: %w", err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), func() { _ = syscall.Close(fd) }, nil
}

func bind(fd int) (port int, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return name.(*syscall.SockaddrInet4).Port, nil
}

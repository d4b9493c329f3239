package proxy

import (
	"errors"
	"net"
	"syscall"
)

func isAddressTaken(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// listensOn reports whether a listener is what listening on address gives. Port 0
// is any port, and an address that cannot be resolved is no other than before.
func listensOn(ln net.Listener, address string) bool {
	want, err := net.ResolveTCPAddr("tcp", address)
	have, ok := ln.Addr().(*net.TCPAddr)
	if err != nil || !ok {
		return true
	}
	anywhere := func(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
	return (want.Port == 0 || want.Port == have.Port) &&
		(want.IP.Equal(have.IP) || anywhere(want.IP) && anywhere(have.IP))
}

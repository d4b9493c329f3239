//go:build !linux

package server

import (
	"net"
	"os"
)

// peer takes the other end for the user that Serin runs as: nobody else can
// open the socket.
func peer(c net.Conn) (uid int, ok bool) {
	_, isUnix := c.(*net.UnixConn)
	return os.Getuid(), isUnix
}

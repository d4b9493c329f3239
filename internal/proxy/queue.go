package proxy

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// lastCall bounds how long an ending listener goes on taking connections.
const lastCall = time.Second

// queueListener ends without cutting off who has come. The kernel makes
// connections by itself and keeps them in a queue until they are accepted; their
// clients have often sent a request by then. Closing a listener resets all that
// wait, so an ending one is emptied first: what is left is a connection made
// between the look at the empty queue and the close, a microsecond.
type queueListener struct {
	net.Listener
	until atomic.Pointer[time.Time] // set when it ends
}

// tcpSocket is what a TCP listener is beside a net.Listener.
type tcpSocket interface {
	syscall.Conn
	SetDeadline(time.Time) error
}

// end makes Accept return what waits in the queue and net.ErrClosed after it. It
// does not wait.
func (l *queueListener) end() {
	until := time.Now().Add(lastCall)
	l.until.Store(&until)
	s, ok := l.Listener.(tcpSocket)
	if !ok || s.SetDeadline(time.Unix(1, 0)) != nil { // wakes Accept
		_ = l.Close()
	}
}

func (l *queueListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	until := l.until.Load()
	if err == nil || until == nil {
		return conn, err
	}
	if s, ok := l.Listener.(tcpSocket); ok && time.Now().Before(*until) {
		if conn := acceptAtOnce(s); conn != nil {
			return conn, nil
		}
	}
	_ = l.Close()
	return nil, net.ErrClosed
}

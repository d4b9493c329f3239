package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// guardedConn is an HTTP/1.1 backend's connection on the general path. It closes a
// gap in net/http's client, which gives a connection to the next request before it
// looks whether the backend has said more than the last answer: what is left over
// would be taken for the answer to a request that may be somebody else's.
//
// net/http's reader asks for more bytes only when it has used up all it had. So
// when it waits here, and the kernel has nothing, nothing is left over. TLS in
// between changes nothing: it asks for more only when it has no whole record left.
type guardedConn struct {
	*net.TCPConn
	raw syscall.RawConn

	mu      sync.Mutex
	waiting bool // the reader has used up everything and waits
	spoiled bool // something is left over: no byte goes or comes any more
	ended   bool

	rests  chan struct{} // told when the reader begins to wait; holds one
	closed chan struct{}
}

// errLeftover: a connection was not used, because the backend had said more on it
// than was asked, or had closed it.
var errLeftover = errors.New("the backend closed the connection, or sent more on it than was asked")

// restTime is how long a connection's reader is waited for. It has finished with
// the last answer and needs microseconds.
const restTime = 100 * time.Millisecond

func newGuardedConn(c *net.TCPConn) (*guardedConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &guardedConn{TCPConn: c, raw: raw, rests: make(chan struct{}, 1), closed: make(chan struct{})}, nil
}

// Read takes bytes from the kernel under the lock, so that atRest can know that
// none are on their way from there to the reader.
func (c *guardedConn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	var failed error
	err = c.raw.Read(func(fd uintptr) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting = false
		if c.spoiled {
			failed = errLeftover
			return true
		}
		var errno syscall.Errno
		n, errno = readAtOnce(fd, p)
		switch {
		case errno == syscall.EAGAIN:
			c.waiting = true
			select {
			case c.rests <- struct{}{}:
			default:
			}
			return false
		case errno != 0:
			failed = errno
		case n == 0:
			failed = io.EOF
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return n, err
}

func (c *guardedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	spoiled := c.spoiled
	c.mu.Unlock()
	if spoiled {
		return 0, errLeftover
	}
	return c.TCPConn.Write(p)
}

// Close also ends atRest.
func (c *guardedConn) Close() error {
	c.mu.Lock()
	if !c.ended {
		c.ended = true
		close(c.closed)
	}
	c.mu.Unlock()
	return c.TCPConn.Close()
}

// atRest says whether nothing is left over of earlier answers, and the backend has
// not closed the connection. If not, the connection is of no further use. It is
// called before a request is put on a connection that served others.
func (c *guardedConn) atRest() bool {
	var late *time.Timer
	for {
		if settled, clean := c.look(); settled {
			if late != nil {
				late.Stop()
			}
			return clean
		}
		if late == nil {
			late = time.NewTimer(restTime)
		}
		select {
		case <-c.rests:
		case <-c.closed:
		case <-late.C:
			c.spoil()
		}
	}
}

// look is one look of atRest, unless the reader is still busy.
func (c *guardedConn) look() (settled, clean bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended || c.spoiled:
		return true, false
	case !c.waiting:
		return false, false
	}
	silent := false
	err := c.raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = errors.Is(err, syscall.EAGAIN)
	})
	c.spoiled = err != nil || !silent
	return true, !c.spoiled
}

func (c *guardedConn) spoil() {
	c.mu.Lock()
	c.spoiled = true
	c.mu.Unlock()
}

// usable says whether a request may be put on a connection of net/http's client.
func usable(conn net.Conn) bool {
	if secure, ok := conn.(*tls.Conn); ok {
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			return true // its frames say which request they answer
		}
		conn = secure.NetConn()
	}
	guarded, ok := conn.(*guardedConn)
	return !ok || guarded.atRest()
}

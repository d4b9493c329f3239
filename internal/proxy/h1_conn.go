package proxy

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// This file and its neighbours h1_*.go are the direct data path: plain HTTP/1.1
// requests between two TCP connections, on one goroutine, without net/http.
// docs/adr/0002-proxy-data-path.md says why there is one. A connection leaves it
// for net/http, for good and with all bytes still to be read, at the first request
// that is not plain.

const (
	firstBuffer    = 4 << 10  // of a client connection, for a request's head
	requestBuffer  = 16 << 10 // at most: a plain request fits in, with its body
	responseBuffer = 128 << 10

	// patience is how long a backend is waited for before the proxy also looks
	// whether the client is still there.
	patience = 50 * time.Millisecond
)

// The states of a client connection.
const (
	connIdle    int32 = iota // between requests
	connActive               // a request has begun
	connClosing              // closed by shutdown while idle
)

// clientConn is a client's connection on the direct path.
type clientConn struct {
	*socket
	p      *Proxy
	reader requestReader
	state  atomic.Int32

	in     []byte // what has been read and not yet served is in[:filled]
	filled int
	out    []byte // the head for the backend
	x      exchange
}

func newClientConn(p *Proxy, c *net.TCPConn) (*clientConn, error) {
	s, err := newSocket(c, &p.requests)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		host = c.RemoteAddr().String()
	}
	return &clientConn{socket: s, p: p, reader: newRequestReader(&p.cfg, host), in: make([]byte, firstBuffer)}, nil
}

// serve serves requests until one is not plain: then the connection is to leave
// for net/http. Otherwise it is done and closed.
func (c *clientConn) serve() (leave bool) {
	defer c.p.requests.forget(c)
	limit := c.p.cfg.ReadHeaderTimeout // of the first request; a new connection has one
	for {
		head, state := c.nextRequest(limit)
		switch state {
		case special:
			return true
		case incomplete:
			_ = c.Close()
			return false
		case plain:
		}
		t := c.p.table.Load()
		if !t.direct {
			return true
		}
		switch c.exchange(t, &head) {
		case cut:
			_ = c.Close()
			return false
		case ended:
			c.linger()
			return false
		}
		c.filled = copy(c.in, c.in[head.size+int(head.length):c.filled])
		limit = c.p.cfg.IdleTimeout
	}
}

// nextRequest reads until a whole plain request is in the buffer. Incomplete: the
// client went away, was too slow, or shutdown closed the connection.
func (c *clientConn) nextRequest(limit time.Duration) (head requestHead, state reading) {
	if c.filled == 0 {
		// A bigger buffer was for one request.
		if len(c.in) > firstBuffer {
			c.in = make([]byte, firstBuffer)
		}
		if !c.state.CompareAndSwap(connActive, connIdle) && c.state.Load() == connClosing {
			return head, incomplete
		}
		if c.SetReadDeadline(time.Now().Add(limit)) != nil {
			return head, incomplete
		}
	}
	waited := false
	for {
		if c.filled > 0 {
			head, c.out, state = c.reader.read(c.in[:c.filled], c.out[:0])
			switch {
			case state == special || state == plain && head.size > c.p.cfg.MaxHeaderBytes:
				return head, special
			case state == plain && c.filled >= head.size+int(head.length):
				return head, plain
			case state == plain || c.filled == requestBuffer:
				// A body still on its way, or a very large head: net/http streams
				// the one and limits the other.
				return head, special
			case c.filled == len(c.in):
				c.in = append(c.in, make([]byte, requestBuffer-len(c.in))...)
			}
			if !waited {
				waited = true
				if c.SetReadDeadline(time.Now().Add(c.p.cfg.ReadHeaderTimeout)) != nil {
					return head, incomplete
				}
			}
		}
		n, err := c.Read(c.in[c.filled:])
		if n > 0 && c.filled == 0 && !c.state.CompareAndSwap(connIdle, connActive) && c.state.Load() == connClosing {
			return head, incomplete
		}
		c.filled += n
		if err != nil {
			return head, incomplete
		}
	}
}

// closeIdle closes the connection if no request has begun on it.
func (c *clientConn) closeIdle() {
	if c.state.CompareAndSwap(connIdle, connClosing) {
		_ = c.Close()
	}
}

// linger closes the connection after its last answer, not before the client has
// had the time to read it: closing with a further request unread would reset the
// connection and take the answer along.
func (c *clientConn) linger() {
	defer func() { _ = c.Close() }()
	if c.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes)
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
)

// ending is how the client's connection stands after a request.
type ending int

const (
	reusable ending = iota // it can serve another
	ended                  // the client was told that it ends
	cut                    // the answer could not be given whole
)

func endingOf(last bool) ending {
	if last {
		return ended
	}
	return reusable
}

// exchange serves one request.
func (c *clientConn) exchange(t *table, head *requestHead) ending {
	x, now := &c.x, time.Now()
	c.p.requests.request(c, now)
	if err := x.begin(c.p, t, now, head.force, head.key); err != nil {
		return c.answerFailure(x.arm, err, head.close)
	}
	x.out.bytesIn = uint64(head.length)
	defer x.finish()

	body := c.in[head.size : head.size+int(head.length)]
	replayable := len(body) == 0 && idempotent(head.method)
	fresh := false
	for {
		r := relay{client: c, x: x, method: head.method, last: head.close}
		err := r.send(c.out, body, fresh)
		if err == nil {
			err = r.receive()
		}
		r.end()
		switch {
		case err == nil:
			return endingOf(r.last)
		case errors.Is(err, errRerouted):
			continue
		case r.clientGone.Load() || r.clientFailed:
			x.canceled()
			return cut
		case r.answering:
			x.broke()
			return cut
		}
		kind := classify(err)
		if kind == classReset && r.reused && replayable && !fresh {
			// The backend closed a connection that had been idle, as it may: no
			// error, unless a new connection shows that it is gone.
			fresh = true
			continue
		}
		fresh = false
		if !x.failed(kind, kind == classConnect, replayable) {
			return c.answerFailure(x.armTried(), err, head.close)
		}
	}
}

// answerFailure tells the client that there is no answer.
func (c *clientConn) answerFailure(arm Arm, err error, last bool) ending {
	last = last || c.p.server.draining.Load()
	if _, err := c.Write(appendFailure(nil, arm, err, last)); err != nil {
		return cut
	}
	return endingOf(last)
}

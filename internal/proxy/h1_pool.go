package proxy

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"
)

// backendConn is one HTTP/1.1 connection to a backend.
type backendConn struct {
	*socket
	idleSince time.Time
	reused    bool

	silent bool // result of probe
	probe  func(fd uintptr) bool
}

func newBackendConn(c *net.TCPConn, requests *succession) (*backendConn, error) {
	s, err := newSocket(c, requests)
	if err != nil {
		return nil, err
	}
	b := &backendConn{socket: s}
	var one [1]byte
	b.probe = func(fd uintptr) bool {
		_, errno := readAtOnce(fd, one[:])
		b.silent = errno == syscall.EAGAIN
		return true // never wait
	}
	return b, nil
}

// alive looks whether the backend has closed an idle connection, or broken the
// protocol by saying something unasked. It costs a system call and saves the
// requests that would be written to a process that is gone.
func (b *backendConn) alive() bool {
	b.silent = false
	return b.raw.Read(b.probe) == nil && b.silent
}

// connPool keeps the connections to one backend.
type connPool struct {
	addr     string
	dialer   *net.Dialer
	maxIdle  int
	idleFor  time.Duration
	requests *succession

	mu      sync.Mutex
	idle    []*backendConn // the one used last is last, and used next
	sweeper *time.Timer    // nil: nothing idle
	retired bool
}

// get takes an idle connection that is still open, or dials. Its read deadline
// is then patience from now.
func (p *connPool) get(now time.Time, patience time.Duration, fresh bool) (*backendConn, error) {
	for !fresh {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			break
		}
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if c.SetReadDeadline(now.Add(patience)) == nil && c.alive() {
			c.reused = true
			return c, nil
		}
		_ = c.Close()
	}
	conn, err := p.dialer.DialContext(context.Background(), "tcp", p.addr)
	if err != nil {
		return nil, &errConnect{err}
	}
	c, err := newBackendConn(conn.(*net.TCPConn), p.requests)
	if err == nil {
		err = c.SetReadDeadline(time.Now().Add(patience))
	}
	if err != nil {
		_ = conn.Close()
		return nil, &errConnect{err}
	}
	return c, nil
}

// put returns a connection on which a response has been read to its end.
func (p *connPool) put(c *backendConn, now time.Time) {
	c.idleSince = now
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired || len(p.idle) >= p.maxIdle {
		_ = c.Close()
		return
	}
	p.idle = append(p.idle, c)
	if p.sweeper == nil {
		p.sweeper = time.AfterFunc(p.idleFor, p.sweep)
	}
}

// sweep closes what has been idle for too long.
func (p *connPool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := time.Now().Add(-p.idleFor)
	n := 0
	for n < len(p.idle) && !p.idle[n].idleSince.After(old) {
		_ = p.idle[n].Close()
		n++
	}
	p.idle = append(p.idle[:0], p.idle[n:]...)
	if len(p.idle) == 0 || p.retired {
		p.sweeper = nil
		return
	}
	p.sweeper = time.AfterFunc(time.Until(p.idle[0].idleSince.Add(p.idleFor)), p.sweep)
}

// retire closes the idle connections now, the others when they come back.
func (p *connPool) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
	for _, c := range p.idle {
		_ = c.Close()
	}
	p.idle = nil
	if p.sweeper != nil {
		p.sweeper.Stop()
		p.sweeper = nil
	}
}

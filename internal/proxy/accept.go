package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// accept serves a plain-text listener: every TCP connection begins on the direct
// path.
func (s *server) accept(ln net.Listener) error {
	var pause time.Duration
	for {
		conn, err := ln.Accept()
		if err != nil {
			if s.draining.Load() || !passing(err) {
				return err
			}
			// Out of file descriptors, say: wait for some to become free.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.p.cfg.Logger.Warn("accepting a connection failed; trying again", "error", err, "in", pause)
			time.Sleep(pause)
			continue
		}
		pause = 0
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			s.leave(conn)
			continue
		}
		c, err := newClientConn(s.p, tcp)
		if err != nil { // closed already
			_ = tcp.Close()
			continue
		}
		s.mu.Lock()
		s.open[c.TCPConn] = struct{}{}
		s.direct[c] = struct{}{}
		s.mu.Unlock()
		go s.serveDirect(c)
	}
}

// passing: the listener is still good.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *server) serveDirect(c *clientConn) {
	defer func() {
		s.mu.Lock()
		delete(s.open, c.TCPConn)
		delete(s.direct, c)
		s.mu.Unlock()
	}()
	if !c.serve() {
		return
	}
	if c.SetReadDeadline(time.Time{}) != nil {
		_ = c.Close()
		return
	}
	s.leave(&replayedConn{TCPConn: c.TCPConn, unread: c.in[:c.filled]})
}

// leave leaves a connection to net/http, which says when it is closed.
func (s *server) leave(conn net.Conn) {
	s.track(conn, http.StateNew)
	if !s.handoff.give(conn) {
		s.track(conn, http.StateClosed)
	}
}

func (s *server) directConnections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.direct)
}

func (s *server) closeIdleDirect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.direct {
		c.closeIdle()
	}
}

func (s *server) closeDirect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.direct {
		_ = c.Close()
	}
}

// handoff is the listener from which net/http gets the connections that the
// direct path leaves to it.
type handoff struct {
	start  sync.Once
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandoff() *handoff {
	return &handoff{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give passes a connection on; when nobody takes it any more it is closed.
func (h *handoff) give(c net.Conn) (taken bool) {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		_ = c.Close()
		return false
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }

// replayedConn is a connection of which some bytes have been read already.
type replayedConn struct {
	*net.TCPConn
	unread []byte
}

func (c *replayedConn) Read(p []byte) (int, error) {
	if len(c.unread) > 0 {
		n := copy(p, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	return c.TCPConn.Read(p)
}

func (c *replayedConn) WriteTo(w io.Writer) (int64, error) {
	var n int64
	if len(c.unread) > 0 {
		m, err := w.Write(c.unread)
		c.unread = c.unread[m:]
		if n = int64(m); err != nil {
			return n, err
		}
	}
	m, err := c.TCPConn.WriteTo(w)
	return n + m, err
}

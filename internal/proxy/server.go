package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// server accepts client connections and ends them in good order.
type server struct {
	p        *Proxy
	http     *http.Server
	tls      bool
	grace    time.Duration
	draining atomic.Bool
	upgrades upgrades
	buffers  sync.Pool
	handoff  *handoff // from the direct path to http; nil with TLS

	accepting sync.WaitGroup // one for each serve

	mu        sync.Mutex
	listeners map[*queueListener]struct{}
	open      map[net.Conn]struct{}    // client connections that are not upgraded
	direct    map[*clientConn]struct{} // those of them on the direct path
}

func newServer(p *Proxy) *server {
	s := &server{
		p:         p,
		grace:     p.cfg.DrainGrace,
		buffers:   sync.Pool{New: newRelayBuffers},
		direct:    make(map[*clientConn]struct{}),
		listeners: make(map[*queueListener]struct{}),
		open:      make(map[net.Conn]struct{}),
	}
	s.http = &http.Server{
		Handler:           p.Handler(),
		ReadHeaderTimeout: p.cfg.ReadHeaderTimeout,
		IdleTimeout:       p.cfg.IdleTimeout,
		MaxHeaderBytes:    p.cfg.MaxHeaderBytes,
		ErrorLog:          debugLog(p.cfg.Logger),
		Protocols:         new(http.Protocols),
		ConnState:         s.track,
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	if p.certs != nil {
		s.tls = true
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.certs.get}
	} else {
		s.handoff = newHandoff()
	}
	return s
}

func (s *server) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.open[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(s.open, c)
	}
}

func (s *server) openConnections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *server) serve(from net.Listener) error {
	ln := &queueListener{Listener: from}
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		_ = ln.Close()
		return http.ErrServerClosed
	}
	s.listeners[ln] = struct{}{}
	s.accepting.Add(1)
	s.mu.Unlock()
	defer s.accepting.Done()
	defer func() {
		_ = ln.Close()
		s.mu.Lock()
		delete(s.listeners, ln)
		s.mu.Unlock()
	}()

	var err error
	if s.tls {
		err = s.http.ServeTLS(ln, "", "")
	} else {
		s.handoff.start.Do(func() { go func() { _ = s.http.Serve(s.handoff) }() })
		err = s.accept(ln)
	}
	if s.draining.Load() {
		return http.ErrServerClosed
	}
	return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
}

// shutdown ends in three steps, so that no request is cut that could have been
// answered: no new connections but those that the kernel has made; every answer on an open one says that it is the
// last; after a moment of grace, connections that still say nothing are closed.
// Closing them at once would cut requests that are already on the wire.
func (s *server) shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	for ln := range s.listeners {
		ln.end()
	}
	s.mu.Unlock()
	s.accepting.Wait() // whatever was accepted is known now

	grace := time.NewTimer(s.grace)
	defer grace.Stop()
	if err := poll(ctx, grace.C, func() bool { return s.openConnections() == 0 }); err == nil {
		s.closeIdleDirect()
		// Those left are answering; each may still turn to net/http.
		err = poll(ctx, nil, func() bool { return s.directConnections() == 0 })
		if err == nil {
			err = s.http.Shutdown(ctx)
		}
		if err == nil {
			err = poll(ctx, nil, s.upgrades.none)
		}
		if err == nil {
			return nil
		}
	}
	left := s.openConnections() + s.upgrades.count()
	s.upgrades.closeAll()
	s.closeDirect()
	return errors.Join(fmt.Errorf("shutting down: %d connections cut: %w", left, ctx.Err()), s.http.Close())
}

// poll waits until done, or until enough (nil: no such limit), or ctx's end,
// which alone is an error.
func poll(ctx context.Context, enough <-chan time.Time, done func() bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough:
			return nil
		case <-tick.C:
		}
	}
	return nil
}

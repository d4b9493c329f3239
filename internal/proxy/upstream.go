package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// upstream is one backend's address: its connections, how many requests are
// pending there, and whether it is ejected.
type upstream struct {
	url       *url.URL // http or https
	transport *http.Transport
	pool      *connPool // for the direct path; nil: not HTTP/1.1 without TLS
	pending   atomic.Int64
	ejection
}

// errConnect marks an error that came before anything was sent.
type errConnect struct{ err error }

func (e *errConnect) Error() string { return e.err.Error() }
func (e *errConnect) Unwrap() error { return e.err }

func neverSent(err error) bool {
	var c *errConnect
	return errors.As(err, &c)
}

func newUpstream(u *url.URL, cfg *Config, requests *succession) *upstream {
	up := &upstream{
		url:      &url.URL{Scheme: u.Scheme, Host: u.Host},
		ejection: ejection{after: cfg.EjectAfter, base: cfg.EjectFor, longest: cfg.EjectMax},
	}
	dialer := &net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: 30 * time.Second}
	up.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, &errConnect{err}
			}
			up.connected()
			tcp, ok := conn.(*net.TCPConn)
			if !ok || u.Scheme == "h2c" {
				return conn, nil
			}
			guarded, err := newGuardedConn(tcp)
			if err != nil {
				_ = conn.Close()
				return nil, &errConnect{err}
			}
			return guarded, nil
		},
		TLSClientConfig:        cfg.BackendTLS.Clone(),
		TLSHandshakeTimeout:    cfg.DialTimeout,
		ResponseHeaderTimeout:  cfg.ResponseHeaderTimeout,
		IdleConnTimeout:        cfg.BackendIdleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxIdleConns:           cfg.MaxIdlePerBackend,
		MaxIdleConnsPerHost:    cfg.MaxIdlePerBackend,
		MaxResponseHeaderBytes: int64(cfg.MaxHeaderBytes),
		DisableCompression:     true,
		Protocols:              new(http.Protocols),
	}
	switch u.Scheme {
	case "h2c":
		up.url.Scheme = "http"
		up.transport.Protocols.SetUnencryptedHTTP2(true)
	case "https":
		up.transport.Protocols.SetHTTP1(true)
		up.transport.Protocols.SetHTTP2(true)
	default:
		up.transport.Protocols.SetHTTP1(true)
		up.pool = &connPool{addr: hostPort(u), dialer: dialer, maxIdle: cfg.MaxIdlePerBackend, idleFor: cfg.BackendIdleTimeout, requests: requests}
	}
	return up
}

// retire closes the connections nobody uses; those in use close when they are
// done.
func (u *upstream) retire() {
	u.transport.CloseIdleConnections()
	if u.pool != nil {
		u.pool.retire()
	}
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
)

// server accepts client connections.
type server struct {
	http *http.Server
	tls  bool
}

func newServer(p *Proxy) *server {
	s := &server{http: &http.Server{
		Handler:           p.Handler(),
		ReadHeaderTimeout: p.cfg.ReadHeaderTimeout,
		IdleTimeout:       p.cfg.IdleTimeout,
		MaxHeaderBytes:    p.cfg.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(p.cfg.Logger.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	if p.certs != nil {
		s.tls = true
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.certs.get}
	}
	return s
}

func (s *server) serve(ln net.Listener) error {
	if s.tls {
		return s.http.ServeTLS(ln, "", "")
	}
	return s.http.Serve(ln)
}

func (s *server) shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

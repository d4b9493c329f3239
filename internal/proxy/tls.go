package proxy

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// certificateCheck is how often, at most, a handshake looks whether the
// certificate's files have changed.
const certificateCheck = time.Second

// certificates serves the pair in two files and follows their changes.
type certificates struct {
	certFile, keyFile string
	warn              func(msg string, args ...any)
	current           atomic.Pointer[tls.Certificate]

	mu      sync.Mutex // one handshake looks, the others go on
	checked time.Time
	stamp   [2]fileStamp
}

type fileStamp struct {
	modified time.Time
	size     int64
}

func loadCertificates(certFile, keyFile string, log *slog.Logger) (*certificates, error) {
	c := &certificates{certFile: certFile, keyFile: keyFile, warn: log.Warn}
	stamp, err := c.stampFiles()
	if err != nil {
		return nil, fmt.Errorf("proxy TLS: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("proxy TLS: loading %s and %s: %w", certFile, keyFile, err)
	}
	c.current.Store(&cert)
	c.stamp, c.checked = stamp, time.Now()
	return c, nil
}

func (c *certificates) stampFiles() (stamp [2]fileStamp, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return stamp, nil
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() {
		c.reloadIfChanged(time.Now())
		c.mu.Unlock()
	}
	return c.current.Load(), nil
}

func (c *certificates) reloadIfChanged(now time.Time) {
	if now.Sub(c.checked) < certificateCheck {
		return
	}
	c.checked = now
	stamp, err := c.stampFiles()
	if err != nil {
		c.warn("certificate files cannot be read; going on with the one loaded before", "error", err)
		return
	}
	if stamp == c.stamp {
		return
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		// The two files are rarely replaced in one instant: look again later.
		c.warn("changed certificate files do not load; going on with the one loaded before", "error", err)
		return
	}
	c.stamp = stamp
	c.current.Store(&cert)
}

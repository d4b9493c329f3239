package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Config is what stays the same for the whole life of a Proxy. The zero value
// is a plain-text proxy with an exact split and no forced arm.
type Config struct {
	// Sticky keeps a user on one arm. Nil: every request is split on its own.
	Sticky *Sticky

	// ForceHeader names the request header by which a tester chooses the arm
	// ("stable" or "canary"). Empty: off. Forced requests are counted apart
	// (Stats.ForcedStable, Stats.ForcedCanary), take no part in the split, and
	// never fall back: a tester must see the arm that was asked for.
	ForceHeader string

	// CertFile and KeyFile turn TLS on. They are read again when they change;
	// an unreadable pair leaves the one in use in place.
	CertFile, KeyFile string

	// TrustForwarded keeps the X-Forwarded-* and Forwarded headers that came
	// with a request (another proxy stands in front). Off, they are replaced,
	// because a client could have written anything into them.
	TrustForwarded bool

	// BackendTLS is used for https:// backends; nil verifies against the
	// system's roots.
	BackendTLS *tls.Config

	DialTimeout           time.Duration // to a backend; default 2 s: the kernel repeats a lost SYN after 1 s
	ResponseHeaderTimeout time.Duration // from the whole request sent to the response's headers; default 60 s
	BackendIdleTimeout    time.Duration // an unused connection to a backend is closed after; default 60 s
	ReadHeaderTimeout     time.Duration // a client must have sent its headers within; default 10 s
	IdleTimeout           time.Duration // an unused client connection is closed after; default 90 s
	DrainGrace            time.Duration // Shutdown leaves idle client connections this long to send one more request; default 1 s
	MaxHeaderBytes        int           // of a request or a response; default 64 KiB
	MaxIdlePerBackend     int           // unused connections kept to each backend; default 256

	// An instance that could not be connected to EjectAfter times in a row
	// (default 3) gets no requests for EjectFor (default 500 ms), twice as long
	// each further time, up to EjectMax (default 10 s).
	EjectAfter         int
	EjectFor, EjectMax time.Duration

	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

// Sticky says where a user's key is found. The header is looked at first, then
// the cookie. A request with neither is split exactly, like all requests when
// nothing is sticky.
type Sticky struct {
	Cookie string
	Header string
}

func (c Config) withDefaults() (Config, error) {
	durations := []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"DialTimeout", &c.DialTimeout, 2 * time.Second},
		{"ResponseHeaderTimeout", &c.ResponseHeaderTimeout, time.Minute},
		{"BackendIdleTimeout", &c.BackendIdleTimeout, time.Minute},
		{"ReadHeaderTimeout", &c.ReadHeaderTimeout, 10 * time.Second},
		{"IdleTimeout", &c.IdleTimeout, 90 * time.Second},
		{"DrainGrace", &c.DrainGrace, time.Second},
		{"EjectFor", &c.EjectFor, 500 * time.Millisecond},
		{"EjectMax", &c.EjectMax, 10 * time.Second},
	}
	for _, d := range durations {
		if *d.value < 0 {
			return c, fmt.Errorf("proxy config: %s is %v; it must not be negative", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	counts := []struct {
		name  string
		value *int
		def   int
	}{
		{"MaxHeaderBytes", &c.MaxHeaderBytes, 64 << 10},
		{"MaxIdlePerBackend", &c.MaxIdlePerBackend, 256},
		{"EjectAfter", &c.EjectAfter, 3},
	}
	for _, n := range counts {
		if *n.value < 0 {
			return c, fmt.Errorf("proxy config: %s is %d; it must not be negative", n.name, *n.value)
		}
		if *n.value == 0 {
			*n.value = n.def
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return c, errors.New("proxy config: CertFile and KeyFile go together; give both or neither")
	}
	if c.ForceHeader != "" && !httpguts.ValidHeaderFieldName(c.ForceHeader) {
		return c, fmt.Errorf("proxy config: ForceHeader %q is not a header name", c.ForceHeader)
	}
	if s := c.Sticky; s != nil {
		switch {
		case s.Cookie == "" && s.Header == "":
			return c, errors.New("proxy config: Sticky names neither a cookie nor a header; give one")
		case s.Header != "" && !httpguts.ValidHeaderFieldName(s.Header):
			return c, fmt.Errorf("proxy config: Sticky.Header %q is not a header name", s.Header)
		case strings.ContainsAny(s.Cookie, "=;, \t\r\n"):
			return c, fmt.Errorf("proxy config: Sticky.Cookie %q is not a cookie name", s.Cookie)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

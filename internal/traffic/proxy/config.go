package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"serin.dev/serin/internal/proxy"
	"serin.dev/serin/internal/rollout"
)

// Config is what a file says under traffic.proxy.
type Config struct {
	// Listen is the address that users reach; beyond this machine only when
	// written so, such as :8080 or 0.0.0.0:8080.
	Listen string `json:"listen"`
	// TLS serves HTTPS; the certificate is read again when its files change.
	TLS *TLS `json:"tls,omitempty"`
	// Sticky keeps a user on one version.
	Sticky *Sticky `json:"sticky,omitempty"`
	// ForceHeader names the request header by which a tester chooses a version:
	// stable or canary. Off by default; such requests are not judged.
	ForceHeader string `json:"forceHeader,omitempty"`
	// TrustForwarded keeps the X-Forwarded-* headers that come with a request:
	// another proxy stands in front.
	TrustForwarded bool `json:"trustForwarded,omitempty"`
	// MetricsListen serves /metrics in Prometheus form on an address of its own.
	MetricsListen string `json:"metricsListen,omitempty"`
	// Timeouts bound what a client or an instance may take.
	Timeouts Timeouts `json:"timeouts"`
}

// TLS names a certificate and its key.
type TLS struct {
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
}

// Sticky says what tells users apart; exactly one is set.
type Sticky struct {
	// Cookie is the name of a cookie that the program itself sets.
	Cookie string `json:"cookie,omitempty"`
	// Header is the name of a request header.
	Header string `json:"header,omitempty"`
}

// Timeouts bound what a client or an instance may take.
type Timeouts struct {
	// Dial bounds connecting to an instance.
	Dial rollout.Duration `json:"dial"`
	// ResponseHeader bounds the time from the whole request sent to the
	// response's headers.
	ResponseHeader rollout.Duration `json:"responseHeader"`
	// ReadHeader bounds the time in which a client must have sent its headers.
	ReadHeader rollout.Duration `json:"readHeader"`
	// Idle closes a client's connection that is not used.
	Idle rollout.Duration `json:"idle"`
}

// NewConfig returns a pointer to a configuration with its defaults set, for
// the catalog.
func NewConfig() any {
	return &Config{
		Listen: "127.0.0.1:8080",
		Timeouts: Timeouts{
			Dial:           rollout.Duration(time.Second),
			ResponseHeader: rollout.Duration(time.Minute),
			ReadHeader:     rollout.Duration(10 * time.Second),
			Idle:           rollout.Duration(90 * time.Second),
		},
	}
}

// Validate implements rollout.Validator.
func (c *Config) Validate() []rollout.Problem {
	var ps problems
	ps.address("listen", c.Listen)
	if c.MetricsListen != "" {
		ps.address("metricsListen", c.MetricsListen)
		if c.MetricsListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			ps.add("metricsListen", "is the address that users reach", "choose another port, such as 127.0.0.1:9090")
		}
	}
	if c.TLS != nil {
		if c.TLS.CertFile == "" {
			ps.add("tls.certFile", "is missing", "name the certificate's PEM file")
		}
		if c.TLS.KeyFile == "" {
			ps.add("tls.keyFile", "is missing", "name the key's PEM file")
		}
	}
	if s := c.Sticky; s != nil {
		switch {
		case s.Cookie == "" && s.Header == "":
			ps.add("sticky", "names neither a cookie nor a header", "write sticky: {cookie: session}")
		case s.Cookie != "" && s.Header != "":
			ps.add("sticky", "names both a cookie and a header", "keep one")
		case s.Header != "" && !httpguts.ValidHeaderFieldName(s.Header):
			ps.add("sticky.header", fmt.Sprintf("%q is not a header name", s.Header), "write one such as X-User-Id")
		case s.Cookie != "" && !httpguts.ValidHeaderFieldName(s.Cookie):
			ps.add("sticky.cookie", fmt.Sprintf("%q is not a cookie name", s.Cookie), "write one such as session")
		}
	}
	if c.ForceHeader != "" && !httpguts.ValidHeaderFieldName(c.ForceHeader) {
		ps.add("forceHeader", fmt.Sprintf("%q is not a header name", c.ForceHeader), "write one such as X-Serin-Arm")
	}
	ps.timeout("timeouts.dial", c.Timeouts.Dial)
	ps.timeout("timeouts.responseHeader", c.Timeouts.ResponseHeader)
	ps.timeout("timeouts.readHeader", c.Timeouts.ReadHeader)
	ps.timeout("timeouts.idle", c.Timeouts.Idle)
	return ps
}

type problems []rollout.Problem

func (ps *problems) add(field, message, mend string) {
	*ps = append(*ps, rollout.Problem{Field: field, Message: message, Mend: mend})
}

func (ps *problems) address(field, address string) {
	hostname, port, err := net.SplitHostPort(address)
	if err != nil {
		ps.add(field, fmt.Sprintf("%q is not host:port", address), "write an address such as 127.0.0.1:8080")
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		ps.add(field, fmt.Sprintf("%q has no port from 0 to 65535", address), "write an address such as 127.0.0.1:8080")
	}
	if ip, err := netip.ParseAddr(hostname); hostname == "localhost" || err == nil && ip.IsLoopback() {
		return
	}
	*ps = append(*ps, rollout.Problem{
		Field:   field,
		Message: fmt.Sprintf("%q is reachable from beyond this machine", address),
		Mend:    "that is right for a server; otherwise write 127.0.0.1:" + port,
		Warning: true,
	})
}

func (ps *problems) timeout(field string, d rollout.Duration) {
	if time.Duration(d) < time.Millisecond || time.Duration(d) > 24*time.Hour {
		ps.add(field, fmt.Sprintf("is %v", d), "write a duration from 1ms to 24h")
	}
}

// forwarding is the configuration of the reverse proxy itself.
func (c Config) forwarding() proxy.Config {
	out := proxy.Config{
		ForceHeader:           c.ForceHeader,
		TrustForwarded:        c.TrustForwarded,
		DialTimeout:           time.Duration(c.Timeouts.Dial),
		ResponseHeaderTimeout: time.Duration(c.Timeouts.ResponseHeader),
		ReadHeaderTimeout:     time.Duration(c.Timeouts.ReadHeader),
		IdleTimeout:           time.Duration(c.Timeouts.Idle),
	}
	if c.Sticky != nil {
		out.Sticky = &proxy.Sticky{Cookie: c.Sticky.Cookie, Header: c.Sticky.Header}
	}
	return out
}

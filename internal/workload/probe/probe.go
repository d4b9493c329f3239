// Package probe asks one address again and again whether it can take requests.
// It serves the workloads that watch instances themselves; it knows no groups,
// processes or versions.
package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Probe is what is asked and when.
type Probe struct {
	// URL is tcp://host:port, which must accept a connection, or http://,
	// https:// or h2c:// with a path, which must answer GET with 2xx or 3xx.
	URL string
	// InitialDelay passes before the first probe.
	InitialDelay time.Duration
	// Interval is the time between probes. Before the first success they follow
	// one another faster, so that no start waits for them.
	Interval time.Duration
	// Timeout bounds one probe.
	Timeout time.Duration
	// Successes in a row make it ready, Failures in a row make it not ready.
	Successes, Failures int
	// Ready is what is believed before the first probe.
	Ready bool
}

// Result is what is known after a probe.
type Result struct {
	Ready bool
	// Err is why the latest probe failed, nil when it succeeded.
	Err error
}

// Until the first success the pause is a tenth of the time that has passed, so
// that a start is found out at most a tenth too late, within these bounds.
const (
	shortest = 2 * time.Millisecond
	longest  = 250 * time.Millisecond
)

// Watch probes until ctx ends and reports every result.
func (p Probe) Watch(ctx context.Context, report func(Result)) {
	if !sleep(ctx, p.InitialDelay) {
		return
	}
	check, closeIdle := p.checker()
	defer closeIdle()
	began := time.Now()
	ready, confirmed := p.Ready, false
	successes, failures := 0, 0
	for {
		err := check(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			successes, failures = successes+1, 0
			if successes >= p.Successes {
				ready, confirmed = true, true
			}
		} else {
			successes, failures = 0, failures+1
			if failures >= p.Failures {
				ready = false
			}
		}
		report(Result{Ready: ready, Err: err})
		pause := p.Interval
		if !confirmed {
			pause = min(pause, max(shortest, min(time.Since(began)/10, longest)))
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// Once probes once.
func (p Probe) Once(ctx context.Context) error {
	check, closeIdle := p.checker()
	defer closeIdle()
	return check(ctx)
}

// checker returns what makes one probe, and what to call after the last.
func (p Probe) checker() (check func(context.Context) error, closeIdle func()) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return func(context.Context) error { return fmt.Errorf("probing %q: %w", p.URL, err) }, func() {}
	}
	if u.Scheme == "tcp" {
		return func(ctx context.Context) error { return p.connect(ctx, u.Host) }, func() {}
	}
	target := *u
	transport := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: p.Timeout}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    p.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		// A probe must see whether a new connection is accepted.
		DisableKeepAlives: true,
	}
	if u.Scheme == "h2c" {
		target.Scheme = "http"
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) error { return p.get(ctx, client, target.String()) }, transport.CloseIdleConnections
}

func (p Probe) connect(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: p.Timeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	return conn.Close()
}

func (p Probe) get(ctx context.Context, client *http.Client, target string) error {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fmt.Errorf("probing %s: %w", p.URL, err)
	}
	req.Header.Set("User-Agent", "serin-probe")
	res, err := client.Do(req)
	if err != nil {
		return err // says method and URL itself
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // politeness; the status decides
	if res.StatusCode < 200 || res.StatusCode >= 400 {
		return fmt.Errorf("GET %s answered %s", p.URL, res.Status)
	}
	return nil
}

// sleep waits for d and says whether ctx is still going on.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// TCP returns the tcp:// URL of where an http://, https:// or h2c:// URL
// connects to.
func TCP(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	return "tcp://" + net.JoinHostPort(u.Hostname(), port)
}

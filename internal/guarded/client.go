// Package guarded makes the HTTP clients with which Serin asks anything whose
// address a user wrote: tests, hooks, notifiers. Each is bounded in time, in
// the size of the answer and in redirects, and none reaches the addresses at
// which clouds hand out a machine's credentials. It must not know who asks
// what.
package guarded

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Options are a client's bounds; the zero value has the defaults.
type Options struct {
	// Timeout bounds an exchange from dialling to the end of the answer;
	// default 30 s. The request's context may end it sooner.
	Timeout time.Duration
	// MaxBody bounds the answer's body in bytes; default 1 MiB. Reading beyond
	// it is ErrTooLarge.
	MaxBody int64
	// Redirects is how many redirects are followed, to the same host only;
	// with 0 the redirect itself is the answer.
	Redirects int
	// Proxy makes the client use the proxy that HTTPS_PROXY and its kin name.
	// Through a proxy, only an address written as a number can be refused: the
	// proxy looks up names.
	Proxy bool
	// KeepAlive is how long a connection without an exchange is kept for the next
	// one, for those who ask one server again and again; 0: none is kept. The
	// address of each was checked when it was dialled.
	KeepAlive time.Duration
}

const (
	defaultTimeout = 30 * time.Second
	defaultMaxBody = 1 << 20
	maxHeader      = 64 << 10
	dialTimeout    = 10 * time.Second
	// maxKept is how many connections to a host are kept.
	maxKept = 32
)

// ErrTooLarge is the error of reading more of an answer than MaxBody.
var ErrTooLarge = errors.New("the answer is larger than allowed")

// NewClient returns a client with these bounds. Without KeepAlive it keeps no
// connection open, so there is nothing to close; else CloseIdleConnections
// closes those that are kept.
func NewClient(o Options) *http.Client {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	return &http.Client{
		Timeout:       o.Timeout,
		Transport:     bounded{Transport: newTransport(o, dial), maxBody: o.MaxBody},
		CheckRedirect: redirectPolicy(o.Redirects),
	}
}

func newTransport(o Options, dial dialFunc) *http.Transport {
	t := &http.Transport{
		DialContext:            dial,
		DisableKeepAlives:      o.KeepAlive <= 0,
		IdleConnTimeout:        o.KeepAlive,
		MaxIdleConnsPerHost:    maxKept,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  o.Timeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
	if o.Proxy {
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// redirectPolicy follows up to n redirects that stay on the host that was
// asked, and never from https to http: a header with a credential goes along.
func redirectPolicy(n int) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if n == 0 {
			return http.ErrUseLastResponse
		}
		first := via[0].URL
		switch {
		case len(via) > n:
			return fmt.Errorf("redirected more than %d times", n)
		case req.URL.Host != first.Host:
			return errors.New("redirected to another host; write that address if it is meant")
		case first.Scheme == "https" && req.URL.Scheme != "https":
			return errors.New("redirected from https to http; write that address if it is meant")
		}
		return nil
	}
}

// bounded refuses what need not be dialled to be refused, and bounds bodies.
type bounded struct {
	*http.Transport
	maxBody int64
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	// Dialling checks again; through a proxy it does not see this address.
	if err := checkLiteral(req.URL.Hostname()); err != nil {
		return nil, err
	}
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", "serin")
	}
	resp, err := b.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: b.maxBody}
	return resp, nil
}

// limitedBody yields at most left bytes, then ErrTooLarge if there are more.
type limitedBody struct {
	io.ReadCloser
	left int64
}

func (l *limitedBody) Read(p []byte) (int, error) {
	// One byte more than is left is asked for, to tell the end from too much.
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if int64(n) > l.left {
		n, err = int(l.left), ErrTooLarge
	}
	l.left -= int64(n)
	return n, err
}

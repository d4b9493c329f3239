package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// This file is the general data path: any request that net/http can read, over
// httputil.ReverseProxy.

type exchangeKey struct{}

func newReverseProxy(p *Proxy) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:   p.rewrite,
		Transport: roundTripper{p},
		// Nothing waits in a buffer: what the backend has sent, the client gets.
		FlushInterval: -1,
		BufferPool:    new(bufferPool),
		ErrorLog:      debugLog(p.cfg.Logger),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			x := exchangeOf(r.Context())
			switch {
			case x.body != nil && x.body.broken():
				x.prepare()
				writeText(w, http.StatusBadRequest, "400: the request's body is malformed\n")
			case !x.out.canceled:
				x.prepare()
				status, text := failure(x.armTried(), err)
				writeText(w, status, text)
			}
		},
	}
}

func debugLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func writeText(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// forward serves one request.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		// A tunnel to wherever the client likes is not what this proxy is for.
		writeText(w, http.StatusMethodNotAllowed, "405: this proxy makes no tunnels\n")
		return
	}
	var force Arm
	if p.cfg.ForceHeader != "" {
		force = forcedArm(r.Header.Get(p.cfg.ForceHeader))
	}
	key := ""
	if p.sticky != nil {
		key = p.sticky.key(r.Header)
	}
	x := new(exchange)
	err := x.begin(p, p.table.Load(), time.Now(), force, key)
	x.request, x.writer = r, w
	if err != nil {
		x.prepare()
		status, text := failure(x.arm, err)
		writeText(w, status, text)
		return
	}
	if r.Body != nil && r.Body != http.NoBody {
		x.body = &countingBody{ReadCloser: r.Body}
		r.Body = x.body
		if r.Header.Get("Expect") != "" {
			w = &continuing{ResponseWriter: w, told: &x.body.told}
		}
	}
	defer func() {
		if x.upgraded != nil {
			_ = x.upgraded.Close() // its copying goroutines may still be at it
		}
		if x.body != nil {
			x.out.bytesIn = x.body.n.Load()
		}
		x.finish()
	}()
	if r.ProtoMajor == 1 {
		// A backend may answer while the body is still coming.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

// prepare sets what the client's answer needs besides the backend's headers, as
// late as possible: informational answers before it clear what was set earlier.
func (x *exchange) prepare() {
	h := x.writer.Header()
	// The backend decides whether there is a Content-Type; net/http would guess.
	h["Content-Type"] = nil
	if x.request.ProtoMajor != 1 {
		return
	}
	// A connection ends with an answer that comes before the request's end: what
	// follows may be no request (net/http, in full duplex, would read on and not
	// notice that a chunk was malformed). It also ends with a chunked request: it
	// may have had a Content-Length too, which net/http hides and somebody in front
	// may have gone by (RFC 9112, 6.3).
	if x.p.server.draining.Load() || x.request.TransferEncoding != nil || x.body != nil && !x.body.complete.Load() {
		h.Set("Connection", "close")
	}
}

func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	pr.Out.Host = pr.In.Host
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery // as it came, not as Go would parse it
	if p.cfg.TrustForwarded {
		for _, name := range []string{"Forwarded", "X-Forwarded-For"} {
			if v := pr.In.Header[name]; v != nil {
				pr.Out.Header[name] = v
			}
		}
	}
	pr.SetXForwarded()
	if p.cfg.TrustForwarded {
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
			if v := pr.In.Header[name]; v != nil {
				pr.Out.Header[name] = v
			}
		}
	}
}

// roundTripper tries a request where its exchange says until it is answered.
type roundTripper struct{ p *Proxy }

func (rt roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	client := req.Context()
	x := exchangeOf(client)
	var body *countingBody
	if req.Body != nil {
		// A transport closes the body also when it has sent nothing; the next
		// try may still need it. The server closes it in the end.
		body = &countingBody{ReadCloser: io.NopCloser(req.Body)}
	}
	spoiled := 0
	for {
		var connected, leftover atomic.Bool
		ctx := httptrace.WithClientTrace(client, &httptrace.ClientTrace{
			// Nothing of the request has been written yet.
			GotConn: func(got httptrace.GotConnInfo) {
				connected.Store(true)
				leftover.Store(got.Reused && !usable(got.Conn))
			},
		})
		try := req.WithContext(ctx)
		target := *req.URL
		target.Scheme, target.Host = x.at.up.url.Scheme, x.at.up.url.Host
		try.URL = &target
		if body != nil {
			try.Body = gatedBody{body, &leftover}
			body.ended = func() {
				// The trailers are known now; the transport sends them next.
				for name := range try.Trailer {
					try.Trailer[name] = x.request.Trailer[name]
				}
			}
		}
		resp, err := x.at.up.transport.RoundTrip(try)
		if err == nil {
			return rt.answered(client, x, resp), nil
		}
		if client.Err() != nil || x.body != nil && x.body.broken() {
			x.canceled()
			return nil, err
		}
		if leftover.Load() && (body == nil || body.n.Load() == 0) && spoiled < rt.p.cfg.MaxIdlePerBackend {
			spoiled++ // that connection is gone; the instance has not been asked
			continue
		}
		if !connected.Load() && !neverSent(err) {
			err = &errConnect{err} // a failed TLS handshake, say
		}
		unsent := neverSent(err) && (body == nil || body.n.Load() == 0)
		if !x.failed(classify(err), unsent, idempotent(req.Method) && body == nil) {
			return nil, err
		}
	}
}

// answered wraps the response's body so that what happens to it is counted.
func (rt roundTripper) answered(client context.Context, x *exchange, resp *http.Response) *http.Response {
	upgraded := resp.StatusCode == http.StatusSwitchingProtocols
	if !upgraded {
		x.prepare()
	}
	x.answered(resp.StatusCode, upgraded || isEventStream(resp.Header))
	if len(resp.Trailer) > 0 {
		// HTTP/1.1 has trailers in chunked bodies only.
		resp.ContentLength = -1
		resp.Header.Del("Content-Length")
	}
	body := responseBody{ReadCloser: resp.Body, x: x, client: client}
	if conn, ok := resp.Body.(io.ReadWriteCloser); ok && upgraded {
		u := &upgradedBody{responseBody: body, conn: conn, server: rt.p.server}
		rt.p.server.upgrades.add(u)
		x.upgraded = u
		resp.Body = u
	} else {
		resp.Body = &body
	}
	return resp
}

func isEventStream(h http.Header) bool {
	ct := h.Get("Content-Type")
	if !strings.HasPrefix(ct, "text/event-stream") {
		return false
	}
	base, _, _ := mime.ParseMediaType(ct)
	return base == "text/event-stream"
}

// countingBody counts what is read from a request's body.
type countingBody struct {
	io.ReadCloser
	n        atomic.Uint64
	complete atomic.Bool // read to its end
	failed   atomic.Bool
	ended    func() // called when it has been read to its end; may be nil
	// told guards that a client which waits with its body is told once to go on.
	told sync.Once
}

func (b *countingBody) Read(p []byte) (int, error) {
	b.told.Do(func() {}) // net/http's server tells it at the first read
	n, err := b.ReadCloser.Read(p)
	b.n.Add(uint64(n))
	switch {
	case err == io.EOF:
		if b.ended != nil {
			b.ended()
		}
		b.complete.Store(true)
	case err != nil && !errors.Is(err, http.ErrBodyReadAfterClose):
		b.failed.Store(true)
	}
	return n, err
}

// continuing passes a backend's 100 on, unless the body is being read already:
// net/http's client begins with that and reports the 100 at the same time, and its
// server, asked for the body, has said it by itself.
type continuing struct {
	http.ResponseWriter
	told *sync.Once
}

func (c *continuing) WriteHeader(status int) {
	if status == http.StatusContinue {
		c.told.Do(func() { c.ResponseWriter.WriteHeader(status) })
		return
	}
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (c *continuing) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// gatedBody gives nothing to a connection on which the request is not sent.
type gatedBody struct {
	*countingBody
	shut *atomic.Bool
}

func (b gatedBody) Read(p []byte) (int, error) {
	if b.shut.Load() {
		return 0, errLeftover
	}
	return b.countingBody.Read(p)
}

// broken: the client did not send the body that it announced.
func (b *countingBody) broken() bool { return b.failed.Load() }

// responseBody counts what is read from a response's body and notices when it
// breaks off.
type responseBody struct {
	io.ReadCloser
	x      *exchange
	client context.Context
	ended  bool
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.out.bytesOut += uint64(n)
	if err != nil && !b.ended {
		b.ended = true
		if b.client.Err() != nil {
			b.x.canceled()
		} else if !errors.Is(err, io.EOF) {
			b.x.broke()
		}
	}
	return n, err
}

// Close before the end means that the client did not take the rest.
func (b *responseBody) Close() error {
	if !b.ended {
		b.ended = true
		b.x.canceled()
	}
	return b.ReadCloser.Close()
}

// upgradedBody is the backend's side of an upgraded connection. Two goroutines
// copy; the counters are their own until both are done.
type upgradedBody struct {
	responseBody
	conn   io.ReadWriteCloser
	server *server
	mu     sync.Mutex
	closed bool
}

func (b *upgradedBody) Read(p []byte) (int, error) {
	n, err := b.conn.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return n, err
	}
	b.x.out.bytesOut += uint64(n)
	if err != nil && !errors.Is(err, io.EOF) && b.client.Err() == nil {
		b.x.broke()
	}
	return n, err
}

func (b *upgradedBody) Write(p []byte) (int, error) {
	n, err := b.conn.Write(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.x.out.bytesIn += uint64(n)
	}
	return n, err
}

// CloseWrite passes a half-close on when the connection knows it.
func (b *upgradedBody) CloseWrite() error {
	if c, ok := b.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return http.ErrNotSupported
}

func (b *upgradedBody) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.server.upgrades.remove(b)
	return b.conn.Close()
}

// bufferPool lends the buffers for copying bodies.
type bufferPool struct{ pool sync.Pool }

const copyBuffer = 32 << 10

func (b *bufferPool) Get() []byte {
	if buf, ok := b.pool.Get().(*[copyBuffer]byte); ok {
		return buf[:]
	}
	return make([]byte, copyBuffer)
}

func (b *bufferPool) Put(buf []byte) { b.pool.Put((*[copyBuffer]byte)(buf)) }

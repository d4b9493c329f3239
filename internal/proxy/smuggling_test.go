package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/proxy"
)

// rawOrigin records every byte that reaches it and answers whatever looks like a
// request, so that a smuggled one shows.
type rawOrigin struct {
	ln net.Listener
	mu sync.Mutex
	in bytes.Buffer
}

func newRawOrigin(t *testing.T) *rawOrigin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	fatalf(t, err, "listening")
	o := &rawOrigin{ln: ln}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go o.serve(conn)
		}
	}()
	return o
}

func (o *rawOrigin) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(io.TeeReader(conn, lockedWriter{o}))
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.URL.Path), req.URL.Path)
	}
}

type lockedWriter struct{ o *rawOrigin }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.o.mu.Lock()
	defer w.o.mu.Unlock()
	return w.o.in.Write(p)
}

func (o *rawOrigin) received() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.in.String()
}

// Each of these could be read as one request by the proxy and as two by a backend,
// or end elsewhere. Every one is refused, or passed on with one unmistakable end.
func TestNoRequestIsSmuggled(t *testing.T) {
	const evil = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
	attacks := map[string]string{
		"length and chunked":           "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: " + fmt.Sprint(len(evil)+5) + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil,
		"chunked and length":           "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + evil,
		"two lengths":                  "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: " + fmt.Sprint(len(evil)) + "\r\n\r\n" + evil,
		"a list of lengths":            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 31\r\n\r\n" + evil,
		"a signed length":              "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n" + evil,
		"a hexadecimal length":         "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1f\r\n\r\n" + evil,
		"a negative length":            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n" + evil,
		"a huge length":                "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999999\r\n\r\n" + evil,
		"space before the colon":       "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length : 31\r\n\r\n" + evil,
		"an odd encoding":              "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + evil,
		"two encodings":                "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + evil,
		"a tab in the encoding":        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\nContent-Length: 31\r\n\r\n0\r\n\r\n" + evil,
		"an encoding folded":           "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + evil,
		"a vertical tab":               "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\nContent-Length: 0\r\n\r\n" + evil,
		"a bare CR":                    "GET /x HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n" + evil,
		"a NUL":                        "GET /x HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n" + evil,
		"a length that Connection ate": "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: " + fmt.Sprint(len(evil)) + "\r\nConnection: keep-alive, Content-Length\r\n\r\n" + evil,
		"encoding that Connection ate": "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n\r\n0\r\n\r\n",
		"a line in the target":         "GET /x\r\nX:/y HTTP/1.1\r\nHost: a\r\n\r\n",
		"a space in the target":        "GET /x HTTP/1.1 /evil HTTP/1.1\r\nHost: a\r\n\r\n",
		"two hosts":                    "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"no host":                      "GET /x HTTP/1.1\r\n\r\n",
		"a chunk size that overflows":  "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + evil,
		"a chunk extension with LF":    "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n0\r\n\r\n",
		"a GET with a body":            "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: " + fmt.Sprint(len(evil)) + "\r\n\r\n" + evil,
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			o := newRawOrigin(t)
			p := start(t, proxy.Config{}, only("http://"+o.ln.Addr().String()))
			conn, err := net.Dial("tcp", p.addr)
			fatalf(t, err, "dialing")
			defer conn.Close()
			_, err = io.WriteString(conn, attack)
			fatalf(t, err, "writing")
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			answer, _ := io.ReadAll(conn)

			// What went out must be whole requests, each with one length, with a
			// Host, none of them in front of what the client's own reading allows.
			sent := o.received()
			r := bufio.NewReader(strings.NewReader(sent))
			for peekable(r) {
				req, err := http.ReadRequest(r)
				fatalf(t, err, "what reached the backend is no request: %q", sent)
				_, _ = io.Copy(io.Discard, req.Body) // may be cut short with its connection
				if req.Host == "" || strings.Contains(sent, "Content-Length") && strings.Contains(sent, "Transfer-Encoding") {
					t.Fatalf("ambiguous at the backend: %q", sent)
				}
			}
			// Where a message could end in two places, nothing behind it is served.
			if strings.Contains(string(answer), "\r\n\r\n/evil") {
				t.Fatalf("the smuggled request was served: %q", answer)
			}
			// Every request that the proxy made carries its mark.
			if n := strings.Count(sent, "X-Forwarded-For: "); n > 1 {
				t.Fatalf("%d requests reached the backend: %q", n, sent)
			}
		})
	}
}

func peekable(r *bufio.Reader) bool {
	_, err := r.Peek(1)
	return err == nil
}

// A backend that says more than it announced must not have the rest taken for the
// answer to somebody else's request: whether it is in the proxy's buffer already or
// still in the kernel's, whatever the client speaks, and through TLS to the backend.
func TestAnOverlongAnswerDoesNotReachTheNextRequest(t *testing.T) {
	// net/http's client logs every answer that nobody asked for, thousands here.
	log.SetOutput(io.Discard)
	defer log.SetOutput(os.Stderr)
	certFile, keyFile, trusted := certificate(t, t.TempDir(), "both sides")
	plain := overlongOrigin(t, nil)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	fatalf(t, err, "loading the certificate")
	// In one record, so that all of it comes at once. What comes after the next
	// request is that one's answer for all that anybody can tell.
	secure := overlongOrigin(t, &tls.Config{Certificates: []tls.Certificate{pair}, DynamicRecordSizingDisabled: true})
	toPlain := start(t, proxy.Config{}, only("http://"+plain))
	toSecure := start(t, proxy.Config{BackendTLS: &tls.Config{RootCAs: trusted}}, only("https://"+secure))
	fromTLS := start(t, proxy.Config{CertFile: certFile, KeyFile: keyFile}, only("http://"+plain))
	http2 := newClient(t)
	http2.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: trusted}
	http2.Transport.(*http.Transport).ForceAttemptHTTP2 = true

	for _, c := range []struct {
		name   string
		client *http.Client
		base   string
		header []string
	}{
		{"direct", newClient(t), toPlain.url(""), paths["direct"]},
		{"general", newClient(t), toPlain.url(""), paths["general"]},
		{"HTTP/2", http2, "https://" + fromTLS.addr, nil},
		{"to HTTPS", newClient(t), toSecure.url(""), nil},
	} {
		for _, path := range []string{"/short", "/long"} {
			t.Run(c.name+path, func(t *testing.T) {
				var clients sync.WaitGroup
				for range 4 {
					clients.Go(func() {
						for i := range 100 {
							// Not even a request that cannot be sent twice fails.
							method, body := http.MethodGet, io.Reader(nil)
							if i%2 == 1 {
								method, body = http.MethodPost, strings.NewReader("body")
							}
							req, err := http.NewRequest(method, c.base+path, body)
							if err != nil {
								t.Error(err)
								return
							}
							if len(c.header) > 0 {
								req.Header.Set(c.header[0], c.header[1])
							}
							resp, err := c.client.Do(req)
							if err != nil {
								t.Error(err)
								return
							}
							answer, err := io.ReadAll(resp.Body)
							resp.Body.Close()
							if err != nil || resp.StatusCode != 200 || string(answer) != overlong[path] {
								t.Errorf("%s: %s, %d bytes %.20q (%v), want %d", method, resp.Status, len(answer), answer, err, len(overlong[path]))
								return
							}
						}
					})
				}
				clients.Wait()
			})
		}
	}
}

// overlong is what is answered before what is too much.
var overlong = map[string]string{"/short": "ok", "/long": strings.Repeat("l", 10_000)}

// overlongOrigin answers each request twice.
func overlongOrigin(t *testing.T, secure *tls.Config) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	fatalf(t, err, "listening")
	t.Cleanup(func() { ln.Close() })
	if addr = ln.Addr().String(); secure != nil {
		ln = tls.NewListener(ln, secure)
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					body := overlong[req.URL.Path]
					_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", len(body), body)
				}
			}()
		}
	}()
	return addr
}

func TestHeadersHaveALimitAndATime(t *testing.T) {
	p := start(t, proxy.Config{MaxHeaderBytes: 32 << 10}, only(origin(t, named("o")).URL))
	client := newClient(t)
	if status, _ := get(t, client, p.url("/"), "X-Large", strings.Repeat("x", 20<<10)); status != 200 {
		t.Errorf("20 KiB of headers: %d", status)
	}
	if status, _ := get(t, client, p.url("/"), "X-Large", strings.Repeat("x", 60<<10)); status != 431 {
		t.Errorf("60 KiB of headers: %d, want 431", status)
	}
	p = start(t, proxy.Config{ReadHeaderTimeout: 200 * time.Millisecond}, only(origin(t, named("o")).URL))
	for name, first := range map[string]string{"silent": "", "slow": "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "slow and special": "PUT / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nX: "} {
		conn, err := net.Dial("tcp", p.addr)
		fatalf(t, err, "dialing")
		defer conn.Close()
		_, _ = io.WriteString(conn, first)
		cut := make(chan struct{})
		go func() {
			defer close(cut)
			_ = conn.SetReadDeadline(time.Now().Add(8 * time.Second))
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s: the connection is not closed", name)
			}
		}()
		for range 1000 {
			if _, err := io.WriteString(conn, first[:min(len(first), 1)]); err != nil {
				break
			}
			select {
			case <-cut:
			case <-time.After(20 * time.Millisecond):
				continue
			}
			break
		}
		<-cut
	}
}

func TestNoTunnelIsMade(t *testing.T) {
	var reached atomic.Bool
	p := start(t, proxy.Config{}, only(origin(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) }).URL))
	conn, err := net.Dial("tcp", p.addr)
	fatalf(t, err, "dialing")
	defer conn.Close()
	_, err = io.WriteString(conn, "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n")
	fatalf(t, err, "writing")
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	fatalf(t, err, "the answer")
	if resp.StatusCode != http.StatusMethodNotAllowed || reached.Load() {
		t.Fatalf("%s; the backend was reached: %v", resp.Status, reached.Load())
	}
}

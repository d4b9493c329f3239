package proxy_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"serin.dev/serin/internal/proxy"
)

// An update is one instant: what begins after it goes where it says, on new
// connections and on those that have served the other arm.
func TestAnUpdateHoldsForEveryFollowingRequest(t *testing.T) {
	stable, canary := origin(t, named("stable")), origin(t, named("canary"))
	for path, header := range paths {
		t.Run(path, func(t *testing.T) {
			p := start(t, proxy.Config{}, both(0, stable.URL, canary.URL))
			client := newClient(t)
			for i := range 100 {
				weight, want := 0, "stable"
				if i%2 == 1 {
					weight, want = 100, "canary"
				}
				fatalf(t, p.Update(both(weight, stable.URL, canary.URL)), "update")
				if status, body := get(t, client, p.url("/"), header...); status != 200 || body != want {
					t.Fatalf("at %d %%: %d from %q", weight, status, body)
				}
			}
		})
	}
}

// Upgraded connections pass through TLS on either side.
func TestWebSocketsPassOverTLS(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, msg, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, msg) != nil {
				return
			}
		}
	})
	plain := origin(t, echo)
	secure := httptest.NewTLSServer(echo)
	t.Cleanup(func() {
		secure.CloseClientConnections()
		secure.Close()
	})
	backends := x509.NewCertPool()
	backends.AddCert(secure.Certificate())
	certFile, keyFile, trusted := certificate(t, t.TempDir(), "proxy")
	fromTLS := start(t, proxy.Config{CertFile: certFile, KeyFile: keyFile}, only(plain.URL))
	toTLS := start(t, proxy.Config{BackendTLS: &tls.Config{RootCAs: backends}}, only(secure.URL))

	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	for _, url := range []string{"wss://" + fromTLS.addr, "ws://" + toTLS.addr} {
		conn, _, err := dialer.Dial(url, nil)
		fatalf(t, err, "%s", url)
		defer conn.Close()
		for i := range 20 {
			msg := strings.Repeat("m", i*5000)
			fatalf(t, conn.WriteMessage(websocket.BinaryMessage, []byte(msg)), "%s: writing", url)
			_, got, err := conn.ReadMessage()
			fatalf(t, err, "%s: reading", url)
			if string(got) != msg {
				t.Fatalf("%s: %d bytes came back of %d", url, len(got), len(msg))
			}
		}
	}
}

// Whatever the two sides speak, a refused body's refusal arrives, and a body that is
// asked for. Over HTTP/1.1 a refused body is not sent; over HTTP/2 it may be, because
// net/http's server hides from its handler that the client waits.
func TestExpectContinueEachWay(t *testing.T) {
	eachWay(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}, func(t *testing.T, w way) {
		for path, want := range map[string]int{"/no": http.StatusExpectationFailed, "/yes": http.StatusOK} {
			body := strings.NewReader(strings.Repeat("b", 100_000))
			req, err := http.NewRequest(http.MethodPost, w.base+path, body)
			fatalf(t, err, "request")
			req.Header.Set("Expect", "100-continue")
			resp, err := w.client.Do(req)
			fatalf(t, err, "%s", path)
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: %s, want %d", path, resp.Status, want)
			}
			if path == "/yes" && string(text) != "100000" {
				t.Errorf("%s bytes arrived", text)
			}
			if path == "/no" && w.proto == "HTTP/1.1" && body.Len() != 100_000 {
				t.Errorf("%d bytes of the refused body were sent", 100_000-body.Len())
			}
		}
	})
}

// A backend may close an idle connection at any time. Even a request that cannot
// be sent twice does not find that out.
func TestAConnectionClosedWhileIdleFailsNoRequest(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	fatalf(t, err, "listening")
	defer ln.Close()
	closed := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() {
					conn.Close()
					closed <- struct{}{}
				}()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				body, _ := io.ReadAll(req.Body)
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				time.Sleep(time.Millisecond) // the proxy has taken it for usable by then
			}()
		}
	}()
	for path, header := range paths {
		t.Run(path, func(t *testing.T) {
			p := start(t, proxy.Config{}, only("http://"+ln.Addr().String()))
			client := newClient(t)
			for i := range 100 {
				if status, body := do(t, client, http.MethodPost, p.url("/"), strings.NewReader("body"), header...); status != 200 || body != "body" {
					t.Fatalf("request %d: %d %q", i, status, body)
				}
				<-closed
			}
		})
	}
}

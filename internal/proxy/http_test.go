package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"serin.dev/serin/internal/proxy"
)

func TestARequestPassesUnchanged(t *testing.T) {
	type seen struct {
		method, uri, host, body string
		header                  http.Header
	}
	got := make(chan seen, 1)
	eachWay(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone()}
		w.Header().Set("X-Answer", "yes")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	}, func(t *testing.T, w way) {
		for _, method := range []string{"GET", "POST", "DELETE", "PATCH", "BREW"} {
			body := ""
			if method != "GET" {
				body = "some body"
			}
			req, err := http.NewRequest(method, w.base+"/a%2Fb/c;d?x=1;y=%20&z", strings.NewReader(body))
			fatalf(t, err, "request")
			req.Host = "shop.example:8080"
			req.Header.Set("X-Custom", "kept")
			req.Header.Set("X-Forwarded-For", "6.6.6.6")
			req.Header.Set("X-Forwarded-Proto", "gopher")
			req.Header.Set("Accept-Encoding", "br")
			if w.proto == "HTTP/1.1" {
				req.Header.Set("Connection", "X-Hop")
				req.Header.Set("X-Hop", "must not pass")
			}
			req.Header["User-Agent"] = nil
			resp, err := w.client.Do(req)
			fatalf(t, err, "%s", method)
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			fatalf(t, err, "reading the answer to %s", method)
			if resp.Proto != w.proto {
				t.Fatalf("the client speaks %s, want %s", resp.Proto, w.proto)
			}
			if resp.StatusCode != http.StatusTeapot || string(text) != "short and stout" || resp.Header.Get("X-Answer") != "yes" {
				t.Fatalf("%s: the answer is %d %q %v", method, resp.StatusCode, text, resp.Header)
			}
			if v := resp.Header.Get("Keep-Alive"); v != "" {
				t.Errorf("hop-by-hop Keep-Alive: %q passed to the client", v)
			}
			s := <-got
			if s.method != method || s.uri != "/a%2Fb/c;d?x=1;y=%20&z" || s.host != "shop.example:8080" || s.body != body {
				t.Fatalf("the backend got %s %s of %s with %q", s.method, s.uri, s.host, s.body)
			}
			scheme := "http"
			if strings.HasPrefix(w.base, "https") {
				scheme = "https"
			}
			for name, want := range map[string]string{
				"X-Custom": "kept", "X-Hop": "", "Accept-Encoding": "br", "User-Agent": "",
				"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": scheme, "X-Forwarded-Host": "shop.example:8080",
			} {
				if v := strings.Join(s.header.Values(name), "|"); v != want {
					t.Errorf("%s: the backend got %s: %q, want %q", method, name, v, want)
				}
			}
		}
	})
}

func TestForwardedHeadersOfATrustedProxyAreKept(t *testing.T) {
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-For"), " ", r.Header.Get("X-Forwarded-Proto"))
	})
	p := start(t, proxy.Config{TrustForwarded: true}, only(o.URL))
	if _, body := get(t, newClient(t), p.url("/"), "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https"); body != "192.0.2.7, 127.0.0.1 https" {
		t.Fatalf("the backend got %q", body)
	}
}

func TestHeadAndBodilessAnswers(t *testing.T) {
	eachWay(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Length", "1000")
			if r.Method != http.MethodHead {
				_, _ = w.Write(make([]byte, 1000))
			}
		}
	}, func(t *testing.T, w way) {
		for range 3 { // on one connection: the end of each answer is found
			if status, body := do(t, w.client, "HEAD", w.base+"/", nil); status != 200 || body != "" {
				t.Fatalf("HEAD: %d %q", status, body)
			}
			if status, body := get(t, w.client, w.base+"/204"); status != 204 || body != "" {
				t.Fatalf("204: %d %q", status, body)
			}
			if status, body := get(t, w.client, w.base+"/304"); status != 304 || body != "" {
				t.Fatalf("304: %d %q", status, body)
			}
			if status, body := get(t, w.client, w.base+"/"); status != 200 || len(body) != 1000 {
				t.Fatalf("GET: %d, %d bytes", status, len(body))
			}
		}
		if n := w.proxy.Snapshot().Stable.Errors; n != 0 {
			t.Fatalf("%d errors counted", n)
		}
	})
}

// Bodies that no buffer holds, both ways at once, arrive complete.
func TestLargeBodiesStreamBothWays(t *testing.T) {
	const size = 24 << 20
	eachWay(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		if r.Header.Get("X-Length") != "" {
			w.Header().Set("Content-Length", r.Header.Get("X-Length"))
		}
		_, _ = io.Copy(w, r.Body)
	}, func(t *testing.T, w way) {
		for _, known := range []bool{true, false} {
			seed := rand.Uint64()
			source := rand.NewChaCha8([32]byte{byte(seed)})
			sent := sha256.New()
			req, err := http.NewRequest(http.MethodPost, w.base+"/", io.TeeReader(io.LimitReader(source, size), sent))
			fatalf(t, err, "request")
			if known {
				req.ContentLength = size
				req.Header.Set("X-Length", fmt.Sprint(size))
			}
			resp, err := w.client.Do(req)
			fatalf(t, err, "posting")
			received := sha256.New()
			n, err := io.Copy(received, resp.Body)
			resp.Body.Close()
			fatalf(t, err, "reading back")
			if n != size || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
				t.Fatalf("%d of %d bytes came back, or others", n, size)
			}
		}
	})
}

func TestTrailersPassBothWays(t *testing.T) {
	eachWay(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%s/%s", body, r.Trailer.Get("X-Client-Sum"))
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "unannounced")
	}, func(t *testing.T, w way) {
		req, err := http.NewRequest(http.MethodPost, w.base+"/", io.MultiReader(strings.NewReader("body")))
		fatalf(t, err, "request")
		req.Trailer = http.Header{"X-Client-Sum": {"17"}}
		for _, req := range []*http.Request{req, mustRequest(t, "GET", w.base+"/")} {
			resp, err := w.client.Do(req)
			fatalf(t, err, "%s", req.Method)
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			fatalf(t, err, "reading")
			want := "/"
			if req.Method == http.MethodPost {
				want = "body/17"
			}
			if string(body) != want || resp.Trailer.Get("X-Sum") != "42" || resp.Trailer.Get("X-Late") != "unannounced" {
				t.Fatalf("%s: got %q and trailers %v", req.Method, body, resp.Trailer)
			}
		}
	})
}

func mustRequest(t *testing.T, method, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	fatalf(t, err, "request")
	return req
}

// Each event arrives when it is sent, not when the stream ends; and a stream's
// length is not taken for its latency.
func TestServerSentEventsArriveAtOnce(t *testing.T) {
	next := make(chan string)
	eachWay(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		rc := http.NewResponseController(w)
		_ = rc.Flush()
		for event := range next {
			if event == "" {
				return
			}
			fmt.Fprintf(w, "data: %s\n\n", event)
			_ = rc.Flush()
		}
	}, func(t *testing.T, w way) {
		before := w.proxy.Snapshot().Stable
		begun := time.Now()
		resp, err := w.client.Get(w.base + "/")
		opened := time.Since(begun)
		fatalf(t, err, "opening the stream")
		defer resp.Body.Close()
		if n := w.proxy.Inflight(proxy.Stable); n != 1 {
			t.Errorf("%d requests in flight, want 1", n)
		}
		lines := bufio.NewReader(resp.Body)
		for i := range 3 {
			next <- fmt.Sprint("event ", i)
			line, err := lines.ReadString('\n')
			fatalf(t, err, "event %d", i)
			if line != fmt.Sprintf("data: event %d\n", i) {
				t.Fatalf("got %q", line)
			}
			_, _ = lines.ReadString('\n')
		}
		time.Sleep(700 * time.Millisecond)
		next <- ""
		if _, err := io.ReadAll(lines); err != nil {
			t.Fatalf("the end of the stream: %v", err)
		}
		s := counted(t, w.proxy, func(s proxy.Stats) bool { return s.Stable.Requests == before.Requests+1 }).Stable
		if n, sum := s.Latency.Count()-before.Latency.Count(), s.Latency.Sum-before.Latency.Sum; n != 1 || sum > opened.Seconds()+0.6 || s.Errors != 0 {
			t.Fatalf("latency of %d streams is %v s, and they were open after %v; %d errors", n, sum, opened, s.Errors)
		}
	})
}

func TestWebSocketsPassAndOutliveTheirRequest(t *testing.T) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat"}}
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, msg, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, append([]byte("echo "), msg...)) != nil {
				return
			}
		}
	})
	p := start(t, proxy.Config{}, both(100, o.URL, o.URL))
	dialer := websocket.Dialer{Subprotocols: []string{"chat"}}
	begun := time.Now()
	conn, resp, err := dialer.Dial("ws://"+p.addr+"/", nil)
	opened := time.Since(begun)
	fatalf(t, err, "upgrading (%v)", resp)
	defer conn.Close()
	if conn.Subprotocol() != "chat" {
		t.Errorf("subprotocol is %q", conn.Subprotocol())
	}
	for i := range 100 {
		msg := fmt.Sprint("message ", i, strings.Repeat(".", i*100))
		fatalf(t, conn.WriteMessage(websocket.TextMessage, []byte(msg)), "writing")
		_, got, err := conn.ReadMessage()
		fatalf(t, err, "reading")
		if string(got) != "echo "+msg {
			t.Fatalf("got %q", got)
		}
		if i == 50 {
			// The split changes; the connection stays where it is.
			fatalf(t, p.Update(both(0, o.URL, o.URL)), "update")
		}
	}
	if n := p.Inflight(proxy.Canary); n != 1 {
		t.Errorf("the canary has %d in flight, want the one connection", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.Drain(ctx, proxy.Canary); err == nil {
		t.Error("Drain did not wait for the upgraded connection")
	}
	time.Sleep(700 * time.Millisecond)
	conn.Close()
	s := counted(t, p, func(s proxy.Stats) bool { return s.Canary.Requests == 1 }).Canary
	if s.Requests != 1 || s.Errors != 0 || s.Latency.Count() != 1 || s.Latency.Sum > opened.Seconds()+0.6 {
		t.Errorf("%d requests, %d errors, latency of %d is %v s", s.Requests, s.Errors, s.Latency.Count(), s.Latency.Sum)
	}
	if s.BytesIn < 100 || s.BytesOut < 100 {
		t.Errorf("%d bytes in, %d out", s.BytesIn, s.BytesOut)
	}
}

// A backend that says no before the body is sent never gets the body; one that
// says "continue" gets it.
func TestExpectContinue(t *testing.T) {
	for range 50 {
		testExpectContinue(t)
	}
}

func testExpectContinue(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}
	o := origin(t, h)
	p := start(t, proxy.Config{}, only(o.URL))
	for _, path := range []string{"/no", "/yes"} {
		conn, err := net.Dial("tcp", p.addr)
		fatalf(t, err, "dialing")
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n", path)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		r := bufio.NewReader(conn)
		line, err := r.ReadString('\n')
		fatalf(t, err, "%s: first line", path)
		if path == "/no" {
			if !strings.HasPrefix(line, "HTTP/1.1 417") {
				t.Errorf("%s: got %q", path, line)
			}
			continue
		}
		if !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("%s: got %q", path, line)
		}
		_, _ = r.ReadString('\n')
		_, err = conn.Write(make([]byte, 100000))
		fatalf(t, err, "sending the body")
		resp, err := http.ReadResponse(r, nil)
		fatalf(t, err, "%s: answer", path)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK || string(body) != "100000" {
			t.Errorf("%s: %d %q", path, resp.StatusCode, body)
		}
	}
}

func TestEarlyHintsPass(t *testing.T) {
	eachWay(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "done")
	}, func(t *testing.T, w way) {
		var hints []string
		req := mustRequest(t, "GET", w.base+"/")
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, " ", h.Get("Link")))
				return nil
			},
		}))
		resp, err := w.client.Do(req)
		fatalf(t, err, "GET")
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "done" || len(hints) != 1 || hints[0] != "103 </style.css>; rel=preload" {
			t.Fatalf("got %q after %q", body, hints)
		}
	})
}

// Pieces of a body without a length arrive when they are sent.
func TestChunksArriveAtOnce(t *testing.T) {
	next := make(chan struct{})
	eachWay(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprint(w, i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}, func(t *testing.T, w way) {
		resp, err := w.client.Get(w.base + "/")
		fatalf(t, err, "GET")
		defer resp.Body.Close()
		for i := range 3 {
			var one [1]byte
			_, err := io.ReadFull(resp.Body, one[:])
			fatalf(t, err, "piece %d", i)
			if string(one[:]) != fmt.Sprint(i) {
				t.Fatalf("piece %d is %q", i, one)
			}
			next <- struct{}{}
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
			t.Fatalf("then %q, %v", rest, err)
		}
	})
}

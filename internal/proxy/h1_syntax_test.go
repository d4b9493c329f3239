package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What the direct path takes for plain, net/http reads in the same way: the same
// method, target, host, body and end. So no message can be read as one thing here
// and as another behind.
func checkRequestAgrees(t *testing.T, input []byte) {
	t.Helper()
	cfg := Config{ForceHeader: "X-Force", Sticky: &Sticky{Header: "X-User", Cookie: "sid"}}
	reader := newRequestReader(&cfg, "192.0.2.1")
	head, out, state := reader.read(input, nil)
	if state != plain || len(input) < head.size+int(head.length) {
		return
	}
	body := input[head.size : head.size+int(head.length)]

	src := bufio.NewReaderSize(bytes.NewReader(input), len(input)+16)
	came, err := http.ReadRequest(src)
	if err != nil {
		t.Fatalf("taken for plain, but net/http says %v: %q", err, input)
	}
	cameBody, err := io.ReadAll(came.Body)
	if err != nil || !bytes.Equal(cameBody, body) {
		t.Fatalf("body is %q here, %q (%v) for net/http: %q", body, cameBody, err, input)
	}
	if rest := len(input) - head.size - len(body); src.Buffered() != rest {
		t.Fatalf("%d bytes follow here, %d for net/http: %q", rest, src.Buffered(), input)
	}

	src = bufio.NewReader(bytes.NewReader(append(bytes.Clone(out), body...)))
	went, err := http.ReadRequest(src)
	if err != nil {
		t.Fatalf("what goes out is no request: %v: %q", err, out)
	}
	wentBody, err := io.ReadAll(went.Body)
	if err != nil || !bytes.Equal(wentBody, body) {
		t.Fatalf("body goes out as %q (%v), came as %q", wentBody, err, body)
	}
	if went.Method != came.Method || went.RequestURI != came.RequestURI || went.Host != came.Host || head.method != came.Method {
		t.Fatalf("%s %s of %s goes out as %s %s of %s", came.Method, came.RequestURI, came.Host, went.Method, went.RequestURI, went.Host)
	}
	if head.close != came.Close {
		t.Fatalf("close is %v here, %v for net/http: %q", head.close, came.Close, input)
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Te", "Upgrade", "Transfer-Encoding", "Expect", "Trailer"} {
		if v := went.Header.Values(name); v != nil {
			t.Fatalf("%s: %q goes out", name, v)
		}
	}
	if v := went.Header["X-Forwarded-For"]; len(v) != 1 || v[0] != "192.0.2.1" {
		t.Fatalf("X-Forwarded-For goes out as %q", v)
	}
	for name, values := range came.Header {
		switch name {
		case "Connection", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Content-Length":
			continue
		}
		if strings.Join(went.Header[name], "\n") != strings.Join(values, "\n") {
			t.Fatalf("%s: %q goes out as %q", name, values, went.Header[name])
		}
	}
}

// Every request here must either be plain and agree, or be left to net/http.
var requestSeeds = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /x?y=%20z HTTP/1.1\r\nHost: a:80\r\nCookie: sid=1\r\nX-User: u\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.1\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n",
	"PUT / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
	"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\n",
	"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
	"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
	"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
	"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

var responseSeeds = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nDate: Mon, 23 Nov 2026 01:00:00 GMT\r\nConnection: close\r\n\r\nabcd",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
	"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
	"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.0 200 OK\r\n\r\nall the rest",
	"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
}

func checkResponseAgrees(t *testing.T, method string, input []byte) {
	t.Helper()
	head, out, state := readResponseHead(method, input, nil)
	if state != plain || len(input) < head.size+int(head.length) {
		return
	}
	src := bufio.NewReaderSize(bytes.NewReader(input), len(input)+16)
	came, err := http.ReadResponse(src, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("taken for plain, but net/http says %v: %q", err, input)
	}
	body, err := io.ReadAll(came.Body)
	if err != nil || int64(len(body)) != head.length || came.StatusCode != head.status || came.Close != head.close {
		t.Fatalf("%d, %d bytes, close %v here; %d, %d bytes, close %v (%v) for net/http: %q",
			head.status, head.length, head.close, came.StatusCode, len(body), came.Close, err, input)
	}
	if rest := len(input) - head.size - len(body); src.Buffered() != rest {
		t.Fatalf("%d bytes follow here, %d for net/http: %q", rest, src.Buffered(), input)
	}
	sent := append(append(bytes.Clone(out), "\r\n"...), body...)
	went, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(sent)), &http.Request{Method: method})
	if err != nil || went.StatusCode != came.StatusCode || went.ContentLength != came.ContentLength {
		t.Fatalf("goes out as %q (%v)", sent, err)
	}
	for name, values := range came.Header {
		if name != "Connection" && name != "Keep-Alive" && strings.Join(went.Header[name], "\n") != strings.Join(values, "\n") {
			t.Fatalf("%s: %q goes out as %q", name, values, went.Header[name])
		}
	}
}

func TestHeadsAreReadAsNetHTTPReadsThem(t *testing.T) {
	for _, seed := range requestSeeds {
		checkRequestAgrees(t, []byte(seed))
	}
	for _, seed := range responseSeeds {
		for _, method := range []string{"GET", "HEAD"} {
			checkResponseAgrees(t, method, []byte(seed))
		}
	}
}

func TestOnlyUnambiguousRequestsArePlain(t *testing.T) {
	var cfg Config
	reader := newRequestReader(&cfg, "192.0.2.1")
	for i, seed := range requestSeeds {
		_, _, state := reader.read([]byte(seed), nil)
		want := special
		if i < 5 || strings.Contains(seed, "6.6.6.6") {
			want = plain
		}
		if state != want {
			t.Errorf("%q is read as %d, want %d", seed, state, want)
		}
		// Half of a request is never taken for a whole one.
		end := strings.Index(seed, "\r\n\r\n")
		for n := range max(end, 0) {
			if _, _, state := reader.read([]byte(seed[:n]), nil); state == plain {
				t.Errorf("%q is taken for a whole head", seed[:n])
			}
		}
	}
}

func FuzzRequestHead(f *testing.F) {
	for _, seed := range requestSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(checkRequestAgrees)
}

func FuzzResponseHead(f *testing.F) {
	for _, seed := range responseSeeds {
		f.Add("GET", []byte(seed))
		f.Add("HEAD", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, method string, input []byte) {
		if method == "GET" || method == "HEAD" {
			checkResponseAgrees(t, method, input)
		}
	})
}

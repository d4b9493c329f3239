package probe_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/workload/probe"
)

const patience = 20 * time.Second

func TestStatusDecides(t *testing.T) {
	for _, c := range []struct {
		status int
		ok     bool
	}{{200, true}, {204, true}, {302, true}, {399, true}, {400, false}, {404, false}, {500, false}, {503, false}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
		}))
		err := probe.Probe{URL: server.URL + "/healthz", Timeout: patience}.Once(t.Context())
		server.Close()
		if (err == nil) != c.ok {
			t.Errorf("status %d: %v, want success %t", c.status, err, c.ok)
		}
	}
}

func TestProtocolsOfInstancesAreSpoken(t *testing.T) {
	h2c := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
		}
	}))
	h2c.Config.Protocols = new(http.Protocols)
	h2c.Config.Protocols.SetUnencryptedHTTP2(true)
	h2c.Start()
	defer h2c.Close()
	if err := (probe.Probe{URL: "h2c" + strings.TrimPrefix(h2c.URL, "http") + "/", Timeout: patience}).Once(t.Context()); err != nil {
		t.Errorf("h2c: %v", err)
	}
	if err := (probe.Probe{URL: probe.TCP(h2c.URL), Timeout: patience}).Once(t.Context()); err != nil {
		t.Errorf("tcp: %v", err)
	}
	for in, want := range map[string]string{"https://shop": "tcp://shop:443", "http://[::1]": "tcp://[::1]:80", "h2c://a:1": "tcp://a:1"} {
		if got := probe.TCP(in); got != want {
			t.Errorf("TCP(%s) is %s, want %s", in, got, want)
		}
	}
}

func TestAnAnswerThatDoesNotComeIsAFailure(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // accepts in the kernel, answers nothing
	err = probe.Probe{URL: "http://" + ln.Addr().String() + "/", Timeout: 50 * time.Millisecond}.Once(t.Context())
	if err == nil {
		t.Error("a server that never answers was found ready")
	}
}

func TestThresholdsDecideWhatIsReady(t *testing.T) {
	var failing atomic.Bool
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	results := make(chan probe.Result)
	watching.Go(func() {
		p := probe.Probe{URL: server.URL, Interval: 5 * time.Millisecond, Timeout: patience, Successes: 2, Failures: 3}
		p.Watch(ctx, func(r probe.Result) {
			select {
			case results <- r:
			case <-ctx.Done():
			}
		})
	})
	next := func() probe.Result {
		select {
		case r := <-results:
			return r
		case <-time.After(patience):
			t.Fatal("no result")
			panic("unreachable")
		}
	}
	for n, want := range []bool{false, true, true} {
		if r := next(); r.Ready != want || r.Err != nil {
			t.Errorf("success %d: %+v, want ready %t", n+1, r, want)
		}
	}
	failing.Store(true)
	for r := next(); r.Err == nil; r = next() { // those already on their way
		continue
	}
	for n, want := range []bool{true, false} {
		if r := next(); r.Ready != want || r.Err == nil {
			t.Errorf("failure %d: %+v, want ready %t", n+2, r, want)
		}
	}
}

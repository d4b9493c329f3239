package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"serin.dev/serin/internal/proxy"
)

// Shutdown finishes what is in flight, tells open connections to close, and only
// then ends.
func TestShutdownCutsNothing(t *testing.T) {
	for path, header := range paths {
		t.Run(path, func(t *testing.T) {
			arrived, release := make(chan struct{}, 1), make(chan struct{})
			o := origin(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					arrived <- struct{}{}
					<-release
				}
				_, _ = io.WriteString(w, "whole")
			})
			p, err := proxy.New(proxy.Config{DrainGrace: 5 * time.Second})
			fatalf(t, err, "new")
			fatalf(t, p.Update(only(o.URL)), "update")
			ln, err := proxy.Listen("127.0.0.1:0")
			fatalf(t, err, "listen")
			served := make(chan error, 1)
			go func() { served <- p.Serve(ln) }()

			idle, err := net.Dial("tcp", ln.Addr().String())
			fatalf(t, err, "dialing")
			defer idle.Close()
			extra := ""
			if header != nil {
				extra = header[0] + ": " + header[1] + "\r\n"
			}
			ask := func() *http.Response {
				fmt.Fprintf(idle, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", extra)
				resp, err := http.ReadResponse(bufio.NewReader(idle), nil)
				fatalf(t, err, "on the kept connection")
				body, err := io.ReadAll(resp.Body)
				if err != nil || string(body) != "whole" {
					t.Fatalf("got %q, %v", body, err)
				}
				return resp
			}
			if ask().Close {
				t.Error("the connection is to be closed before shutdown")
			}

			slow := make(chan string, 1)
			client := newClient(t)
			go func() {
				req := mustRequest(t, "GET", "http://"+ln.Addr().String()+"/slow")
				if header != nil {
					req.Header.Set(header[0], header[1])
				}
				resp, err := client.Do(req)
				if err != nil {
					slow <- err.Error()
					return
				}
				body, err := io.ReadAll(resp.Body)
				slow <- fmt.Sprint(string(body), err)
			}()
			<-arrived

			ended := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				ended <- p.Shutdown(ctx)
			}()
			eventually(t, "new connections are refused", func() bool {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err == nil {
					c.Close()
				}
				return err != nil
			})
			if resp := ask(); !resp.Close {
				t.Error("during shutdown the kept connection is not told to close")
			}
			select {
			case err := <-ended:
				t.Fatalf("Shutdown returned (%v) with a request in flight", err)
			default:
			}
			close(release)
			if got := <-slow; got != "whole<nil>" {
				t.Errorf("the request in flight got %s", got)
			}
			fatalf(t, <-ended, "Shutdown")
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("Serve returned %v", err)
			}
			if err := p.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("Serve after Shutdown returned %v", err)
			}
		})
	}
}

func TestShutdownCutsWhatOutlastsIt(t *testing.T) {
	upgrader := websocket.Upgrader{}
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			conn, err := upgrader.Upgrade(w, r, nil)
			if err == nil {
				_, _, _ = conn.ReadMessage()
				conn.Close()
			}
			return
		}
		<-r.Context().Done()
	})
	p := start(t, proxy.Config{}, only(o.URL))
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws", nil)
	fatalf(t, err, "websocket")
	defer conn.Close()
	failed := make(chan error, 1)
	go func() {
		resp, err := newClient(t).Get(p.url("/hangs"))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		failed <- err
	}()
	eventually(t, "both are in flight", func() bool { return p.Inflight(proxy.Stable) == 2 })
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	if err := p.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown returned %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the hanging request came to a good end")
	}
	if _, _, err := conn.ReadMessage(); err == nil {
		t.Error("the upgraded connection is still there")
	}
	eventually(t, "nothing is in flight", func() bool { return p.Inflight(proxy.Stable) == 0 })
}

// An upgraded connection lives through shutdown until it ends by itself.
func TestShutdownWaitsForUpgradedConnections(t *testing.T) {
	upgrader := websocket.Upgrader{}
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
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
	p := start(t, proxy.Config{}, only(o.URL))
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/", nil)
	fatalf(t, err, "websocket")
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		ended <- p.Shutdown(ctx)
	}()
	time.Sleep(200 * time.Millisecond)
	fatalf(t, conn.WriteMessage(websocket.TextMessage, []byte("still here?")), "writing")
	_, msg, err := conn.ReadMessage()
	if err != nil || string(msg) != "still here?" {
		t.Fatalf("during shutdown: %q, %v", msg, err)
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	conn.Close()
	fatalf(t, <-ended, "Shutdown")
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, first := certificate(t, dir, "first")
	p := start(t, proxy.Config{CertFile: certFile, KeyFile: keyFile}, only(origin(t, named("o")).URL))
	serves := func(pool *x509.CertPool) bool {
		conn, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: pool})
		if err != nil {
			return false
		}
		conn.Close()
		return true
	}
	if !serves(first) {
		t.Fatal("the first certificate is not served")
	}
	time.Sleep(20 * time.Millisecond) // the times of files have the resolution of the kernel's ticks
	_, _, second := certificate(t, dir, "second")
	eventually(t, "the second certificate is served", func() bool { return serves(second) })

	fatalf(t, os.WriteFile(certFile, []byte("garbage"), 0o600), "writing")
	time.Sleep(1100 * time.Millisecond)
	for range 3 {
		if !serves(second) {
			t.Fatal("with a broken file the certificate loaded before is not served any more")
		}
	}
}

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	for want, cfg := range map[string]proxy.Config{
		"both or neither":               {CertFile: "x"},
		"no-such.pem":                   {CertFile: "no-such.pem", KeyFile: "no-such.key"},
		"neither a cookie nor a header": {Sticky: &proxy.Sticky{}},
		"Sticky.Header":                 {Sticky: &proxy.Sticky{Header: "a b"}},
		"Sticky.Cookie":                 {Sticky: &proxy.Sticky{Cookie: "a=b"}},
		"ForceHeader":                   {ForceHeader: "a:b"},
		"DialTimeout":                   {DialTimeout: -1},
		"MaxHeaderBytes":                {MaxHeaderBytes: -1},
	} {
		if _, err := proxy.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	ln, err := proxy.Listen("127.0.0.1:0")
	fatalf(t, err, "listen")
	defer ln.Close()
	if _, err := proxy.Listen(ln.Addr().String()); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("a taken port: %v", err)
	}
}

func TestMetricsAreThePrometheusFormOfTheSnapshot(t *testing.T) {
	p := start(t, proxy.Config{ForceHeader: "X-Arm"}, both(50, origin(t, named("s")).URL, deadURL(t)))
	client := newClient(t)
	for range 10 {
		get(t, client, p.url("/"))
	}
	get(t, client, p.url("/"), "X-Arm", "stable")
	counted(t, p, func(s proxy.Stats) bool {
		return s.Stable.Requests+s.Canary.Requests == 10 && s.ForcedStable.Requests == 1
	})
	rec := &recorder{header: http.Header{}}
	p.MetricsHandler().ServeHTTP(rec, mustRequest(t, "GET", "/metrics"))
	if ct := rec.header.Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
		t.Errorf("Content-Type is %q", ct)
	}
	for _, want := range []string{
		"serin_proxy_weight_percent 50\n",
		`serin_proxy_requests_total{arm="stable",instance="s1",judged="true"} 5` + "\n",
		`serin_proxy_requests_total{arm="stable",instance="s1",judged="false"} 1` + "\n",
		`serin_proxy_errors_total{arm="canary",class="connect",instance="c1",judged="true"} 5` + "\n",
		`serin_proxy_fallbacks_total{arm="canary",instance="c1",judged="true"} 5` + "\n",
		`serin_proxy_latency_seconds_bucket{arm="stable",judged="true",le="+Inf"} 5` + "\n",
		`serin_proxy_latency_seconds_count{arm="stable",judged="true"} 5` + "\n",
		"# TYPE serin_proxy_latency_seconds histogram\n",
	} {
		if !strings.Contains(rec.String(), want) {
			t.Errorf("no %q in\n%s", want, rec.String())
		}
	}
	// Every sample stands with its family, and buckets never fall.
	family, last := "", -1.0
	for line := range strings.Lines(rec.String()) {
		if f, ok := strings.CutPrefix(line, "# TYPE "); ok {
			family, _, _ = strings.Cut(f, " ")
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		if !strings.HasPrefix(line, family) {
			t.Fatalf("%q stands under %s", line, family)
		}
		if strings.Contains(line, "_bucket{") {
			var n float64
			_, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n)
			fatalf(t, err, "%q", line)
			if strings.Contains(line, `le="1e-05"`) {
				last = 0
			}
			if n < last {
				t.Fatalf("buckets fall at %q", line)
			}
			last = n
		}
	}
}

type recorder struct {
	strings.Builder
	header http.Header
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(int)     {}

// All of it at once, for the race detector: requests on both paths while the split
// changes and the figures are read.
func TestEverythingAtOnce(t *testing.T) {
	a, b := origin(t, named("a")), origin(t, named("b"))
	p := start(t, proxy.Config{Sticky: &proxy.Sticky{Header: "X-User"}, ForceHeader: "X-Arm"}, both(0, a.URL, b.URL))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			client := newClient(t)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				req := mustRequest(t, []string{"GET", "POST"}[i%2], p.url("/"))
				if g%2 == 0 {
					req.Header.Set("TE", "trailers")
				}
				if i%3 == 0 {
					req.Header.Set("X-User", fmt.Sprint(i%50))
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || len(body) != 1 {
					t.Errorf("%d %q %v", resp.StatusCode, body, err)
					return
				}
			}
		})
	}
	deadline := time.Now().Add(700 * time.Millisecond)
	for i := 0; time.Now().Before(deadline); i++ {
		fatalf(t, p.Update(both([]int{0, 5, 50, 100}[i%4], a.URL, b.URL)), "update")
		s := p.Snapshot()
		for _, arm := range []proxy.ArmStats{s.Stable, s.Canary} {
			if arm.Errors > arm.Requests || arm.Inflight < 0 {
				t.Fatalf("inconsistent: %d errors of %d requests, %d in flight", arm.Errors, arm.Requests, arm.Inflight)
			}
		}
		p.MetricsHandler().ServeHTTP(&recorder{header: http.Header{}}, mustRequest(t, "GET", "/"))
		time.Sleep(time.Millisecond)
	}
	close(stop)
	wg.Wait()
	eventually(t, "nothing is in flight", func() bool { return p.Inflight(proxy.Stable)+p.Inflight(proxy.Canary) == 0 })
	if s := p.Snapshot(); s.Stable.Errors+s.Canary.Errors != 0 {
		t.Errorf("errors: %v and %v", s.Stable.ErrorsByClass, s.Canary.ErrorsByClass)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	leak := goleak.IgnoreCurrent()
	func() {
		release := make(chan struct{})
		o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hangs" {
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
		}))
		defer o.Close()
		defer close(release)
		p, err := proxy.New(proxy.Config{DrainGrace: time.Millisecond})
		fatalf(t, err, "new")
		fatalf(t, p.Update(both(50, o.URL, o.URL)), "update")
		ln, err := proxy.Listen("127.0.0.1:0")
		fatalf(t, err, "listen")
		served := make(chan error, 1)
		go func() { served <- p.Serve(ln) }()
		url := "http://" + ln.Addr().String()
		client := &http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		for path, header := range paths {
			for range 10 {
				if status, _ := get(t, client, url+"/", header...); status != 200 {
					t.Fatalf("%s: %d", path, status)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 120*time.Millisecond)
			req := mustRequest(t, "GET", url+"/hangs").WithContext(ctx)
			if header != nil {
				req.Header.Set(header[0], header[1])
			}
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
				t.Error("the hanging request was answered")
			}
			cancel()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		fatalf(t, p.Shutdown(ctx), "Shutdown")
		<-served
	}()
	eventually(t, "nothing is left", func() bool {
		left := goleak.Find(leak)
		if left != nil {
			t.Log(left)
		}
		return left == nil
	})
}

// An answer that is the last on its connection arrives whole although the client
// has already sent more.
func TestTheLastAnswerSurvivesAnEagerClient(t *testing.T) {
	body := strings.Repeat("x", 200_000)
	p := start(t, proxy.Config{}, only(origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = io.WriteString(w, body)
	}).URL))
	for range 20 {
		conn, err := net.Dial("tcp", p.addr)
		fatalf(t, err, "dialing")
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"+strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 500))
		fatalf(t, err, "writing")
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		fatalf(t, err, "the answer")
		got, err := io.ReadAll(resp.Body)
		conn.Close()
		if err != nil || len(got) != len(body) || !resp.Close {
			t.Fatalf("%d of %d bytes, close %v, %v", len(got), len(body), resp.Close, err)
		}
	}
}

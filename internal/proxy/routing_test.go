package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/proxy"
)

func TestTheSplitIsExactOverHTTP(t *testing.T) {
	var stable, canary atomic.Int64
	count := func(n *atomic.Int64) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { n.Add(1) }
	}
	p := start(t, proxy.Config{}, both(0, origin(t, count(&stable)).URL, origin(t, count(&canary)).URL))
	client := newClient(t)
	for _, weight := range []int{0, 5, 10, 25, 50, 100, 0} {
		s := p.Split()
		s.Weight = weight
		fatalf(t, p.Update(s), "update")
		stable.Store(0)
		canary.Store(0)
		for range 200 {
			get(t, client, p.url("/"))
		}
		if canary.Load() != int64(2*weight) || stable.Load() != int64(200-2*weight) {
			t.Errorf("weight %d: %d to stable and %d to the canary of 200", weight, stable.Load(), canary.Load())
		}
	}
	s := counted(t, p, func(s proxy.Stats) bool { return s.Stable.Requests+s.Canary.Requests == 1400 })
	if s.Canary.Requests != 380 || s.Canary.Instances["c1"].Requests != 380 || s.Canary.Latency.Count() != 380 || s.Canary.Errors != 0 {
		t.Errorf("canary counted: %d, instance %d, latency of %d, %d errors", s.Canary.Requests, s.Canary.Instances["c1"].Requests, s.Canary.Latency.Count(), s.Canary.Errors)
	}
}

func TestBeforeTheFirstUpdateThereIsAClearAnswer(t *testing.T) {
	p, err := proxy.New(proxy.Config{})
	fatalf(t, err, "new")
	rec := httptest.NewRecorder()
	p.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), "no stable instance") {
		t.Fatalf("%d %q", rec.Code, rec.Body)
	}
}

// The paths that requests take: direct, and over net/http (which a header it does
// not know as plain chooses).
var paths = map[string][]string{"direct": nil, "general": {"TE", "trailers"}}

// Users see nothing of a canary that cannot be connected to, whatever they send;
// the canary's figures show every such request.
func TestARequestForADeadCanaryGoesToStable(t *testing.T) {
	for path, header := range paths {
		t.Run(path, func(t *testing.T) {
			var served atomic.Int64
			o := origin(t, func(w http.ResponseWriter, r *http.Request) {
				served.Add(1)
				body, _ := io.ReadAll(r.Body)
				_, _ = w.Write(body)
			})
			p := start(t, proxy.Config{}, both(50, o.URL, deadURL(t)))
			client := newClient(t)
			for i := range 40 {
				method, body := "GET", ""
				if i%4 > 1 {
					method, body = "POST", strings.Repeat("x", i*1000)
				}
				status, text := do(t, client, method, p.url("/"), strings.NewReader(body), header...)
				if status != 200 || text != body {
					t.Fatalf("request %d: %d, %d bytes", i, status, len(text))
				}
			}
			s := counted(t, p, func(s proxy.Stats) bool { return s.Stable.Requests+s.Canary.Requests == 40 })
			if served.Load() != 40 || s.Stable.Requests != 20 || s.Stable.Errors != 0 {
				t.Errorf("stable served %d, counted %d with %d errors; want 40, 20, 0", served.Load(), s.Stable.Requests, s.Stable.Errors)
			}
			c := s.Canary
			if c.Requests != 20 || c.Errors != 20 || c.ErrorsByClass[proxy.ErrorClassConnect] != 20 || c.Fallbacks != 20 || c.Latency.Count() != 0 {
				t.Errorf("canary counted %d requests, %d errors %v, %d fallbacks, latency of %d", c.Requests, c.Errors, c.ErrorsByClass, c.Fallbacks, c.Latency.Count())
			}
			if c.Instances["c1"].Errors != 20 {
				t.Errorf("instance counted %d errors", c.Instances["c1"].Errors)
			}
		})
	}
}

// When the canary comes back, its ejection ends by itself.
func TestAnEjectedCanaryIsTriedAgain(t *testing.T) {
	dead := deadURL(t)
	p := start(t, proxy.Config{EjectFor: 20 * time.Millisecond, EjectMax: 100 * time.Millisecond}, both(100, origin(t, named("stable")).URL, dead))
	client := newClient(t)
	for range 20 {
		if _, body := get(t, client, p.url("/")); body != "stable" {
			t.Fatalf("answered by %q", body)
		}
	}
	ln, err := net.Listen("tcp", strings.TrimPrefix(dead, "http://"))
	fatalf(t, err, "the canary comes back")
	back := httptest.NewUnstartedServer(named("canary"))
	back.Listener.Close()
	back.Listener = ln
	back.Start()
	defer back.Close()
	defer client.CloseIdleConnections()
	eventually(t, "the canary serves again", func() bool {
		_, body := get(t, client, p.url("/"))
		return body == "canary"
	})
	for range 20 {
		if _, body := get(t, client, p.url("/")); body != "canary" {
			t.Fatalf("back again, but %q answered", body)
		}
	}
	back.CloseClientConnections()
}

func TestADeadStableInstanceIsCircumvented(t *testing.T) {
	for path, header := range paths {
		t.Run(path, func(t *testing.T) {
			p := start(t, proxy.Config{}, proxy.Split{Stable: []proxy.Backend{
				{Name: "dead", URL: deadURL(t)}, {Name: "live", URL: origin(t, named("live")).URL}}})
			client := newClient(t)
			for range 50 {
				if status, body := get(t, client, p.url("/"), header...); status != 200 || body != "live" {
					t.Fatalf("%d %q", status, body)
				}
			}
			s := counted(t, p, func(s proxy.Stats) bool { return s.Stable.Requests == 50 })
			if n := s.Stable.Errors; n < 1 || n > 10 {
				t.Errorf("%d of 50 requests met the dead instance; after 3 it is ejected", n)
			}
		})
	}
}

func TestTheLastStableInstanceIsNeverEjected(t *testing.T) {
	dead := deadURL(t)
	p := start(t, proxy.Config{EjectFor: time.Hour, EjectMax: time.Hour}, only(dead))
	client := newClient(t)
	for path, header := range paths {
		for range 5 {
			if status, body := get(t, client, p.url("/"), header...); status != 502 || !strings.Contains(body, "no stable instance can be connected to") {
				t.Fatalf("%s: %d %q", path, status, body)
			}
		}
	}
	ln, err := net.Listen("tcp", strings.TrimPrefix(dead, "http://"))
	fatalf(t, err, "stable comes back")
	srv := &http.Server{Handler: named("stable")}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	if status, body := get(t, client, p.url("/")); status != 200 || body != "stable" {
		t.Fatalf("stable is back, but: %d %q", status, body)
	}
}

func TestRequestsGoToTheInstanceWithTheFewestPending(t *testing.T) {
	release := make(chan struct{})
	slow := origin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/block" {
			<-release
		}
		_, _ = io.WriteString(w, "slow")
	})
	fast := origin(t, named("fast"))
	p := start(t, proxy.Config{}, proxy.Split{Stable: []proxy.Backend{{Name: "slow", URL: slow.URL}, {Name: "fast", URL: fast.URL}}})
	client := newClient(t)
	defer close(release)
	go func() {
		for range 2 { // one of the two meets the slow instance
			resp, err := client.Get(p.url("/block"))
			if err == nil {
				resp.Body.Close()
			}
		}
	}()
	eventually(t, "one request is pending", func() bool { return p.InstanceInflight(proxy.Stable, "slow") == 1 })
	for range 20 {
		if _, body := get(t, client, p.url("/")); body != "fast" {
			t.Fatalf("a request went to the instance that has one pending")
		}
	}
}

func TestAStickyUserStaysOverHTTP(t *testing.T) {
	stable, canary := origin(t, named("stable")), origin(t, named("canary"))
	for path, header := range paths {
		t.Run(path, func(t *testing.T) {
			p := start(t, proxy.Config{Sticky: &proxy.Sticky{Cookie: "sid", Header: "X-User"}}, both(30, stable.URL, canary.URL))
			client := newClient(t)
			arm := make(map[string]string)
			onCanary := 0
			for round := range 3 {
				for u := range 100 {
					key := []string{"Cookie", fmt.Sprintf("a=b; sid=user-%d", u)}
					if round == 2 {
						key = []string{"X-User", fmt.Sprintf("user-%d", u)} // the same key, found elsewhere
					}
					_, body := get(t, client, p.url("/"), append(key, header...)...)
					if round == 0 {
						arm[key[1][len("a=b; sid="):]] = body
						if body == "canary" {
							onCanary++
						}
					} else if got := arm[fmt.Sprintf("user-%d", u)]; got != body {
						t.Fatalf("round %d: user %d went from %s to %s", round, u, got, body)
					}
				}
			}
			keyless := 0
			for range 100 {
				if _, body := get(t, client, p.url("/"), header...); body == "canary" {
					keyless++
				}
			}
			if keyless != 30 {
				t.Errorf("%d of 100 requests without a key went to the canary, want exactly 30", keyless)
			}
			if onCanary < 15 || onCanary > 30 {
				t.Errorf("%d of 100 users are on the canary at 30 %%", onCanary)
			}
		})
	}
}

func TestAForcedArmIsCountedApartAndNeverFallsBack(t *testing.T) {
	stable, canary := origin(t, named("stable")), origin(t, named("canary"))
	for path, header := range paths {
		t.Run(path, func(t *testing.T) {
			p := start(t, proxy.Config{ForceHeader: "X-Serin-Arm"}, both(0, stable.URL, canary.URL))
			client := newClient(t)
			for _, test := range []struct{ value, want string }{{"canary", "canary"}, {"Stable", "stable"}, {"nonsense", "stable"}} {
				if _, body := get(t, client, p.url("/"), append([]string{"X-Serin-Arm", test.value}, header...)...); body != test.want {
					t.Errorf("%s: answered by %s", test.value, body)
				}
			}
			s := counted(t, p, func(s proxy.Stats) bool {
				return s.Stable.Requests == 1 && s.ForcedStable.Requests == 1 && s.ForcedCanary.Requests == 1
			})
			if n := s.Canary.Requests; n != 0 {
				t.Errorf("%d forced requests are in the canary's judged figures", n)
			}
			fatalf(t, p.Update(both(0, stable.URL, deadURL(t))), "update")
			if status, body := get(t, client, p.url("/"), append([]string{"X-Serin-Arm", "canary"}, header...)...); status != 502 || !strings.Contains(body, "canary") {
				t.Errorf("the canary is dead, the tester is told: %d %q", status, body)
			}

			off := start(t, proxy.Config{}, both(0, stable.URL, canary.URL))
			if _, body := get(t, client, off.url("/"), append([]string{"X-Serin-Arm", "canary"}, header...)...); body != "stable" {
				t.Errorf("forcing is off, but it was answered by %s", body)
			}
		})
	}
}

func TestErrorsAreCountedByClass(t *testing.T) {
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/404":
			w.WriteHeader(http.StatusNotFound)
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Second):
			}
		case "/half":
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "only this")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/halfchunk":
			_, _ = io.WriteString(w, "only this")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/gone":
			panic(http.ErrAbortHandler)
		case "/nonsense":
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9\r\n\r\n")
			conn.Close()
		}
	})
	tests := []struct {
		method, path string
		status       int // 0: the answer breaks off
		class        string
		latency      bool
	}{
		{"GET", "/404", 404, "", true},
		{"GET", "/500", 500, proxy.ErrorClass5xx, true},
		{"GET", "/slow", 504, proxy.ErrorClassTimeout, true},
		{"GET", "/half", 0, proxy.ErrorClassReset, false},
		{"GET", "/halfchunk", 0, proxy.ErrorClassReset, false},
		{"POST", "/gone", 502, proxy.ErrorClassReset, false},
		{"GET", "/nonsense", 502, proxy.ErrorClassProtocol, false},
	}
	for path, header := range paths {
		t.Run(path, func(t *testing.T) {
			for _, test := range tests {
				cfg := proxy.Config{ResponseHeaderTimeout: 10 * time.Second}
				if test.class == proxy.ErrorClassTimeout {
					cfg.ResponseHeaderTimeout = 150 * time.Millisecond
				}
				p := start(t, cfg, only(o.URL))
				req := mustRequest(t, test.method, p.url(test.path))
				if header != nil {
					req.Header.Set(header[0], header[1])
				}
				resp, err := newClient(t).Do(req)
				fatalf(t, err, "%s", test.path)
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if test.status == 0 && err == nil {
					t.Errorf("%s: the broken answer looks complete to the client", test.path)
				}
				if test.status != 0 && (err != nil || resp.StatusCode != test.status) {
					t.Errorf("%s: %d, %v; want %d", test.path, resp.StatusCode, err, test.status)
				}
				s := counted(t, p, func(s proxy.Stats) bool { return s.Stable.Requests == 1 }).Stable
				want := map[string]uint64{}
				if test.class != "" {
					want[test.class] = 1
				}
				if fmt.Sprint(s.ErrorsByClass) != fmt.Sprint(want) || int(s.Errors) != len(want) {
					t.Errorf("%s: errors %v, want %v", test.path, s.ErrorsByClass, want)
				}
				if (s.Latency.Count() == 1) != test.latency {
					t.Errorf("%s: latency of %d requests recorded", test.path, s.Latency.Count())
				}
			}
		})
	}
}

// A client that leaves is no error of the arm, and its request is not left to run.
func TestAClientThatGoesAwayIsNoError(t *testing.T) {
	for path, header := range paths {
		for _, when := range []string{"waiting", "streaming"} {
			t.Run(path+" "+when, func(t *testing.T) {
				arrived, released := make(chan struct{}, 1), make(chan struct{}, 1)
				o := origin(t, func(w http.ResponseWriter, r *http.Request) {
					if when == "streaming" {
						w.Header().Set("Content-Length", "100000000")
						_, _ = w.Write(make([]byte, 10_000))
						_ = http.NewResponseController(w).Flush()
					}
					arrived <- struct{}{}
					select {
					case <-r.Context().Done():
						released <- struct{}{}
					case <-time.After(30 * time.Second):
					}
				})
				p := start(t, proxy.Config{}, both(100, o.URL, o.URL))
				ctx, leave := context.WithCancel(context.Background())
				req := mustRequest(t, "GET", p.url("/")).WithContext(ctx)
				if header != nil {
					req.Header.Set(header[0], header[1])
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					resp, err := newClient(t).Do(req)
					if err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}()
				<-arrived
				leave()
				<-done
				select {
				case <-released:
				case <-time.After(20 * time.Second):
					t.Fatal("the backend still works for a client that has gone")
				}
				s := counted(t, p, func(s proxy.Stats) bool { return s.Canary.Requests == 1 }).Canary
				if s.Errors != 0 || s.Canceled != 1 || s.Latency.Count() != 0 || s.Inflight != 0 {
					t.Errorf("%d errors %v, %d canceled, latency of %d, %d in flight", s.Errors, s.ErrorsByClass, s.Canceled, s.Latency.Count(), s.Inflight)
				}
			})
		}
	}
}

// A slow answer to a patient client, with the next request sent before it came.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	o := origin(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow") {
			time.Sleep(120 * time.Millisecond)
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	p := start(t, proxy.Config{}, only(o.URL))
	conn, err := net.Dial("tcp", p.addr)
	fatalf(t, err, "dialing")
	defer conn.Close()
	paths := []string{"/slow1", "/a", "/slow2", "/b", "/c"}
	var all strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&all, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
	}
	_, err = io.WriteString(conn, all.String())
	fatalf(t, err, "writing")
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(conn)
	for _, path := range paths {
		resp, err := http.ReadResponse(r, nil)
		fatalf(t, err, "%s", path)
		body, _ := io.ReadAll(resp.Body)
		if string(body) != path {
			t.Fatalf("got %q for %s", body, path)
		}
	}
}

// An instance that has left the split is known until its last request is done.
func TestAnInstanceThatLeftFinishesWhatItHas(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	old := origin(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "old")
	})
	p := start(t, proxy.Config{}, proxy.Split{Stable: []proxy.Backend{{Name: "old", URL: old.URL}}})
	got := make(chan string, 1)
	client := newClient(t)
	go func() {
		resp, err := client.Get(p.url("/"))
		if err != nil {
			got <- err.Error()
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got <- string(body)
	}()
	<-arrived
	fatalf(t, p.Update(proxy.Split{Stable: []proxy.Backend{{Name: "new", URL: origin(t, named("new")).URL}}}), "update")
	if _, body := get(t, newClient(t), p.url("/")); body != "new" {
		t.Errorf("after the update %q answers", body)
	}
	if n := p.InstanceInflight(proxy.Stable, "old"); n != 1 {
		t.Errorf("the old instance has %d in flight, want 1", n)
	}
	close(release)
	if body := <-got; body != "old" {
		t.Errorf("the request under way got %q", body)
	}
	eventually(t, "the old instance is drained", func() bool { return p.InstanceInflight(proxy.Stable, "old") == 0 })
	if n := p.Snapshot().Stable.Instances["old"].Requests; n != 1 {
		t.Errorf("the old instance counts %d requests", n)
	}
}

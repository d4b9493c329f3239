package load

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/demo/shop"
)

func start(t *testing.T, cfg Config, h http.HandlerFunc) *Load {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	cfg.URL, cfg.Seed = server.URL, 11
	l, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually waits for what a load brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestAnswersAreCountedByVersionAndFailure(t *testing.T) {
	var mu sync.Mutex
	n, paths, cookies := 0, map[string]int{}, map[string]int{}
	l := start(t, Config{Rate: 400, Users: 50}, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		i := n
		paths[r.Method+" "+r.URL.Path]++
		if c, err := r.Cookie(UserCookie); err == nil {
			cookies[c.Value]++
		}
		mu.Unlock()
		w.Header().Set(shop.VersionHeader, []string{"v1", "v2"}[i%2])
		if i%10 == 0 {
			w.Header().Set(shop.FailureHeader, "payment-provider")
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	eventually(t, "400 requests", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return n >= 400
	})
	c := l.Stop()
	mu.Lock()
	defer mu.Unlock()
	v1, v2 := c.Versions["v1"], c.Versions["v2"]
	if c.Requests != n || v1.Requests+v2.Requests != n {
		t.Errorf("%d were answered; counted %d, %d by v1 and %d by v2", n, c.Requests, v1.Requests, v2.Requests)
	}
	if v1.Failed != n/10 || v2.Failed != 0 {
		t.Errorf("every tenth failed, all of them v1's; counted %d of v1 and %d of v2 of %d", v1.Failed, v2.Failed, n)
	}
	if c.Broken != 0 {
		t.Errorf("failures that the shop marked count as broken: %d, %q", c.Broken, c.Failures)
	}
	if len(cookies) < 40 || len(cookies) > 50 {
		t.Errorf("%d requests of 50 users came with %d cookies", n, len(cookies))
	}
	if share := float64(paths["POST /checkout"]) / float64(n); share < 0.3 || share > 0.5 {
		t.Errorf("%.2f of the requests are checkouts, want about 0.4", share)
	}
}

// The load is open: slow answers do not make users come less often.
func TestSlowAnswersDoNotSlowTheUsers(t *testing.T) {
	const tries = 5 // of a machine that may stand still meanwhile
	for try := range tries {
		l := start(t, Config{Rate: 200, Users: 10}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(shop.VersionHeader, "v1")
			time.Sleep(300 * time.Millisecond) // a closed loop of 64 workers would not reach the rate
		})
		begun := time.Now()
		time.Sleep(2 * time.Second)
		took := time.Since(begun).Seconds()
		c := l.Stop()
		if rate := float64(c.Requests) / took; rate >= 150 && rate <= 210 {
			return
		}
		t.Logf("try %d: %d requests in %.2f s, want about 200 a second", try+1, c.Requests, took)
	}
	t.Errorf("the users came at another rate in each of %d tries", tries)
}

func TestWhatTheShopDidNotAnswerIsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"the connection is cut": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"cut inside the body": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(shop.VersionHeader, "v1")
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("half"))
		}, "EOF"},
		"the proxy answers 502": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "502"},
		"an error of the shop that it did not mean": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(shop.VersionHeader, "v1")
			w.WriteHeader(http.StatusNotFound)
		}, "404"},
		"somebody else answers": {func(w http.ResponseWriter, r *http.Request) {}, "not the shop"},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, Config{Rate: 100, Users: 10}, c.answer)
			eventually(t, "an answer", func() bool { return l.Counts().Requests > 5 })
			got := l.Stop()
			if got.Requests == 0 || got.Broken != got.Requests {
				t.Fatalf("%d of %d requests count as broken, want all", got.Broken, got.Requests)
			}
			if len(got.Failures) != got.Broken || !strings.Contains(got.Failures[0].String(), c.want) {
				t.Errorf("the failures are told as %q, want some naming %q", got.Failures, c.want)
			}
		})
	}
}

func TestUsersLeaveWhenTheirTimeIsOver(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(shop.VersionHeader, "v1")
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Start(ctx, Config{URL: server.URL, Rate: 100, Users: 1})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-l.done:
	case <-time.After(10 * time.Second):
		t.Error("the users went on")
	}
	if _, err := Start(t.Context(), Config{URL: server.URL}); err == nil {
		t.Error("a load without a rate was accepted")
	}
}

// A machine that stood still is not flooded afterwards.
func TestAStandstillIsNotMadeUpFor(t *testing.T) {
	s := &steady{interval: 10 * time.Millisecond}
	var hits uint64
	send := func(from, to time.Duration) (sent int) {
		for at := from; ; sent++ {
			wait, stop := s.Pace(at, hits)
			if stop {
				t.Fatal("the users stopped by themselves")
			}
			if at += wait; at > to {
				return sent
			}
			hits++
		}
	}
	if n := send(0, time.Second); n != 101 {
		t.Errorf("%d requests in a second, want 101: one every 10 ms, from the start", n)
	}
	// Five seconds in which nothing could be sent.
	if n := send(6*time.Second, 7*time.Second); n > 101+int(mostBehind/s.interval) {
		t.Errorf("%d requests in the second after a standstill, want about 100", n)
	}
}

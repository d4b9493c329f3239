package proxystats_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/metrics/metricstest"
	"serin.dev/serin/internal/metrics/proxystats"
	"serin.dev/serin/internal/proxy"
	"serin.dev/serin/internal/rollout"
)

// front is a real proxy at one weight, with two instances an arm. /broken is
// answered with 500.
type front struct {
	*proxy.Proxy
	url    string
	client *http.Client
}

func start(t *testing.T, weight int) *front {
	t.Helper()
	p, err := proxy.New(proxy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	split := proxy.Split{Weight: weight}
	for n := range 2 {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/broken" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}))
		t.Cleanup(server.Close)
		split.Stable = append(split.Stable, proxy.Backend{Name: fmt.Sprintf("shop-v1-%d", n), URL: server.URL})
		split.Canary = append(split.Canary, proxy.Backend{Name: fmt.Sprintf("shop-v2-%d", n), URL: server.URL})
	}
	if err := p.Update(split); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p.Handler())
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: 30 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	return &front{Proxy: p, url: server.URL, client: client}
}

func (f *front) load(t *testing.T, requests, errors int) {
	for n := range requests {
		path := "/"
		if n < errors {
			path = "/broken"
		}
		res, err := f.client.Get(f.url + path)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body) // empty
		res.Body.Close()
	}
}

// pair sends every request of an arm to a proxy that gives that arm
// everything, so that a test can say who gets what.
type pair struct{ stable, canary *front }

func (p pair) Snapshot() proxy.Stats {
	return proxy.Stats{Stable: p.stable.Snapshot().Stable, Canary: p.canary.Snapshot().Canary}
}

func (p pair) Split() proxy.Split {
	return proxy.Split{Stable: p.stable.Split().Stable, Canary: p.canary.Split().Canary}
}

func TestProxyStatisticsConform(t *testing.T) {
	metricstest.Run(t, func(t *testing.T) metricstest.Harness {
		p := pair{stable: start(t, 0), canary: start(t, 100)}
		return metricstest.Harness{
			Source: proxystats.New(p),
			Load: func(t *testing.T, arm rollout.Arm, requests, errors int) {
				if arm == rollout.Canary {
					p.canary.load(t, requests, errors)
				} else {
					p.stable.load(t, requests, errors)
				}
			},
			Reopen:  func(*testing.T) metrics.Source { return proxystats.New(p) },
			Latency: true, ByInstance: true,
			// A request is counted a moment after its last byte was read.
			Patience: 20 * time.Second,
		}
	})
}

func TestBothArmsOfOneProxyAreMeasured(t *testing.T) {
	f := start(t, 25)
	source := proxystats.New(f)
	f.load(t, 100, 40)
	stable, canary := 0.0, 0.0
	errors := 0.0
	for deadline := time.Now().Add(20 * time.Second); stable+canary < 100 && time.Now().Before(deadline); {
		arms, err := source.Collect(t.Context(), time.Time{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if *arms.Stable.Instances != 2 || *arms.Canary.Instances != 2 {
			t.Errorf("instances %d and %d, want 2 and 2", *arms.Stable.Instances, *arms.Canary.Instances)
		}
		stable += *arms.Stable.Requests
		canary += *arms.Canary.Requests
		errors += *arms.Stable.Errors + *arms.Canary.Errors
	}
	if stable != 75 || canary != 25 || errors != 40 {
		t.Errorf("measured %v, %v and %v errors; want 75, 25 and 40", stable, canary, errors)
	}
}

// counters are given snapshots.
type counters struct {
	stats proxy.Stats
	split proxy.Split
}

func (c *counters) Snapshot() proxy.Stats { return c.stats }
func (c *counters) Split() proxy.Split    { return c.split }

func collect(t *testing.T, s *proxystats.Source) *rollout.Sample {
	t.Helper()
	arms, err := s.Collect(t.Context(), time.Time{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return arms.Stable
}

func TestDistributionIsTrimmedToWhatHappened(t *testing.T) {
	grid := []float64{1, 2, 3, 4, 5}
	for _, c := range []struct {
		name           string
		before, now    []uint64
		bounds, counts []float64
	}{
		{"in the middle", []uint64{0, 0, 0, 0, 0, 0}, []uint64{0, 0, 2, 1, 0, 0}, []float64{2, 3, 4}, []float64{0, 2, 1, 0}},
		{"in the first bucket", []uint64{0, 0, 0, 0, 0, 0}, []uint64{3, 0, 0, 0, 0, 0}, []float64{1}, []float64{3, 0}},
		{"above all bounds", []uint64{0, 0, 0, 0, 0, 0}, []uint64{0, 0, 0, 0, 0, 4}, []float64{5}, []float64{0, 4}},
		{"at both ends", []uint64{0, 0, 0, 0, 0, 0}, []uint64{1, 0, 0, 0, 0, 1}, grid, []float64{1, 0, 0, 0, 0, 1}},
		{"beside what was there", []uint64{9, 9, 9, 9, 9, 9}, []uint64{9, 9, 10, 9, 9, 9}, []float64{2, 3}, []float64{0, 1, 0}},
		{"nothing", []uint64{9, 9, 9, 9, 9, 9}, []uint64{9, 9, 9, 9, 9, 9}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			counted := &counters{stats: proxy.Stats{Stable: proxy.ArmStats{Latency: proxy.Histogram{Bounds: grid, Counts: c.before, Sum: 100}}}}
			source := proxystats.New(counted)
			counted.stats.Stable.Latency = proxy.Histogram{Bounds: grid, Counts: c.now, Sum: 107}
			h := collect(t, source).Latency
			if c.bounds == nil {
				if h != nil {
					t.Errorf("distribution is %+v, want none", h)
				}
				return
			}
			if fmt.Sprint(h.Bounds) != fmt.Sprint(c.bounds) || fmt.Sprint(h.Counts) != fmt.Sprint(c.counts) || *h.Sum != 7 {
				t.Errorf("distribution is %v %v, sum %v; want %v %v, sum 7", h.Bounds, h.Counts, *h.Sum, c.bounds, c.counts)
			}
		})
	}
}

func TestAnErrorThatIsCountedAfterItsRequestComesWithTheNextTick(t *testing.T) {
	counted := &counters{}
	source := proxystats.New(counted)
	for n, c := range []struct{ requests, errors, wantRequests, wantErrors uint64 }{
		{5, 2, 5, 2},
		{6, 2, 1, 0}, // its error is not there yet
		{6, 3, 0, 0}, // an error without a request is no sample
		{8, 3, 2, 1},
	} {
		counted.stats.Stable = proxy.ArmStats{Requests: c.requests, Errors: c.errors,
			Instances: map[string]proxy.InstanceStats{"a": {Requests: c.requests, Errors: c.errors}}}
		s := collect(t, source)
		if *s.Requests != float64(c.wantRequests) || *s.Errors != float64(c.wantErrors) {
			t.Errorf("tick %d: %v requests and %v errors, want %d and %d", n, *s.Requests, *s.Errors, c.wantRequests, c.wantErrors)
		}
	}
}

func TestAnInstanceThatLeftAndCameBackCountsFromZero(t *testing.T) {
	counted := &counters{}
	source := proxystats.New(counted)
	for n, c := range []struct{ counter, want uint64 }{{10, 10}, {0, 0}, {4, 4}, {9, 5}} {
		counted.stats.Stable.Instances = map[string]proxy.InstanceStats{"a": {Requests: c.counter}}
		got := 0.0
		if i := collect(t, source).ByInstance["a"]; i != nil {
			got = *i.Requests
		}
		if got != float64(c.want) {
			t.Errorf("tick %d: %v requests at the instance, want %d", n, got, c.want)
		}
	}
}

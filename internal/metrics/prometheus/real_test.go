//go:build plane

package prometheus_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/metrics/metricstest"
	adapter "serin.dev/serin/internal/metrics/prometheus"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/test/prometheus"
)

func TestMain(m *testing.M) {
	prometheus.Main()
	_ = flag.Set("test.parallel", "8") // what they do is mostly wait
	os.Exit(m.Run())
}

// shop is a Prometheus, and one program an arm.
type shop struct {
	*prometheus.Server
	stable, canary *prometheus.App
}

func label(arm rollout.Arm, pod string) map[string]string {
	return map[string]string{"arm": string(arm), "pod": pod}
}

func open(t *testing.T) *shop {
	t.Helper()
	s := &shop{Server: prometheus.Start(t), stable: prometheus.NewApp(t), canary: prometheus.NewApp(t)}
	s.Scrape(t,
		prometheus.Target{Address: s.stable.Address, Labels: label(rollout.Stable, "stable-a")},
		prometheus.Target{Address: s.canary.Address, Labels: label(rollout.Canary, "canary-a")})
	s.Await(t, "count(up == 1)", 2)
	return s
}

func (s *shop) config() adapter.Config {
	return adapter.Config{
		URL: credential.Value{Text: s.URL}, InstanceLabel: "pod",
		Queries: adapter.Queries{
			Requests: `http_requests_total{arm="$(arm)"}`,
			Errors:   `http_requests_total{arm="$(arm)",code=~"5.."}`,
			Latency:  adapter.Latency{Histogram: `http_request_duration_seconds{arm="$(arm)"}`},
		},
	}
}

func (s *shop) source(t *testing.T, change ...func(*adapter.Config)) *adapter.Source {
	t.Helper()
	cfg := s.config()
	for _, c := range change {
		c(&cfg)
	}
	source, err := adapter.New(cfg, adapter.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	return source
}

// ticks collects and adds up.
type ticks struct {
	source metrics.Source
	end    time.Time
	sum    map[rollout.Arm]*sums
	// nils counts the ticks that lacked an arm.
	nils map[rollout.Arm]int
}

type sums struct {
	requests, errors, timed float64
	byInstance              map[string]float64
}

func begin(t *testing.T, source metrics.Source) *ticks {
	t.Helper()
	k := &ticks{source: source, end: time.Now(), nils: map[rollout.Arm]int{}, sum: map[rollout.Arm]*sums{}}
	for _, arm := range []rollout.Arm{rollout.Stable, rollout.Canary} {
		k.sum[arm] = &sums{byInstance: map[string]float64{}}
	}
	// As the runner begins: what this yields belongs to no tick.
	if _, err := source.Collect(t.Context(), k.end, k.end); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *ticks) next(ctx context.Context) (rollout.Arms, error) {
	now := time.Now()
	arms, err := k.source.Collect(ctx, k.end, now)
	k.end = now
	if err != nil {
		return arms, err
	}
	for arm, s := range map[rollout.Arm]*rollout.Sample{rollout.Stable: arms.Stable, rollout.Canary: arms.Canary} {
		if s == nil {
			k.nils[arm]++
			continue
		}
		sum := k.sum[arm]
		sum.requests += *s.Requests
		sum.errors += *s.Errors
		if s.Latency != nil {
			for _, n := range s.Latency.Counts {
				sum.timed += n
			}
		}
		for name, i := range s.ByInstance {
			sum.byInstance[name] += *i.Requests
		}
	}
	return arms, nil
}

// until takes ticks until the sums are as wanted, and three more: nothing may
// come after.
func (k *ticks) until(t *testing.T, want map[rollout.Arm][2]float64) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	extra := 3
	for extra > 0 {
		if _, err := k.next(t.Context()); err != nil {
			t.Fatal(err)
		}
		enough := true
		for arm, w := range want {
			enough = enough && k.sum[arm].requests >= w[0] && k.sum[arm].errors >= w[1]
		}
		if enough || time.Now().After(deadline) {
			extra--
		}
		time.Sleep(700 * time.Millisecond)
	}
	for arm, w := range want {
		got := k.sum[arm]
		if got.requests != w[0] || got.errors != w[1] || got.timed != w[0] {
			t.Errorf("%s: ticks add up to %v requests, %v errors, %v response times; the program counted %v and %v", arm, got.requests, got.errors, got.timed, w[0], w[1])
		}
		all := 0.0
		for _, n := range got.byInstance {
			all += n
		}
		if all != w[0] {
			t.Errorf("%s: its instances add up to %v, want %v (%v)", arm, all, w[0], got.byInstance)
		}
	}
}

// meanwhile takes ticks while f goes on.
func (k *ticks) meanwhile(t *testing.T, tolerate bool, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	for {
		select {
		case <-done:
			return
		case <-time.After(600 * time.Millisecond):
			if _, err := k.next(t.Context()); err != nil && !tolerate {
				t.Error(err)
			}
		}
	}
}

func TestPrometheusConforms(t *testing.T) {
	t.Parallel()
	metricstest.Run(t, func(t *testing.T) metricstest.Harness {
		t.Parallel()
		s := open(t)
		return metricstest.Harness{
			Source: s.source(t),
			Load: func(t *testing.T, arm rollout.Arm, requests, errors int) {
				app := s.stable
				if arm == rollout.Canary {
					app = s.canary
				}
				app.Load(t, requests, errors)
			},
			Reopen: func(t *testing.T) metrics.Source { return s.source(t) },
			Lose: func(t *testing.T, arm rollout.Arm) func() {
				app := s.stable
				if arm == rollout.Canary {
					app = s.canary
				}
				app.Pause(t)
				return func() { app.Resume(t) }
			},
			Latency: true, ByInstance: true,
			Patience: 20 * time.Second,
		}
	})
}

// load sends requests to an app until it is told to stop, and counts them.
type load struct {
	requests, errors atomic.Int64
	stop             chan struct{}
	wait             sync.WaitGroup
}

func start(t *testing.T, app *prometheus.App) *load {
	l := &load{stop: make(chan struct{})}
	l.wait.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-l.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			bad := 0
			if n%3 == 0 {
				bad = 1
			}
			app.Load(t, 1, bad)
			l.requests.Add(1)
			l.errors.Add(int64(bad))
		}
	})
	return l
}

func (l *load) end() [2]float64 {
	close(l.stop)
	l.wait.Wait()
	return [2]float64{float64(l.requests.Load()), float64(l.errors.Load())}
}

func plus(all ...[2]float64) (sum [2]float64) {
	for _, a := range all {
		sum[0] += a[0]
		sum[1] += a[1]
	}
	return sum
}

func TestAProgramThatStartsAnewIsCountedOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	k := begin(t, s.source(t))
	var canary [2]float64
	stable := start(t, s.stable)
	// Each life counts more than the one before, so that counters pass their old
	// values between two scrapes.
	born := time.Now()
	for _, life := range []int{5, 40, 300} {
		k.meanwhile(t, false, func() {
			s.canary.Load(t, life, life/2)
			canary = plus(canary, [2]float64{float64(life), float64(life / 2)})
			// What is counted after the last scrape of a life is known to nobody.
			s.Await(t, `sum(http_requests_total{arm="canary"})`, float64(life))
			// A start that is told a second later, to the hundredth, may be the
			// same one by a clock that was set; every life is longer.
			longer := float64(born.UnixMilli())/1000 + 1.2
			s.Await(t, fmt.Sprintf(`max(timestamp(process_start_time_seconds{arm="canary"})) > bool %.3f`, longer), 1)
			s.canary.Kill()
			s.canary.Run(t)
			born = time.Now()
		})
	}
	k.until(t, map[rollout.Arm][2]float64{rollout.Stable: stable.end(), rollout.Canary: canary})
}

func TestMissedScrapesAreJoinedToTheNextTick(t *testing.T) {
	t.Parallel()
	s := open(t)
	k := begin(t, s.source(t))
	s.canary.Load(t, 20, 5)
	s.stable.Load(t, 20, 5)
	two := map[rollout.Arm][2]float64{rollout.Stable: {20, 5}, rollout.Canary: {20, 5}}
	k.until(t, two)
	before := maps.Clone(k.nils)
	s.canary.Load(t, 10, 10)
	s.canary.Pause(t)
	stable := start(t, s.stable)
	k.meanwhile(t, false, func() { time.Sleep(6 * time.Second) })
	if k.nils[rollout.Canary] <= before[rollout.Canary] {
		t.Error("no tick lacks the canary although its scrapes failed for 6 s")
	}
	if k.nils[rollout.Stable] >= k.nils[rollout.Canary] {
		t.Errorf("stable is missing in as many ticks (%d) as the canary that answers nobody", k.nils[rollout.Stable])
	}
	s.canary.Resume(t)
	s.canary.Load(t, 7, 1)
	k.until(t, map[rollout.Arm][2]float64{rollout.Stable: plus(two[rollout.Stable], stable.end()), rollout.Canary: {37, 16}})
}

func TestANewPodIsCountedFromItsStartAndAnOldOneFromItsFirstScrape(t *testing.T) {
	t.Parallel()
	s := open(t)
	old := prometheus.NewApp(t)
	old.Load(t, 50, 20) // before anything is counted
	time.Sleep(1500 * time.Millisecond)
	k := begin(t, s.source(t))
	young := prometheus.NewApp(t)
	young.Load(t, 30, 10) // before its first scrape
	s.Scrape(t,
		prometheus.Target{Address: old.Address, Labels: label(rollout.Canary, "canary-old")},
		prometheus.Target{Address: young.Address, Labels: label(rollout.Canary, "canary-young")})
	s.Await(t, "count(up == 1)", 4)
	k.meanwhile(t, false, func() { time.Sleep(2 * time.Second) })
	old.Load(t, 8, 3)
	young.Load(t, 4, 1)
	k.until(t, map[rollout.Arm][2]float64{rollout.Stable: {}, rollout.Canary: {42, 14}})
	if got := fmt.Sprint(k.sum[rollout.Canary].byInstance); got != "map[canary-a:0 canary-old:8 canary-young:34]" {
		t.Errorf("the instances are %s", got)
	}
}

func TestAPodThatEndsIsCountedToItsLastScrapeAndNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := open(t)
	other := prometheus.NewApp(t)
	s.Scrape(t, prometheus.Target{Address: other.Address, Labels: label(rollout.Canary, "canary-b")})
	s.Await(t, "count(up == 1)", 3)
	k := begin(t, s.source(t))
	s.canary.Load(t, 10, 2)
	other.Load(t, 10, 2)
	k.until(t, map[rollout.Arm][2]float64{rollout.Stable: {}, rollout.Canary: {20, 4}})
	other.Load(t, 7, 7)
	s.Await(t, `sum(http_requests_total{pod="canary-b"})`, 17)
	other.Kill()
	s.Forget(t, other.Address)
	s.Await(t, "count(up)", 2)
	before := k.nils[rollout.Canary]
	canary := start(t, s.canary)
	k.meanwhile(t, false, func() { time.Sleep(6 * time.Second) })
	looks := k.nils[rollout.Canary] - before
	want := plus([2]float64{27, 11}, canary.end())
	k.until(t, map[rollout.Arm][2]float64{rollout.Stable: {}, rollout.Canary: want})
	// Six scrapes at ten looks: some look finds no newer one of those that stay.
	if looks > 7 {
		t.Errorf("%d ticks lacked the canary after one of its two pods had ended", looks)
	}
	if k.sum[rollout.Canary].byInstance["canary-b"] != 17 {
		t.Errorf("the pod that ended was counted to %v, want 17", k.sum[rollout.Canary].byInstance["canary-b"])
	}
}

func TestAnArmWhosePodsBecomeKnownIsCountedFromThenOn(t *testing.T) {
	t.Parallel()
	s := open(t)
	cfg := s.config()
	cfg.Queries = adapter.Queries{
		Requests: `http_requests_total{pod=~"$(pods)"}`,
		Errors:   `http_requests_total{pod=~"$(pods)",code=~"5.."}`,
		Latency:  adapter.Latency{Histogram: `http_request_duration_seconds{pod=~"$(pods)"}`},
	}
	groups := map[rollout.Arm]adapter.Group{rollout.Stable: {PodPrefixes: []string{"stable"}}}
	source, err := adapter.New(cfg, adapter.Env{Namespace: "web", Groups: func(context.Context) (map[rollout.Arm]adapter.Group, error) { return groups, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	s.canary.Load(t, 25, 9) // it was there before anybody knew whose it is
	s.Await(t, `sum(http_requests_total{pod="canary-a"})`, 25)
	time.Sleep(1500 * time.Millisecond)
	k := begin(t, source)
	s.stable.Load(t, 12, 3)
	k.until(t, map[rollout.Arm][2]float64{rollout.Stable: {12, 3}, rollout.Canary: {}})
	if n := k.nils[rollout.Canary]; n < 3 {
		t.Errorf("the canary without pods is nil in %d ticks only", n)
	}
	groups = map[rollout.Arm]adapter.Group{rollout.Stable: groups[rollout.Stable], rollout.Canary: {PodPrefixes: []string{"canary"}}}
	if _, err := k.next(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if _, err := k.next(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.canary.Load(t, 8, 1)
	k.until(t, map[rollout.Arm][2]float64{rollout.Stable: {12, 3}, rollout.Canary: {8, 1}})
}

func TestPrometheusIsKilledAndComesBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	k := begin(t, s.source(t))
	stable, canary := start(t, s.stable), start(t, s.canary)
	k.meanwhile(t, false, func() { time.Sleep(3 * time.Second) })
	k.meanwhile(t, true, func() {
		s.Kill()
		time.Sleep(4 * time.Second)
		s.Run(t)
	})
	k.meanwhile(t, false, func() { time.Sleep(3 * time.Second) })
	k.until(t, map[rollout.Arm][2]float64{rollout.Stable: stable.end(), rollout.Canary: canary.end()})
}

func TestEverythingElseThatATickHolds(t *testing.T) {
	t.Parallel()
	s := open(t)
	source := s.source(t, func(c *adapter.Config) {
		q := &c.Queries
		q.Latency.Histogram = `http_native_duration_seconds{arm="$(arm)"}`
		q.CPU, q.Memory = `process_cpu_seconds_total{arm="$(arm)"}`, `process_resident_memory_bytes{arm="$(arm)"}`
		q.Exceptions.Counter = `exceptions_total{arm="$(arm)"}`
		q.Business = map[string]adapter.Business{"conversion": {Trials: q.Requests, Successes: `http_requests_total{arm="$(arm)",code="200"}`}}
		q.Complaints = `exceptions_total{arm="$(arm)",class="Complaint"}`
	})
	k := begin(t, source)
	s.canary.Load(t, 60, 12)
	for _, class := range []string{"Timeout", "Complaint", "Timeout"} {
		s.canary.Get(t, "/raise?class="+class)
	}
	raised := map[string]float64{}
	var trials, successes, complaints float64
	cpu, memory := map[string]float64{}, map[string]float64{}
	for deadline := time.Now().Add(20 * time.Second); trials < 60 && time.Now().Before(deadline); time.Sleep(time.Second) {
		arms, err := k.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if arms.Canary == nil {
			continue
		}
		for _, e := range arms.Canary.Exceptions {
			raised[e.Class+"@"+e.Instance] += e.Count
		}
		b := arms.Canary.Business["conversion"]
		trials, successes, complaints = trials+*b.Trials, successes+*b.Successes, complaints+*arms.Canary.Complaints
		maps.Copy(cpu, arms.Canary.CPU)
		maps.Copy(memory, arms.Canary.Memory)
	}
	if got := fmt.Sprint(trials, successes, complaints, raised); got != "60 48 1 map[Complaint@canary-a:1 Timeout@canary-a:2]" {
		t.Errorf("measured %s", got)
	}
	if k.sum[rollout.Canary].timed != 60 {
		t.Errorf("the native histogram holds %v response times, want 60", k.sum[rollout.Canary].timed)
	}
	if got := slices.Collect(maps.Keys(memory)); len(got) != 1 || memory["canary-a"] < 1<<20 || memory["canary-a"] > 1<<30 {
		t.Errorf("memory is %v", memory)
	}
	if c, ok := cpu["canary-a"]; !ok || c < 0 || c > 4 {
		t.Errorf("processor time is %v", cpu)
	}
}

func TestDiagnoseNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stable.Load(t, 3, 0)
	s.Await(t, `sum(http_requests_total{arm="stable"})`, 3)
	time.Sleep(2 * time.Second) // a second scrape, which tells the interval
	diagnose := func(interval time.Duration, change func(*adapter.Config)) map[string]adapter.Finding {
		t.Helper()
		cfg := s.config()
		change(&cfg)
		source, err := adapter.New(cfg, adapter.Env{Interval: interval})
		if err != nil {
			t.Fatal(err)
		}
		findings, err := source.Diagnose(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		byQuery := map[string]adapter.Finding{}
		for _, f := range findings {
			byQuery[f.Query] = f
		}
		return byQuery
	}
	for _, c := range []struct {
		query    string
		ok       bool
		contains string
		change   func(*adapter.Config)
	}{
		{"queries.requests", true, "has 1 series", func(*adapter.Config) {}},
		{"queries.latency.histogram", true, "has 7 series", func(*adapter.Config) {}},
		{"queries.errors", false, "nothing failed", func(*adapter.Config) {}},
		{"queries.requests", false, "there is no metric http_request_total", func(c *adapter.Config) { c.Queries.Requests = `http_request_total{arm="$(arm)"}` }},
		{"queries.requests", false, "has no label weapon", func(c *adapter.Config) { c.Queries.Requests = `http_requests_total{weapon="$(arm)"}` }},
		{"queries.requests", false, `no pod with pod="stable-b"; there is "stable-a"`, func(c *adapter.Config) { c.Queries.Requests = `http_requests_total{arm="$(arm)",pod="stable-b"}` }},
		{"queries.latency.histogram", false, "there is no metric http_duration", func(c *adapter.Config) { c.Queries.Latency.Histogram = `http_duration{arm="$(arm)"}` }},
	} {
		f := diagnose(time.Second, c.change)[c.query]
		if f.OK != c.ok || f.Perhaps != (c.query == "queries.errors") || !strings.Contains(f.Message, c.contains) || !f.OK && f.Mend == "" {
			t.Errorf("%s: %+v, want something about %q", c.query, f, c.contains)
		}
	}
	if f, warned := diagnose(500*time.Millisecond, func(*adapter.Config) {})["analysis.interval"]; !warned || !strings.Contains(f.Message, "every 1s") {
		t.Errorf("an interval shorter than the scrapes': %+v", f)
	}
	if f, warned := diagnose(time.Second, func(*adapter.Config) {})["analysis.interval"]; warned {
		t.Errorf("an interval as long as the scrapes': %+v", f)
	}
}

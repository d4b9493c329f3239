//go:build plane

package prometheus_test

import (
	"context"
	"testing"
	"time"

	adapter "serin.dev/serin/internal/metrics/prometheus"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/test/prometheus"
)

// A baseline is measured while there is one, and never by series that are
// stable's as well.
func TestABaselineIsMeasuredWhileThereIsOne(t *testing.T) {
	t.Parallel()
	s := &shop{Server: prometheus.Start(t), stable: prometheus.NewApp(t), canary: prometheus.NewApp(t)}
	fresh := prometheus.NewApp(t)
	labels := func(pod, version string) map[string]string {
		return map[string]string{"namespace": "web", "pod": pod, "version": version}
	}
	s.Scrape(t,
		prometheus.Target{Address: s.stable.Address, Labels: labels("shop-aaa-x", "v1")},
		prometheus.Target{Address: fresh.Address, Labels: labels("shop-aaa-baseline-x", "v1")},
		prometheus.Target{Address: s.canary.Address, Labels: labels("shop-bbb-x", "v2")})
	s.Await(t, "count(up == 1)", 3)
	cfg := s.config()
	cfg.Queries.Requests = `http_requests_total{pod=~"$(pods)"}`
	cfg.Queries.Errors = `http_requests_total{pod=~"$(pods)",code=~"5.."}`
	cfg.Queries.Latency.Histogram = `http_request_duration_seconds{pod=~"$(pods)"}`
	cfg.Queries.Complaints = `http_requests_total{version="$(version)"}`
	groups := map[rollout.Arm]adapter.Group{
		rollout.Stable:   {Version: "v1", PodPrefixes: []string{"shop-aaa"}, Instances: 1},
		rollout.Canary:   {Version: "v2", PodPrefixes: []string{"shop-bbb"}, Instances: 1},
		rollout.Baseline: {Version: "v1", PodPrefixes: []string{"shop-aaa-baseline"}, Instances: 1},
	}
	source, err := adapter.New(cfg, adapter.Env{Namespace: "web", Groups: func(context.Context) (map[rollout.Arm]adapter.Group, error) { return groups, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	end := time.Now()
	collect := func() rollout.Arms {
		t.Helper()
		now := time.Now()
		arms, err := source.Collect(t.Context(), end, now)
		if end = now; err != nil {
			t.Fatal(err)
		}
		return arms
	}
	collect()
	s.stable.Load(t, 90, 9)
	fresh.Load(t, 20, 2)
	s.canary.Load(t, 30, 3)
	sum := map[rollout.Arm]float64{}
	complaints := map[rollout.Arm]float64{}
	for deadline := time.Now().Add(20 * time.Second); sum[rollout.Stable] < 90 || sum[rollout.Baseline] < 20 || sum[rollout.Canary] < 30; {
		if time.Now().After(deadline) {
			t.Fatalf("counted %v", sum)
		}
		time.Sleep(700 * time.Millisecond)
		arms := collect()
		for arm, sample := range map[rollout.Arm]*rollout.Sample{rollout.Stable: arms.Stable, rollout.Canary: arms.Canary, rollout.Baseline: arms.Baseline} {
			if sample != nil {
				sum[arm] += *sample.Requests
				complaints[arm] += *sample.Complaints
			}
		}
	}
	if sum[rollout.Stable] != 90 || sum[rollout.Baseline] != 20 || sum[rollout.Canary] != 30 {
		t.Errorf("counted %v", sum)
	}
	if complaints[rollout.Stable] != 110 || complaints[rollout.Baseline] != 0 {
		t.Errorf("what goes by the version alone was counted %v, want all of it with stable", complaints)
	}
	delete(groups, rollout.Baseline)
	time.Sleep(1500 * time.Millisecond)
	if arms := collect(); arms.Baseline != nil {
		t.Errorf("without a baseline it is measured: %+v", arms.Baseline)
	}
}

//go:build plane

package prometheus_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
	adapter "serin.dev/serin/internal/metrics/prometheus"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/test/prometheus"
)

// kubelets are the samples that cAdvisor would have given for 90 minutes, every
// 15 s: shop-1-b began 20 minutes before the end, shop-1-c ended 10 minutes
// before it, shop-2-a is the canary and another namespace has a pod of the same
// name.
func kubelets(end time.Time) []byte {
	type pod struct {
		namespace, name, container string
		from, to                   time.Duration // before the end
		cores, bytes, limit        float64
	}
	pods := []pod{
		{"web", "shop-1-a", "shop", 90 * time.Minute, 0, 0.5, 300e6, 1e9},
		{"web", "shop-1-a", "proxy", 90 * time.Minute, 0, 0.1, 90e6, 1e8},
		{"web", "shop-1-b", "shop", 20 * time.Minute, 0, 0.7, 310e6, 1e9},
		{"web", "shop-1-c", "shop", 90 * time.Minute, 10 * time.Minute, 0.6, 305e6, 1e9},
		{"web", "shop-2-a", "shop", 5 * time.Minute, 0, 2, 500e6, 0},
		{"b", "shop-1-a", "shop", 90 * time.Minute, 0, 3, 900e6, 1e9},
	}
	var out bytes.Buffer
	for _, m := range []struct {
		name, kind string
		value      func(p pod, since time.Duration) float64
	}{
		{"container_cpu_usage_seconds", "counter", func(p pod, since time.Duration) float64 { return p.cores * since.Seconds() }},
		{"container_memory_working_set_bytes", "gauge", func(p pod, _ time.Duration) float64 { return p.bytes }},
		{"container_spec_memory_limit_bytes", "gauge", func(p pod, _ time.Duration) float64 { return p.limit }},
		{"http_requests", "counter", func(_ pod, since time.Duration) float64 { return 10 * since.Seconds() }},
	} {
		fmt.Fprintf(&out, "# TYPE %s %s\n", m.name, m.kind)
		suffix := ""
		if m.kind == "counter" {
			suffix = "_total"
		}
		for _, p := range pods {
			for at := end.Add(-p.from); !at.After(end.Add(-p.to)); at = at.Add(15 * time.Second) {
				fmt.Fprintf(&out, "%s%s{job=\"kubelet\",instance=\"node\",namespace=%q,pod=%q,container=%q} %g %d\n",
					m.name, suffix, p.namespace, p.name, p.container, m.value(p, at.Sub(end.Add(-p.from))), at.Unix())
			}
		}
	}
	fmt.Fprintln(&out, "# EOF")
	return out.Bytes()
}

func TestTheHourBeforeIsReadAsTicksWouldHaveReadIt(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(-time.Minute).Truncate(15 * time.Second)
	server := prometheus.StartRecorded(t, kubelets(end))
	source, err := adapter.New(adapter.Config{
		URL: credential.Value{Text: server.URL}, Timeout: rollout.Duration(20 * time.Second),
		Queries: adapter.Queries{Requests: `http_requests_total{namespace="$(namespace)",pod=~"$(pods)",container="shop"}`},
	}, adapter.Env{
		Namespace: "web", Cluster: true, Recorded: true,
		Groups: func(context.Context) (map[rollout.Arm]adapter.Group, error) {
			return map[rollout.Arm]adapter.Group{
				rollout.Stable: {PodPrefixes: []string{"shop-1"}, Instances: 2}, rollout.Canary: {PodPrefixes: []string{"shop-2"}, Instances: 1},
			}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	h, err := source.History(t.Context(), end, 15*time.Second)
	if err != nil || h == nil {
		t.Fatalf("%v, %v", h, err)
	}
	near := func(got, want float64) bool { return math.Abs(got/want-1) < 0.001 }
	// A new pod's processor time is known from its second scrape on.
	for _, c := range []struct {
		name       string
		cpu, bytes int
		cores, use float64
	}{{"shop-1-a", 240, 240, 0.6, 390e6}, {"shop-1-b", 80, 81, 0.7, 310e6}} {
		if len(h.CPU[c.name]) != c.cpu || len(h.Memory[c.name]) != c.bytes {
			t.Errorf("%s has %d ticks of processor time and %d of memory, want %d and %d", c.name, len(h.CPU[c.name]), len(h.Memory[c.name]), c.cpu, c.bytes)
		}
		for i, v := range h.CPU[c.name] {
			if !near(v, c.cores) {
				t.Fatalf("%s used %v cores in tick %d, want %v", c.name, v, i, c.cores)
			}
		}
		for i, v := range h.Memory[c.name] {
			if !near(v, c.use) {
				t.Fatalf("%s used %v bytes in tick %d, want %v", c.name, v, i, c.use)
			}
		}
	}
	if len(h.CPU) != 2 || len(h.Memory) != 2 || h.Interval != rollout.Duration(15*time.Second) {
		t.Errorf("the history is of %d and %d, every %s", len(h.CPU), len(h.Memory), h.Interval)
	}

	// Ticks in the same time have the limits: of two containers that of the
	// fuller one, and none where there is none.
	if _, err := source.Collect(t.Context(), end.Add(-time.Minute), end.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	arms, err := source.Collect(t.Context(), end.Add(-time.Minute), end.Add(-30*time.Second))
	if err != nil || arms.Stable == nil || arms.Canary == nil {
		t.Fatalf("%+v, %v", arms, err)
	}
	if l := arms.Stable.MemoryLimit; len(l) != 2 || !near(l["shop-1-a"], 390e6/0.9) || !near(l["shop-1-b"], 1e9) {
		t.Errorf("stable's limits are %v", l)
	}
	if l := arms.Canary.MemoryLimit; l != nil || arms.Canary.Memory["shop-2-a"] != 500e6 {
		t.Errorf("the canary's limits are %v, its memory %v", l, arms.Canary.Memory)
	}

	server.Kill()
	began := time.Now()
	if h, err = source.History(t.Context(), end, 15*time.Second); err == nil || h != nil || !strings.Contains(err.Error(), "hour before the run") {
		t.Errorf("without a server: %v, %v", h, err)
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("that took %s", took)
	}
}

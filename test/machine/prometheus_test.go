//go:build plane

package machine

import (
	"fmt"
	"strings"
	"testing"

	"serin.dev/serin/test/plane/ports"
	"serin.dev/serin/test/prometheus"
)

// writeMeasured writes a rollout that is judged by what a Prometheus has
// scraped of the proxy.
func (h *home) writeMeasured(canary, duration, url, metrics string) {
	const answers = "-delay 20ms" // far more than what a busy machine adds
	h.writeFile(fmt.Sprintf(`apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop}
spec:
  workload:
    process:
      stable: {version: v1, command: %s}
      canary: {version: v2, command: %s}
      readiness: {path: /healthz, interval: 250ms}
  traffic: {proxy: {listen: %q, metricsListen: %q}}
  plan: {phases: [{weight: 20, duration: %s}, {weight: 50, duration: %s}], drain: 5s}
  analysis:
    interval: 2s
    checks: [{name: errors, type: errorRate}, {name: latency, type: responseTime}]
    metrics:
      prometheus:
        url: %s
        instanceLabel: exported_instance
        queries:
          requests: serin_proxy_requests_total{arm="$(arm)",judged="true"}
          errors: serin_proxy_errors_total{arm="$(arm)",judged="true"}
          latency: {histogram: 'serin_proxy_latency_seconds{arm="$(arm)",judged="true"}'}
`, h.command("v1", answers), h.command("v2", answers+" "+canary), h.addr, metrics, duration, duration, url))
}

func TestARunIsJudgedByPrometheus(t *testing.T) {
	for _, c := range []struct {
		name, flags string
		code        int
		says        string
	}{
		{"a bad version is rolled back", "-errors=0.5", 2, "rolled back after"},
		{"a good version is promoted", "", 0, "promoted after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			server := prometheus.Start(t)
			metrics := ports.Keep(t)
			server.Scrape(t, prometheus.Target{Address: metrics})
			h.writeMeasured(c.flags, "10s", server.URL, metrics)
			run := h.start("run", "-f", h.file)
			v := visit(t, h.addr)
			run.says(c.says)
			v.stop()
			run.wants(c.code)
			code, out, errs := h.serin("report", "shop")
			if code != 0 || c.code == 2 && !strings.Contains(out, "errors") {
				t.Errorf("the report, exit %d: %s%s", code, out, errs)
			}
		})
	}
}

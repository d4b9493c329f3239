package plane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"serin.dev/serin/test/plane/build"
)

// PrometheusURL is where Prometheus answers, in the plane's own network.
const PrometheusURL = "http://10.88.0.3:9090"

// prometheusConfig scrapes Traefik, the node's usage of containers, and pods
// that ask for it by the usual annotations. The node names the pods, because
// Debian's Prometheus is built without discovery through the API server.
const prometheusConfig = `global:
  scrape_interval: INTERVAL
  scrape_timeout: INTERVAL
scrape_configs:
- job_name: traefik
  static_configs: [{targets: [TRAFFIC]}]
- job_name: kubelet
  scheme: https
  metrics_path: /metrics/cadvisor
  tls_config: {insecure_skip_verify: true}
  static_configs: [{targets: [NODE]}]
- job_name: pods
  http_sd_configs: [{url: "https://NODE/scraped", refresh_interval: 1s, tls_config: {insecure_skip_verify: true}}]
`

// startPrometheus starts Prometheus.
func (p *Plane) startPrometheus(ctx context.Context) error {
	if p.Kubelet == nil {
		return errors.New("start Prometheus: there is no node to scrape; give Options.Kubelet")
	}
	interval := p.options.ScrapeInterval
	if interval == 0 {
		interval = time.Second
	}
	config := strings.NewReplacer("INTERVAL", interval.String(), "TRAFFIC", trafficMetrics, "NODE", p.Kubelet.Endpoint()).Replace(prometheusConfig)
	file := filepath.Join(p.Dir, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return fmt.Errorf("configure Prometheus: %w", err)
	}
	p.Prometheus = newProcess(p.Dir, "prometheus", answers(PrometheusURL+"/-/ready", nil), p.programs[build.Prometheus],
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(p.Dir, "prometheus"),
		"--web.listen-address="+strings.TrimPrefix(PrometheusURL, "http://"), "--storage.tsdb.retention.time=2d")
	return p.Prometheus.Start(ctx)
}

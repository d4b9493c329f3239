package plane

import (
	"context"
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
// that ask for it by the usual annotations.
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
  kubernetes_sd_configs: [{role: node, API}]
- job_name: pods
  kubernetes_sd_configs: [{role: pod, API}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: "true"}
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], action: replace, regex: (.+), target_label: __metrics_path__}
  - {source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port], action: replace, regex: '(.+);(\d+)', replacement: "$1:$2", target_label: __address__}
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {source_labels: [__meta_kubernetes_pod_label_pod_template_hash], target_label: pod_template_hash}
`

// startPrometheus starts Prometheus.
func (p *Plane) startPrometheus(ctx context.Context) error {
	interval := p.options.ScrapeInterval
	if interval == 0 {
		interval = time.Second
	}
	api := fmt.Sprintf("api_server: %q, tls_config: {ca_file: %q}, authorization: {credentials_file: %q}",
		p.Admin.Host, p.credentials.ca, p.credentials.adminTokenFile)
	config := strings.NewReplacer("INTERVAL", interval.String(), "TRAFFIC", trafficMetrics, "API", api).Replace(prometheusConfig)
	file := filepath.Join(p.Dir, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return fmt.Errorf("configure Prometheus: %w", err)
	}
	p.Prometheus = newProcess(p.Dir, "prometheus", answers(PrometheusURL+"/-/ready", nil), p.programs[build.Prometheus],
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(p.Dir, "prometheus"),
		"--web.listen-address="+strings.TrimPrefix(PrometheusURL, "http://"), "--storage.tsdb.retention.time=2d")
	return p.Prometheus.Start(ctx)
}

package kubelet

import (
	"encoding/json"
	"net"
	"net/http"
)

// target is a pod to scrape, in the terms of Prometheus's discovery over HTTP.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// serveScraped names the pods that ask by the annotations prometheus.io/scrape,
// port and path to be scraped.
func (k *Kubelet) serveScraped(w http.ResponseWriter, _ *http.Request) {
	targets := []target{}
	for _, worker := range k.all() {
		p := worker.current()
		port := p.Annotations["prometheus.io/port"]
		if p.Annotations["prometheus.io/scrape"] != "true" || port == "" {
			continue
		}
		path := p.Annotations["prometheus.io/path"]
		if path == "" {
			path = "/metrics"
		}
		targets = append(targets, target{
			Targets: []string{net.JoinHostPort(worker.address, port)},
			Labels: map[string]string{
				"namespace": p.Namespace, "pod": p.Name, "pod_template_hash": p.Labels["pod-template-hash"], "__metrics_path__": path,
			},
		})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(targets) // Prometheus asks again
}

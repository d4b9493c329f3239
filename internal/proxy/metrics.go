package proxy

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// MetricsHandler serves the statistics in Prometheus' form. They are the
// figures of Snapshot, so both always agree; judged="false" are forced
// requests.
func (p *Proxy) MetricsHandler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{p})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// collector turns snapshots into Prometheus' metrics.
type collector struct{ proxy *Proxy }

var (
	weightDesc = prometheus.NewDesc("serin_proxy_weight_percent",
		"Percent of requests that go to the canary.", nil, nil)
	errorsDesc = prometheus.NewDesc("serin_proxy_errors_total",
		"Requests that were errors of the instance, by class.", []string{"arm", "instance", "judged", "class"}, nil)
	latencyDesc = prometheus.NewDesc("serin_proxy_latency_seconds",
		"Time to the last byte of the response; of streams, to its headers.", []string{"arm", "judged"}, nil)
)

// perInstance are the metrics that every instance has one of.
var perInstance = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(InstanceStats) float64
}{
	{instanceDesc("requests_total", "Finished requests, by the arm and instance they were first routed to."),
		prometheus.CounterValue, func(s InstanceStats) float64 { return float64(s.Requests) }},
	{instanceDesc("canceled_total", "Requests whose client went away."),
		prometheus.CounterValue, func(s InstanceStats) float64 { return float64(s.Canceled) }},
	{instanceDesc("fallbacks_total", "Errors hidden from the user: another instance answered."),
		prometheus.CounterValue, func(s InstanceStats) float64 { return float64(s.Fallbacks) }},
	{instanceDesc("inflight", "Requests and upgraded connections being served."),
		prometheus.GaugeValue, func(s InstanceStats) float64 { return float64(max(s.Inflight, 0)) }},
	{instanceDesc("request_bytes_total", "Bytes of request bodies."),
		prometheus.CounterValue, func(s InstanceStats) float64 { return float64(s.BytesIn) }},
	{instanceDesc("response_bytes_total", "Bytes of response bodies."),
		prometheus.CounterValue, func(s InstanceStats) float64 { return float64(s.BytesOut) }},
}

func instanceDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("serin_proxy_"+name, help, []string{"arm", "instance", "judged"}, nil)
}

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	out <- weightDesc
	out <- errorsDesc
	out <- latencyDesc
	for _, m := range perInstance {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(weightDesc, prometheus.GaugeValue, float64(c.proxy.Split().Weight))
	s := c.proxy.Snapshot()
	c.arm(out, Stable, "true", s.Stable)
	c.arm(out, Canary, "true", s.Canary)
	if len(s.Baseline.Instances) > 0 {
		c.arm(out, Baseline, "true", s.Baseline)
	}
	if c.proxy.cfg.ForceHeader != "" {
		c.arm(out, Stable, "false", s.ForcedStable)
		c.arm(out, Canary, "false", s.ForcedCanary)
	}
}

func (c collector) arm(out chan<- prometheus.Metric, arm Arm, judged string, s ArmStats) {
	for name, in := range s.Instances {
		for _, m := range perInstance {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(in), string(arm), name, judged)
		}
		for _, class := range errorClasses {
			out <- prometheus.MustNewConstMetric(errorsDesc, prometheus.CounterValue, float64(in.ErrorsByClass[class]), string(arm), name, judged, class)
		}
	}
	count, buckets := thinned(s.Latency)
	out <- prometheus.MustNewConstHistogram(latencyDesc, count, s.Latency.Sum, buckets, string(arm), judged)
}

// scrapeEvery thins the grid for Prometheus, where 820 series a histogram are
// too dear: 13 of 117 buckets a decade remain, each bound one of the grid's, so
// the counts stay exact.
const scrapeEvery = 9

// thinned returns a histogram's count, and its cumulative counts by bound.
func thinned(h Histogram) (count uint64, buckets map[float64]uint64) {
	buckets = map[float64]uint64{}
	var below uint64
	for i, bound := range h.Bounds {
		below += h.Counts[i]
		if i%scrapeEvery == 0 {
			buckets[readable(bound)] = below
		}
	}
	return h.Count(), buckets
}

// readable drops the digits that only the grid's arithmetic has put there.
func readable(bound float64) float64 {
	v, _ := strconv.ParseFloat(strconv.FormatFloat(bound, 'g', 8, 64), 64) // it has just been formatted
	return v
}

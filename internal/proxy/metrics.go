package proxy

import (
	"bufio"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// MetricsHandler serves the statistics in Prometheus' text form, version 0.0.4.
// They are the figures of Snapshot, so both always agree; judged="false" are
// forced requests.
func (p *Proxy) MetricsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		m := exposition{bufio.NewWriter(w)}
		m.write(p.Split().Weight, p.metricArms())
		_ = m.Flush() // the scraper has gone; nobody is left to tell
	})
}

type metricArm struct {
	arm    Arm
	judged string
	stats  ArmStats
}

func (p *Proxy) metricArms() []metricArm {
	s := p.Snapshot()
	arms := []metricArm{{Stable, "true", s.Stable}, {Canary, "true", s.Canary}}
	if p.cfg.ForceHeader != "" {
		arms = append(arms, metricArm{Stable, "false", s.ForcedStable}, metricArm{Canary, "false", s.ForcedCanary})
	}
	return arms
}

// exposition writes metric families, each with its samples together, as the
// format asks.
type exposition struct{ *bufio.Writer }

func (e exposition) write(weight int, arms []metricArm) {
	e.family("serin_proxy_weight_percent", "gauge", "Percent of requests that go to the canary.")
	e.sample("serin_proxy_weight_percent", strconv.Itoa(weight))

	perInstance := func(name, kind, help string, value func(InstanceStats) uint64) {
		e.family(name, kind, help)
		for _, a := range arms {
			for _, in := range slices.Sorted(maps.Keys(a.stats.Instances)) {
				e.sample(name, formatCount(value(a.stats.Instances[in])), "arm", string(a.arm), "instance", in, "judged", a.judged)
			}
		}
	}
	perInstance("serin_proxy_requests_total", "counter", "Finished requests, by the arm and instance they were first routed to.",
		func(s InstanceStats) uint64 { return s.Requests })

	e.family("serin_proxy_errors_total", "counter", "Requests that were errors of the instance, by class.")
	for _, a := range arms {
		for _, in := range slices.Sorted(maps.Keys(a.stats.Instances)) {
			for _, class := range errorClasses {
				e.sample("serin_proxy_errors_total", formatCount(a.stats.Instances[in].ErrorsByClass[class]),
					"arm", string(a.arm), "instance", in, "judged", a.judged, "class", class)
			}
		}
	}
	perInstance("serin_proxy_canceled_total", "counter", "Requests whose client went away.",
		func(s InstanceStats) uint64 { return s.Canceled })
	perInstance("serin_proxy_fallbacks_total", "counter", "Errors hidden from the user: another instance answered.",
		func(s InstanceStats) uint64 { return s.Fallbacks })
	perInstance("serin_proxy_inflight", "gauge", "Requests and upgraded connections being served.",
		func(s InstanceStats) uint64 { return uint64(max(s.Inflight, 0)) })
	perInstance("serin_proxy_request_bytes_total", "counter", "Bytes of request bodies.",
		func(s InstanceStats) uint64 { return s.BytesIn })
	perInstance("serin_proxy_response_bytes_total", "counter", "Bytes of response bodies.",
		func(s InstanceStats) uint64 { return s.BytesOut })

	e.family("serin_proxy_latency_seconds", "histogram", "Time to the last byte of the response; of streams, to its headers.")
	for _, a := range arms {
		e.histogram("serin_proxy_latency_seconds", a.stats.Latency, "arm", string(a.arm), "judged", a.judged)
	}
}

func (e exposition) family(name, kind, help string) {
	_, _ = io.WriteString(e, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n")
}

// sample writes one line; labels are names and values in turn.
func (e exposition) sample(name, value string, labels ...string) {
	_, _ = e.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		_, _ = e.WriteString(sep + labels[i] + `="` + labelEscaper.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		_ = e.WriteByte('}')
	}
	_, _ = e.WriteString(" " + value + "\n")
}

// scrapeEvery thins the grid for Prometheus, where 820 series a histogram are
// too dear: 13 of 117 buckets a decade remain, each bound one of the grid's, so
// the counts stay exact.
const scrapeEvery = 9

func (e exposition) histogram(name string, h Histogram, labels ...string) {
	labels = slices.Clip(labels)
	var below uint64
	for i, bound := range h.Bounds {
		below += h.Counts[i]
		if i%scrapeEvery == 0 {
			e.sample(name+"_bucket", formatCount(below), append(labels, "le", strconv.FormatFloat(bound, 'g', 8, 64))...)
		}
	}
	total := formatCount(h.Count())
	e.sample(name+"_bucket", total, append(labels, "le", "+Inf")...)
	e.sample(name+"_sum", strconv.FormatFloat(h.Sum, 'g', -1, 64), labels...)
	e.sample(name+"_count", total, labels...)
}

func formatCount(n uint64) string { return strconv.FormatUint(n, 10) }

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

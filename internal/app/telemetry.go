package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/runner"
)

// telemetry is what the controller measures of its own work.
type telemetry struct {
	looks     *prometheus.CounterVec
	ticks     prometheus.Counter
	lateness  prometheus.Histogram
	decisions *prometheus.CounterVec
	runs      *prometheus.CounterVec
	weight    *prometheus.GaugeVec
}

func newTelemetry(reg prometheus.Registerer) *telemetry {
	t := &telemetry{
		looks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_looks_total", Help: "Looks at runs, by whether everything outside worked.",
		}, []string{"outcome"}),
		ticks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "serin_ticks_total", Help: "Ticks judged.",
		}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "serin_tick_lateness_seconds", Help: "Time between the end of a tick and its verdict's being saved and carried out.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_decisions_total", Help: "Decisions, by kind.",
		}, []string{"decision"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "serin_runs_ended_total", Help: "Runs that ended, by how.",
		}, []string{"end"}),
		weight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "serin_canary_weight_percent", Help: "Percent of traffic wanted for the canary.",
		}, []string{"namespace", "rollout"}),
	}
	reg.MustRegister(t.looks, t.ticks, t.lateness, t.decisions, t.runs, t.weight)
	return t
}

// looked takes in one look at a run.
func (t *telemetry) looked(namespace string, look runner.Look, now time.Time, err error) {
	outcome := "good"
	if err != nil {
		outcome = "trouble"
	}
	t.looks.WithLabelValues(outcome).Inc()
	d := look.Decision
	t.decisions.WithLabelValues(string(d.Decision)).Inc()
	if d.Tick != nil {
		t.ticks.Inc()
		t.lateness.Observe(max(now.Sub(*d.Tick).Seconds(), 0))
	}
	name := look.Run.Rollout
	switch state := look.Run.State; state.Status {
	case engine.Promoted, engine.RolledBack:
		t.runs.WithLabelValues(string(state.Status)).Inc()
		t.weight.DeleteLabelValues(namespace, name)
	default:
		t.weight.WithLabelValues(namespace, name).Set(float64(d.Want.Weight))
	}
}

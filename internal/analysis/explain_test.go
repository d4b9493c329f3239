package analysis_test

import (
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

func TestAResultSaysWhatItRestsOn(t *testing.T) {
	since := time.Date(2026, 1, 1, 12, 4, 0, 0, time.UTC)
	clock := func(at time.Time) string { return at.Format("15:04") }
	r := analysis.Result{
		Judged: true, Since: &since, SinceWeight: 25, Affected: 13.6, Noise: 2.1, Spread: 0.05,
		Assurance: analysis.Approximate, Detectable: 2.3,
	}
	const want = "since 12:04 (at 25 %), about 14 requests affected, would see 2.3x by the phase's end, noise φ 2.1, instances ω 5 %, approximate"
	if got := r.Explain(clock); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	r = analysis.Result{Judged: true, Noise: 1, Assurance: analysis.Exact}
	if got := r.Explain(clock); got != "exact" {
		t.Errorf("a result without evidence rests on %q", got)
	}
	if got := (analysis.Result{}).Explain(clock); got != "" {
		t.Errorf("a check that is not judged rests on %q", got)
	}
}

func TestWhatAVerdictRestsOnIsWithIt(t *testing.T) {
	for _, exactOnly := range []bool{false, true} {
		cfg := analysis.Config{
			Analysis: rollout.Analysis{Interval: rollout.DefaultInterval, Alpha: 0.01, Checks: []rollout.Check{{Name: "errors", Type: rollout.ErrorRate, ExactOnly: exactOnly}}},
			Phases:   rollout.DefaultPhases(),
		}
		s := analysis.Start(cfg)
		var a analysis.Assessment
		at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
		for range 30 {
			at = at.Add(10 * time.Second)
			s, a = analysis.Step(cfg, s, rollout.Tick{At: at, Weight: 5, Arms: rollout.Arms{
				Stable: &rollout.Sample{Requests: new(950.0), Errors: new(10.0)},
				Canary: &rollout.Sample{Requests: new(50.0), Errors: new(2.0)},
			}}, 0)
		}
		want := analysis.Approximate
		if exactOnly {
			want = analysis.Exact
		}
		r := a.Results[0]
		if r.Assurance != want || r.SinceWeight != 5 || r.Noise < 1 || r.Detectable <= 1 || r.Affected <= 0 {
			t.Errorf("exactOnly %v: %+v", exactOnly, r)
		}
	}
}

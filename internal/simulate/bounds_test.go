package simulate

import (
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// The bounds of a verdict hold at all times: of runs with a known ratio, no more
// ever have it outside of them than the check's alpha allows. They are a normal
// approximation on the logarithm, so what is tested is that it does not break at
// few errors, bursts and a ratio of one's own.
func TestTheBoundsOfTheRatioHoldAtAllTimes(t *testing.T) {
	const runs = 120
	quiet := DefaultTraffic()
	quiet.RequestsPerSecond, quiet.ErrorRate = 10, 0.005
	for name, c := range map[string]struct {
		traffic  Traffic
		scenario Scenario
		ratio    float64
	}{
		"equal":           {DefaultTraffic(), Scenario{}, 1},
		"1.5 times":       {DefaultTraffic(), Scenario{Faults: []Fault{{Errors: 1.5}}}, 1.5},
		"few errors":      {quiet, Scenario{}, 1},
		"clumps of three": {DefaultTraffic(), Scenario{Clumps: 3}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := plan(5, 25).Judging()
			cfg.Analysis.Checks = cfg.Analysis.Checks[:1]
			cfg.Analysis.Alpha = 0.05
			outside, known := 0, 0
			for i := range runs {
				src := newSource(randOf(seed, name, i), c.scenario, c.traffic, cfg.Analysis)
				state := analysis.Start(cfg)
				left := false
				for n := range 120 {
					since := time.Duration(n) * 10 * time.Second
					phase := n / 60
					weight := cfg.Phases[phase].Weight
					arms, _ := src.tick(since, weight)
					var a analysis.Assessment
					state, a = analysis.Step(cfg, state, rollout.Tick{At: start.Add(since + 10*time.Second), Weight: weight, Arms: arms}, phase)
					if r := a.Results[0]; r.High > 0 {
						known++
						left = left || r.Low > c.ratio || r.High < c.ratio
					}
				}
				if left {
					outside++
				}
			}
			if known == 0 {
				t.Fatal("no verdict has bounds")
			}
			// 6 are expected at most; more than 14 of 120 are seen once in 1,000 tests.
			if outside > 14 {
				t.Errorf("seed %d: in %d of %d runs the ratio of %v was outside at some time", seed, outside, runs, c.ratio)
			}
			t.Logf("outside in %d of %d runs", outside, runs)
		})
	}
}

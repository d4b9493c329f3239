package analysis_test

import (
	"testing"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// ticksToFail shows the same tick again and again and returns with which one a
// check fails; 0 for none of 30.
func ticksToFail(cfg analysis.Config, weight int, stable, canary *rollout.Sample) int {
	state := analysis.Start(cfg)
	var said analysis.Assessment
	at := midnight
	for n := 1; n <= 30; n++ {
		at = at.Add(10e9)
		state, said = analysis.Step(cfg, state, rollout.Tick{At: at, Weight: weight, Arms: rollout.Arms{Stable: stable, Canary: canary}}, 0)
		for _, r := range said.Results {
			if r.Verdict == analysis.Fail {
				return n
			}
		}
	}
	return 0
}

// At 5 % of the traffic and less two ticks are enough when all errors are the
// canary's. A larger share takes more: of clumps that fall on one arm or the
// other, n in a row fall on the canary with probability share^n.
func TestAGrossFaultIsRolledBackInFewTicks(t *testing.T) {
	both, errorsOnly := configOf(rollout.ErrorRate, rollout.ResponseTime), configOf(rollout.ErrorRate)
	for name, c := range map[string]struct {
		cfg            analysis.Config
		weight         int
		stable, canary *rollout.Sample
		want           int
	}{
		"half of 50, stable none":           {both, 5, served(950, 0), served(50, 25), 2},
		"half of 50, errors alone":          {errorsOnly, 5, served(950, 0), served(50, 25), 2},
		"half of 25, stable none":           {both, 5, served(475, 0), served(25, 12), 2},
		"eight of 25, stable none":          {both, 5, served(475, 0), served(25, 8), 2},
		"all of 50, stable none":            {both, 5, served(950, 0), served(50, 50), 3},
		"half of 50, stable half a percent": {both, 5, served(950, 5), served(50, 25), 2},
		"half of 25, stable half a percent": {both, 5, served(475, 2), served(25, 13), 2},
		"a fifth of 50, stable one percent": {both, 5, served(950, 9), served(50, 10), 3},
		// Two halves of a clump of twenty that lasts seconds look like this too.
		"a fifth of 50, stable none":             {both, 5, served(950, 0), served(50, 10), 3},
		"half of 10, one percent of the traffic": {both, 1, served(990, 0), served(10, 5), 2},
		"half of 100, ten percent":               {both, 10, served(900, 0), served(100, 50), 3},
		"half of 250, a quarter of the traffic":  {both, 25, served(750, 0), served(250, 125), 4},
		"half of 500, half of the traffic":       {both, 50, served(500, 0), served(500, 250), 5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ticksToFail(c.cfg, c.weight, c.stable, c.canary); got != c.want {
				t.Errorf("rolled back with tick %d, want %d", got, c.want)
			}
		})
	}
}

func TestAGrosslySlowerCanaryIsRolledBackInTwoTicks(t *testing.T) {
	both := configOf(rollout.ErrorRate, rollout.ResponseTime)
	for name, c := range map[string]struct {
		requests, slower float64
		weight, want     int
	}{
		"five times, 50 requests a tick":                          {1000, 5, 5, 2},
		"four times, 50 requests a tick":                          {1000, 4, 5, 2},
		"five times, 25 requests a tick":                          {500, 5, 5, 2},
		"twice, 50 requests a tick, from the end of its warm-up":  {1000, 2, 5, 8},
		"twice, half of the traffic, from the end of its warm-up": {1000, 2, 50, 8},
	} {
		t.Run(name, func(t *testing.T) {
			share := float64(c.weight) / 100
			if got := ticksToFail(both, c.weight, timed(c.requests*(1-share), .1), timed(c.requests*share, .1*c.slower)); got != c.want {
				t.Errorf("rolled back with tick %d, want %d", got, c.want)
			}
		})
	}
}

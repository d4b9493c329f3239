package analysis_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// A canary whose error rate has ups and downs of its own in every tick, as
// stable's has, is no worse: its luck in a single tick is not to be taken for
// the size of what other ticks gave the evidence of.
func TestUpsAndDownsOfEachArmsOwnAreNoFault(t *testing.T) {
	const seed, runs = 1, 40
	weights := []int{5, 10, 25, 50}
	cfg := configOf(rollout.ErrorRate)
	cfg.Phases = nil
	for _, w := range weights {
		cfg.Phases = append(cfg.Phases, rollout.Phase{Weight: w, Duration: rollout.Duration(30 * time.Minute)})
	}
	failed := 0
	for run := range uint64(runs) {
		rng := rand.New(rand.NewPCG(seed, run))
		weather := distuv.Gamma{Alpha: 5, Beta: 5, Src: rng}
		sample := func(requests float64) *rollout.Sample {
			return served(requests, distuv.Poisson{Lambda: requests * 0.01 * weather.Rand(), Src: rng}.Rand())
		}
		state, said := analysis.Start(cfg), analysis.Assessment{}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for n := range 180 * len(weights) {
			at = at.Add(10 * time.Second)
			w := weights[n/180]
			tick := rollout.Tick{At: at, Weight: w, Arms: rollout.Arms{
				Canary: sample(100 * float64(w)), Stable: sample(100 * float64(100-w)),
			}}
			state, said = analysis.Step(cfg, state, tick, n/180)
			if said.Results[0].Verdict == analysis.Fail {
				t.Logf("seed %d run %d, tick %d: %s", seed, run, n, said.Results[0].Message)
				failed++
				break
			}
		}
	}
	if failed > 1 {
		t.Errorf("%d of %d healthy canaries failed", failed, runs)
	}
}

package analysis_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// Traefik's buckets when nothing is set.
var traefikBuckets = []float64{0.1, 0.3, 1.2, 5}

// All times of a service that answers in 20 ms lie in the first of these buckets,
// those of one that takes 30 ms too: their sum tells.
func TestASlowerCanaryIsSeenWhereAllTimesLieInOneBucket(t *testing.T) {
	cfg := configOf(rollout.ResponseTime)
	for name, c := range map[string]struct {
		slower float64
		fails  bool
	}{
		"half as slow again": {1.5, true},
		"as quick":           {1, false},
		"quicker":            {0.7, false},
	} {
		t.Run(name, func(t *testing.T) {
			stable, canary := timedOn(traefikBuckets, 950, 0.02), timedOn(traefikBuckets, 50, 0.02*c.slower)
			_, said := play(t, cfg, stretch{30, 5, 0, stable, canary})
			r := said.Results[0]
			if failed := r.Verdict == analysis.Fail; failed != c.fails {
				t.Errorf("after five minutes: %s, evidence %.3g, ratio %.2f (%s)", r.Verdict, r.Evidence, r.Ratio, r.Message)
			}
			if want := c.slower; r.Ratio < 0.95*want || r.Ratio > 1.05*want {
				t.Errorf("the ratio is %.2f, want about %.2f", r.Ratio, want)
			}
			if !slices.Contains(r.Flags, "coarse-buckets") {
				t.Errorf("flags %v do not say that the buckets are coarse", r.Flags)
			}
		})
	}
}

// Ticks without the sum are told and left out, and what is judged by goes on over a
// restart.
func TestTicksWithoutTheSumAreToldWhereBucketsTellNothing(t *testing.T) {
	cfg := configOf(rollout.ResponseTime)
	stable, slow := timedOn(traefikBuckets, 950, 0.02), timedOn(traefikBuckets, 50, 0.03)
	state, _ := play(t, cfg, stretch{7, 5, 0, stable, slow})
	saved, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	state = analysis.State{}
	if err := json.Unmarshal(saved, &state); err != nil {
		t.Fatal(err)
	}
	silent := *slow
	h := *slow.Latency
	h.Sum = nil
	silent.Latency = &h
	at := midnight.Add(80 * time.Second)
	tick := func(canary *rollout.Sample) (said analysis.Assessment) {
		state, said = analysis.Step(cfg, state, rollout.Tick{At: at, Weight: 5, Arms: rollout.Arms{Stable: stable, Canary: canary}}, 0)
		at = at.Add(10 * time.Second)
		return said
	}
	var r analysis.Result
	for range 3 {
		r = tick(&silent).Results[0]
	}
	if !strings.Contains(r.Message, "lie in one wide bucket") || !strings.Contains(r.Message, "sum") || r.Verdict != analysis.Inconclusive || r.Acceptable {
		t.Errorf("three ticks without a sum: %s, acceptable %v, %q", r.Verdict, r.Acceptable, r.Message)
	}
	for range 20 {
		if r = tick(slow).Results[0]; r.Verdict == analysis.Fail {
			return
		}
	}
	t.Errorf("afterwards a canary that is half as slow again is not seen: evidence %.3g (%s)", r.Evidence, r.Message)
}

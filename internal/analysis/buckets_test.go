package analysis

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"serin.dev/serin/internal/rollout"
)

// On the bounds that two histograms share, each counts as many times up to each
// bound as it did before.
func TestASharedBoundHasAsManyTimesBelowIt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) *rollout.Histogram {
			picked := rapid.SliceOfNDistinct(rapid.IntRange(1, 12), 1, 12, rapid.ID[int]).Draw(rt, name+" bounds")
			slices.Sort(picked)
			h := &rollout.Histogram{Counts: []float64{float64(rapid.IntRange(0, 9).Draw(rt, name+" first"))}}
			for _, b := range picked {
				// Written by different hands.
				wobble := 1 + 1e-9*float64(rapid.IntRange(-1, 1).Draw(rt, name+" wobble"))
				h.Bounds = append(h.Bounds, float64(b)/10*wobble)
				h.Counts = append(h.Counts, float64(rapid.IntRange(0, 9).Draw(rt, name+" count")))
			}
			return h
		}
		below := func(h *rollout.Histogram, bound float64) (n float64) {
			for i, b := range h.Bounds {
				if b <= bound*(1+1e-6) {
					n += h.Counts[i]
				}
			}
			return n
		}
		a, b := draw("a"), draw("b")
		bounds := shared(a.Bounds, b.Bounds)
		for _, v := range a.Bounds {
			in := func(list []float64) bool {
				return slices.ContainsFunc(list, func(w float64) bool { return math.Abs(v-w) < 1e-3 })
			}
			if in(b.Bounds) != in(bounds) {
				rt.Fatalf("%v and %v share %v", a.Bounds, b.Bounds, bounds)
			}
		}
		if len(bounds) == 0 {
			return
		}
		for _, h := range []*rollout.Histogram{a, b} {
			less := onBounds(h, bounds)
			for _, bound := range bounds {
				if got, want := below(less.of, bound), below(h, bound); got != want {
					rt.Fatalf("%v on %v: %v up to %v, want %v", h, bounds, got, bound, want)
				}
			}
			var all, kept float64
			for _, c := range h.Counts {
				all += c
			}
			for _, c := range less.of.Counts {
				kept += c
			}
			if all != kept || less.n != all {
				rt.Fatalf("%v of %v times are left", kept, all)
			}
		}
	})
}

// Wide buckets that do not tell a slow canary from stable are no proof of it, at
// any share and without control.
func TestWideBucketsAreNoProof(t *testing.T) {
	cfg := Config{
		Analysis: rollout.Analysis{Interval: rollout.DefaultInterval, Alpha: .01, Checks: []rollout.Check{{Name: "latency", Type: rollout.ResponseTime, Rollback: rollout.Margin{Increase: .1}}}},
		Phases:   []rollout.Phase{{Weight: 50, Duration: rollout.DefaultPhase}, {Weight: 100, Duration: rollout.DefaultPhase}},
	}
	arm := func(n, mean float64, sum bool, bounds ...float64) *rollout.Sample {
		h := &rollout.Histogram{Bounds: bounds, Counts: make([]float64, len(bounds)+1)}
		k, _ := slices.BinarySearch(bounds, mean)
		h.Counts[k] = n
		if total := n * mean; sum {
			h.Sum = &total
		}
		return &rollout.Sample{Requests: &n, Latency: h}
	}
	for name, c := range map[string]struct {
		stable, canary, alone *rollout.Sample
	}{
		"one bucket and no sum":                   {arm(500, .1, false, 10), arm(500, .3, false, 10), nil},
		"one bucket and a sum":                    {arm(500, .1, true, 10), arm(500, .3, true, 10), nil},
		"two buckets and a sum":                   {arm(500, .1, true, 1, 10), arm(500, .3, true, 1, 10), nil},
		"other buckets at full weight":            {arm(500, .1, true, .09, .2, 1), arm(500, .1, true, .09, .2, 1), arm(1000, .19, true, .2, 10)},
		"wide buckets instead of fine ones there": {arm(500, .1, true, .09, .1, .11), arm(500, .1, true, .09, .1, .11), arm(1000, .19, true, .2, 10)},
	} {
		t.Run(name, func(t *testing.T) {
			state := Start(cfg)
			at := state.At
			var said Assessment
			for i := range 360 {
				tick := rollout.Tick{Weight: 50, Arms: rollout.Arms{Stable: c.stable, Canary: c.canary}}
				phase := 0
				if i >= 180 && c.alone != nil {
					phase, tick.Weight, tick.Arms = 1, 100, rollout.Arms{Canary: c.alone}
				}
				at = at.Add(10e9)
				tick.At = at
				state, said = Step(cfg, state, tick, phase)
			}
			if r := said.Results[0]; r.Verdict == Pass || r.Acceptable || r.NonInferior || r.Message == "" {
				t.Errorf("%s, acceptable %v: %s", r.Verdict, r.Acceptable, r.Message)
			} else {
				t.Log(r.Message)
			}
		})
	}
}

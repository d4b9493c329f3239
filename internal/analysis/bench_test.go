package analysis_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// gridOf is a log grid as the proxy's: two percent a bucket, a part of it.
func gridOf(first, growth float64, n int) []float64 {
	bounds := make([]float64, n)
	for i := range bounds {
		bounds[i] = first * math.Pow(growth, float64(i))
	}
	return bounds
}

// busyTicks are ticks of a service with a thousand requests each, with errors
// and response times on a log grid (350 buckets of 1 ms to 1 s are the
// proxy's), and twenty stable instances.
func busyTicks(rng *rand.Rand, n, buckets int) []rollout.Tick {
	bounds := gridOf(0.001, math.Pow(10, 3./float64(buckets-1)), buckets)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	arm := func(requests, errorRate float64) *rollout.Sample {
		errors := 0.0
		sum := 0.0
		counts := make([]float64, len(bounds)+1)
		for range int(requests) {
			if rng.Float64() < errorRate {
				errors++
			}
			v := 0.05 * math.Exp(0.7*rng.NormFloat64())
			sum += v
			i := 0
			for i < len(bounds) && bounds[i] < v {
				i++
			}
			counts[i]++
		}
		return &rollout.Sample{Requests: &requests, Errors: &errors, Latency: &rollout.Histogram{Bounds: bounds, Counts: counts, Sum: &sum}}
	}
	ticks := make([]rollout.Tick, n)
	for i := range ticks {
		stable := arm(950, 0.01)
		stable.ByInstance = map[string]*rollout.InstanceSample{}
		stable.CPU, stable.Memory = map[string]float64{}, map[string]float64{}
		for k := range 20 {
			name := fmt.Sprintf("shop-%d", k)
			stable.CPU[name], stable.Memory[name] = 0.5*math.Exp(0.1*rng.NormFloat64()), 4e8*math.Exp(0.1*rng.NormFloat64())
			count, sum := 47., 47*0.06*(1+0.02*rng.NormFloat64())
			stable.ByInstance[name] = &rollout.InstanceSample{Latency: &rollout.Histogram{Count: &count, Sum: &sum}}
		}
		canary := arm(50, 0.01)
		canary.CPU, canary.Memory = map[string]float64{"c": 0.5}, map[string]float64{"c": 4e8}
		ticks[i] = rollout.Tick{
			At: start.Add(time.Duration(i+1) * 10 * time.Second), Weight: 5,
			Arms: rollout.Arms{Stable: stable, Canary: canary},
		}
	}
	return ticks
}

func configOf(checks ...rollout.CheckType) analysis.Config {
	cfg := analysis.Config{
		Analysis: rollout.Analysis{Interval: rollout.DefaultInterval, Alpha: rollout.DefaultAlpha},
		Phases:   rollout.DefaultPhases(),
	}
	for _, c := range checks {
		cfg.Analysis.Checks = append(cfg.Analysis.Checks, rollout.Check{Name: string(c), Type: c, Rollback: rollout.DefaultMargin(c)})
	}
	return cfg
}

func benchmarkStep(b *testing.B, cfg analysis.Config) {
	ticks := busyTicks(rand.New(rand.NewPCG(1, 2)), 100, 350)
	state := analysis.Start(cfg)
	// Worst case: every start has begun.
	at := ticks[0].At
	for i := range 1000 {
		t := ticks[i%len(ticks)]
		at = at.Add(10 * time.Second)
		t.At = at
		state, _ = analysis.Step(cfg, state, t, min(4, i/180))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		t := ticks[i%len(ticks)]
		at = at.Add(10 * time.Second)
		t.At = at
		state, _ = analysis.Step(cfg, state, t, 4)
	}
}

func BenchmarkStepErrors(b *testing.B)  { benchmarkStep(b, configOf(rollout.ErrorRate)) }
func BenchmarkStepLatency(b *testing.B) { benchmarkStep(b, configOf(rollout.ResponseTime)) }
func BenchmarkStepGauges(b *testing.B)  { benchmarkStep(b, configOf(rollout.CPU, rollout.Memory)) }
func BenchmarkStepBoth(b *testing.B) {
	benchmarkStep(b, configOf(rollout.ErrorRate, rollout.ResponseTime))
}

// BenchmarkTwoHours is a simulated run of 720 ticks, errors and response times
// in native buckets judged: what a simulation pays for each.
func BenchmarkTwoHours(b *testing.B) {
	cfg := configOf(rollout.ErrorRate, rollout.ResponseTime)
	cfg.Terse = true
	ticks := busyTicks(rand.New(rand.NewPCG(1, 2)), 100, 81)
	for i := range ticks {
		ticks[i].Arms.Stable.ByInstance = nil
	}
	b.ReportAllocs()
	for b.Loop() {
		state := analysis.Start(cfg)
		at := midnight
		for i := range 720 {
			t := ticks[i%len(ticks)]
			at = at.Add(10 * time.Second)
			t.At = at
			analysis.Advance(cfg, &state, t, min(4, i/180))
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
}

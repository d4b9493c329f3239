package analysis

import (
	"math"
	"slices"
	"sort"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
)

// timesAround is n response times spread evenly over a lognormal distribution
// around a typical one, in buckets of two percent.
func timesAround(typical float64, n int) *rollout.Sample {
	var bounds []float64
	for b := 1e-5; b < 100; b *= 1.02 {
		bounds = append(bounds, b)
	}
	counts := make([]float64, len(bounds)+1)
	sum := 0.0
	for k := range n {
		z := math.Sqrt2 * math.Erfinv(2*(float64(k)+0.5)/float64(n)-1)
		v := typical * math.Exp(0.5*z)
		sum += v
		counts[sort.SearchFloat64s(bounds, v)]++
	}
	requests, errors := float64(n), 0.0
	return &rollout.Sample{Requests: &requests, Errors: &errors, Latency: &rollout.Histogram{Bounds: bounds, Counts: counts, Sum: &sum}}
}

// latencyAfter is the latency check's result after ticks at half of the traffic.
func latencyAfter(typical, ratio float64, ticks int) Result {
	cfg := Config{
		Analysis: rollout.Analysis{Interval: rollout.DefaultInterval, Alpha: rollout.DefaultAlpha,
			Checks: []rollout.Check{{Name: "latency", Type: rollout.ResponseTime, Rollback: rollout.DefaultMargin(rollout.ResponseTime)}}},
		Phases: []rollout.Phase{{Weight: 50, Duration: rollout.Duration(10 * time.Minute)}},
	}
	s := Start(cfg)
	var a Assessment
	for i := range ticks {
		s, a = Step(cfg, s, rollout.Tick{
			At: time.Date(2026, 1, 1, 0, 0, 10*(i+1), 0, time.UTC), Weight: 50,
			Arms: rollout.Arms{Stable: timesAround(typical, 60), Canary: timesAround(typical*ratio, 60)},
		}, 0)
	}
	return a.Results[0]
}

func TestADelayOfMicrosecondsIsNoReasonToWaitForAPerson(t *testing.T) {
	for _, tt := range []struct {
		name           string
		typical, ratio float64
		acceptable     bool
		immaterial     bool
	}{
		{"a quarter of a millisecond, 8 % slower", 250e-6, 1.08, true, true},
		{"a twentieth of a second, 8 % slower", 50e-3, 1.08, false, false},
		{"a twentieth of a second, equal", 50e-3, 1, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := latencyAfter(tt.typical, tt.ratio, 20)
			if got.Verdict == Fail || got.Acceptable != tt.acceptable || slices.Contains(got.Flags, "immaterial") != tt.immaterial {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestWhatIsShownToBeMateriallySlowerGoesBack(t *testing.T) {
	// (Of 0.15 ms, even p99 is longer by less than 0.2 ms.)
	if got := latencyAfter(150e-6, 1.4, 60); got.Verdict == Fail || !got.Acceptable {
		t.Errorf("less than a tenth of a millisecond slower: %+v", got)
	}
	for _, ratio := range []float64{2, 5} {
		if got := latencyAfter(250e-6, ratio, 60); got.Verdict != Fail {
			t.Errorf("a quarter of a millisecond, %v times as slow: %+v", ratio, got)
		}
	}
	for _, typical := range []float64{2.2e-3, 50e-3} {
		if got := latencyAfter(typical, 1.2, 60); got.Verdict != Fail {
			t.Errorf("%v s, 20 %% slower: %+v", typical, got)
		}
	}
}

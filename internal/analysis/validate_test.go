package analysis_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

func TestValidateNamesTheFieldAndTheMend(t *testing.T) {
	good := func() rollout.Tick {
		return rollout.Tick{At: midnight, Weight: 5, Arms: rollout.Arms{Stable: timed(95, .1), Canary: served(5, 0)}}
	}
	if err := analysis.Validate(good()); err != nil {
		t.Fatalf("a good tick: %v", err)
	}
	minus := -1
	for name, c := range map[string]struct {
		spoil func(*rollout.Tick)
		want  []string // parts of the error
	}{
		"no time":           {func(k *rollout.Tick) { k.At = time.Time{} }, []string{"tick:", "2026-01-01T00:00:10Z"}},
		"weight":            {func(k *rollout.Tick) { k.Weight = 101 }, []string{"weight: 101", "0 to 100"}},
		"no such arm":       {func(k *rollout.Tick) { k.Unsplit = []rollout.Arm{"testers"} }, []string{`unsplit: "testers"`, "stable or canary"}},
		"negative requests": {func(k *rollout.Tick) { k.Arms.Canary.Requests = num(-1) }, []string{"arms.canary.requests: -1", "increment"}},
		"no number":         {func(k *rollout.Tick) { k.Arms.Canary.Errors = num(math.NaN()) }, []string{"arms.canary.errors", "leave the key out"}},
		"infinite":          {func(k *rollout.Tick) { k.Arms.Stable.Requests = num(math.Inf(1)) }, []string{"arms.stable.requests"}},
		"more errors":       {func(k *rollout.Tick) { k.Arms.Canary.Errors = num(6) }, []string{"arms.canary.errors: 6", "5 requests"}},
		"instances":         {func(k *rollout.Tick) { k.Arms.Stable.Instances = &minus }, []string{"arms.stable.instances: -1"}},
		"counts too short": {func(k *rollout.Tick) { k.Arms.Stable.Latency.Counts = k.Arms.Stable.Latency.Counts[1:] },
			[]string{"arms.stable.latency.counts", "one more than bounds"}},
		"no counts":      {func(k *rollout.Tick) { k.Arms.Stable.Latency.Counts = nil }, []string{"arms.stable.latency.counts: missing"}},
		"negative count": {func(k *rollout.Tick) { k.Arms.Stable.Latency.Counts[3] = -2 }, []string{"arms.stable.latency.counts[3]: -2"}},
		"bounds descend": {func(k *rollout.Tick) {
			k.Arms.Stable.Latency = &rollout.Histogram{Bounds: []float64{.2, .1}, Counts: []float64{1, 2, 3}}
		}, []string{"arms.stable.latency.bounds[1]: 0.1", "ascending"}},
		"bounds at nought": {func(k *rollout.Tick) {
			k.Arms.Stable.Latency = &rollout.Histogram{Bounds: []float64{0, .1}, Counts: []float64{1, 2, 3}}
		}, []string{"arms.stable.latency.bounds[0]: 0", "above 0"}},
		"an instance": {func(k *rollout.Tick) {
			k.Arms.Canary.ByInstance = map[string]*rollout.InstanceSample{"b": {Requests: num(-1)}, "a": {Errors: num(-1)}}
		}, []string{"arms.canary.byInstance.a.errors: -1"}},
	} {
		t.Run(name, func(t *testing.T) {
			tick := good()
			c.spoil(&tick)
			err := analysis.Validate(tick)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error is %q, want %q in it", err, part)
				}
			}
		})
	}
}

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

// playArms shows ticks to the analysis until one fails, and returns what it said
// last and the number of ticks.
func playArms(t *testing.T, cfg analysis.Config, ticks int, arms func(n int) rollout.Arms) (analysis.Assessment, int) {
	t.Helper()
	state := analysis.Start(cfg)
	var said analysis.Assessment
	for n := range ticks {
		tick := rollout.Tick{At: midnight.Add(time.Duration(n+1) * 10 * time.Second), Weight: 5, Arms: arms(n)}
		if err := analysis.Validate(tick); err != nil {
			t.Fatal(err)
		}
		state, said = analysis.Step(cfg, state, tick, 0)
		if said.Results[0].Verdict == analysis.Fail {
			return said, n + 1
		}
	}
	return said, ticks
}

// cooling is how much slower a fresh instance is: half as much again at first,
// nothing after five minutes.
func cooling(n int) float64 { return 1 + 0.5*max(0, 1-float64(n)/30) }

func TestAColdCanaryIsComparedWithABaselineThatIsAsCold(t *testing.T) {
	cfg := configOf(rollout.ResponseTime)
	cfg.Baseline = true
	with := func(slower float64) func(int) rollout.Arms {
		return func(n int) rollout.Arms {
			return rollout.Arms{
				Stable: timed(900, 0.1), Canary: timed(50, 0.1*slower*cooling(n)), Baseline: timed(50, 0.1*cooling(n)),
			}
		}
	}
	said, ticks := playArms(t, cfg, 60, with(1))
	r := said.Results[0]
	if r.Verdict == analysis.Fail || !slices.Contains(r.Flags, "baseline") || slices.Contains(r.Flags, "warming-up") {
		t.Errorf("an equal canary after %d ticks: %s %v: %s", ticks, r.Verdict, r.Flags, r.Message)
	}
	if r.Ratio > 1.02 || r.Ratio < 0.98 {
		t.Errorf("an equal canary has ratio %v, want about 1", r.Ratio)
	}
	said, ticks = playArms(t, cfg, 60, with(1.5))
	r = said.Results[0]
	if r.Verdict != analysis.Fail || !strings.Contains(r.Message, "the baseline") {
		t.Errorf("a canary half as slow again: %s after %d ticks: %s", r.Verdict, ticks, r.Message)
	}
	// Nothing was left out for a warm-up, which lasts a minute at least.
	if ticks > 12 {
		t.Errorf("it took %d ticks", ticks)
	}
}

func TestWithoutItsBaselineACanaryIsJudgedAsIfThereNeverWasOne(t *testing.T) {
	plain := configOf(rollout.ResponseTime)
	asked := plain
	asked.Baseline = true
	arms := func(n int) rollout.Arms {
		return rollout.Arms{Stable: timed(950, 0.1), Canary: timed(50, 0.1*cooling(n))}
	}
	for n := 1; n <= 40; n++ {
		a, _ := playArms(t, plain, n, arms)
		b, _ := playArms(t, asked, n, arms)
		r, s := a.Results[0], b.Results[0]
		if !slices.Contains(s.Flags, "no-baseline") {
			t.Fatalf("tick %d: flags %v do not say that the baseline is missing", n, s.Flags)
		}
		s.Flags = slices.DeleteFunc(s.Flags, func(f string) bool { return f == "no-baseline" })
		x, _ := json.Marshal(r)
		y, _ := json.Marshal(s)
		if string(x) != string(y) {
			t.Fatalf("tick %d:\n%s\n%s", n, x, y)
		}
	}
}

func TestABaselineLostMidwayLeavesAColdCanaryItsWarmUp(t *testing.T) {
	cfg := configOf(rollout.ResponseTime)
	cfg.Baseline = true
	said, _ := playArms(t, cfg, 5, func(n int) rollout.Arms {
		arms := rollout.Arms{Stable: timed(900, 0.1), Canary: timed(50, 0.15), Baseline: timed(50, 0.15)}
		if n >= 3 {
			arms.Baseline = nil
		}
		return arms
	})
	r := said.Results[0]
	if r.Verdict != analysis.Inconclusive || !slices.Contains(r.Flags, "warming-up") || !slices.Contains(r.Flags, "no-baseline") {
		t.Errorf("%s %v: %s", r.Verdict, r.Flags, r.Message)
	}
}

func TestErrorsAreComparedWithAllOfStablesVersion(t *testing.T) {
	cfg := configOf(rollout.ErrorRate)
	cfg.Baseline = true
	apart, _ := playArms(t, cfg, 12, func(int) rollout.Arms {
		return rollout.Arms{Stable: served(900, 9), Canary: served(50, 1), Baseline: served(50, 3)}
	})
	together, _ := playArms(t, cfg, 12, func(int) rollout.Arms {
		return rollout.Arms{Stable: served(950, 12), Canary: served(50, 1)}
	})
	x, _ := json.Marshal(apart.Results)
	y, _ := json.Marshal(together.Results)
	if string(x) != string(y) || apart.Hold != together.Hold {
		t.Errorf("apart and together differ:\n%s\n%s", x, y)
	}
}

func TestProcessorTimeIsComparedWithTheBaseline(t *testing.T) {
	cfg := configOf(rollout.CPU)
	cfg.Baseline = true
	using := func(s *rollout.Sample, names string, cores float64) *rollout.Sample {
		s.CPU = map[string]float64{}
		for i, name := range strings.Fields(names) {
			s.CPU[name] = cores * (1 + 0.02*float64(i%3-1))
		}
		return s
	}
	arms := func(canary float64) func(int) rollout.Arms {
		return func(n int) rollout.Arms {
			return rollout.Arms{
				Stable:   using(served(900, 0), "a b c d e f g h i j k l m n o p q r", 0.4),
				Canary:   using(served(50, 0), "x", canary*cooling(n)),
				Baseline: using(served(50, 0), "y", 0.4*cooling(n)),
			}
		}
	}
	if said, _ := playArms(t, cfg, 60, arms(0.4)); said.Results[0].Verdict == analysis.Fail || said.Results[0].Ratio > 1.03 {
		t.Errorf("an equal canary: %+v", said.Results[0])
	}
	if said, _ := playArms(t, cfg, 60, arms(0.8)); said.Results[0].Verdict != analysis.Fail || !strings.Contains(said.Results[0].Message, "the baseline's") {
		t.Errorf("twice the processor time: %+v", said.Results[0])
	}
}

func TestABaselineWithNonsenseIsRefused(t *testing.T) {
	tick := rollout.Tick{At: midnight, Weight: 5, Arms: rollout.Arms{Stable: served(9, 0), Canary: served(1, 0), Baseline: served(1, 2)}}
	if err := analysis.Validate(tick); err == nil || !strings.HasPrefix(err.Error(), "arms.baseline.errors") {
		t.Errorf("error %v, want one about arms.baseline.errors", err)
	}
}

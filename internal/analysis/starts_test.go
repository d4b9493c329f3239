package analysis

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"serin.dev/serin/internal/rollout"
)

func halfHourPlan(weights ...int) []rollout.Phase {
	var phases []rollout.Phase
	for _, w := range weights {
		phases = append(phases, rollout.Phase{Weight: w, Duration: rollout.Duration(30 * time.Minute)})
	}
	return phases
}

// staked is what the starts begun so far and those to come stake together.
func staked(p stakes, begun int) float64 {
	sum := math.Exp(p.logKept(begun))
	for s := range begun {
		sum += math.Exp(p.logOf(s))
	}
	return sum
}

func TestStartsStakeOneTogetherWhateverThePlan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var phases []rollout.Phase
		for range rapid.IntRange(0, 20).Draw(rt, "phases") {
			phases = append(phases, rollout.Phase{Weight: 5, Duration: rollout.Duration(rapid.IntRange(1, 1e6).Draw(rt, "ms")) * rollout.Duration(time.Millisecond)})
		}
		_, starts := startSpacing(phases)
		if starts < 1 || starts > stakedStarts {
			rt.Fatalf("%d starts", starts)
		}
		for _, together := range []float64{errorLaterStake, latencyLaterStake} {
			p := laterParts(together, starts)
			if first := math.Exp(p.logOf(0)); first < 1-together-1e-12 {
				rt.Errorf("the first of %d starts stakes %v, less than in the longest plan", starts, first)
			}
			for begun := 1; begun <= maxStarts; begun++ {
				if sum := staked(p, begun); math.Abs(sum-1) > 1e-12 {
					rt.Errorf("%d of %d starts: the stakes sum to %v", begun, starts, sum)
				}
			}
		}
	})
}

// walk shows ticks of 10 s to a state and returns its starts. A phase's first
// lag ticks still have the weight of the phase before.
func walk(phases []rollout.Phase, lag, extra int, last int) []StartPoint {
	requests, none := 100.0, 0.0
	arm := &rollout.Sample{Requests: &requests, Errors: &none}
	cfg := Config{Phases: phases, Analysis: rollout.Analysis{
		Interval: rollout.DefaultInterval, Alpha: rollout.DefaultAlpha,
		Checks: []rollout.Check{{Name: "errors", Type: rollout.ErrorRate, Rollback: rollout.DefaultMargin(rollout.ErrorRate)}},
	}}
	state := Start(cfg)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	weight := phases[0].Weight
	for phase, p := range phases {
		n := int(time.Duration(p.Duration)/(10*time.Second)) + extra
		for i := range n {
			if i >= lag {
				weight = p.Weight
			}
			at = at.Add(10 * time.Second)
			state, _ = Step(cfg, state, rollout.Tick{At: at, Weight: weight, Arms: rollout.Arms{Stable: arm, Canary: arm}}, phase)
		}
	}
	for range last {
		at = at.Add(10 * time.Second)
		state, _ = Step(cfg, state, rollout.Tick{At: at, Weight: rollout.Full, Arms: rollout.Arms{Canary: arm}}, len(phases)-1)
	}
	return state.Starts
}

func TestEveryPhaseAndTheEndOfControlBeginAStakedStart(t *testing.T) {
	for name, c := range map[string]struct {
		phases     []rollout.Phase
		lag, extra int
	}{
		"the default plan":             {phases: rollout.DefaultPhases()},
		"weights that lag":             {phases: rollout.DefaultPhases(), lag: 2},
		"phases that wait for someone": {phases: rollout.DefaultPhases(), lag: 2, extra: 1000},
		"many phases":                  {phases: halfHourPlan(5, 10, 20, 30, 40, 50, 60, 100), lag: 1, extra: 500},
		"no end of control":            {phases: halfHourPlan(5, 10, 25, 50), lag: 1},
	} {
		t.Run(name, func(t *testing.T) {
			starts := walk(c.phases, c.lag, c.extra, 0)
			_, plan := startSpacing(c.phases)
			if len(starts) != plan {
				t.Errorf("%d starts, not the plan's %d: %+v", len(starts), plan, starts)
			}
			begun := map[int]StartPoint{}
			for _, s := range starts {
				if _, ok := begun[s.Phase]; !ok {
					begun[s.Phase] = s
				}
			}
			for i, p := range c.phases {
				s, ok := begun[i]
				if !ok {
					t.Errorf("phase %d began no start", i)
				}
				if s.NoControl != (p.Weight == rollout.Full) {
					t.Errorf("phase %d of weight %d has NoControl %v", i, p.Weight, s.NoControl)
				}
			}
		})
	}
}

func TestAnEndOfControlOutsideOfThePlanIsMarkedAndStakesNothing(t *testing.T) {
	phases := halfHourPlan(5, 10, 25, 50)
	starts := walk(phases, 0, 0, 1000)
	_, plan := startSpacing(phases)
	if len(starts) != plan+1 || !starts[plan].NoControl {
		t.Fatalf("%d starts in a plan of %d: %+v", len(starts), plan, starts)
	}
	if p := laterParts(errorLaterStake, plan); !math.IsInf(p.logOf(plan), -1) {
		t.Errorf("a start beyond the plan stakes %v", math.Exp(p.logOf(plan)))
	}
}

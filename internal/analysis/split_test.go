package analysis_test

import (
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// Requests that reach an arm past the split are no reason to hold, and hide no
// canary that lost its own.
func TestWhatGoesPastTheSplitIsNoDisproportion(t *testing.T) {
	stable, canary := []rollout.Arm{rollout.Stable}, []rollout.Arm{rollout.Canary}
	both := []rollout.Arm{rollout.Stable, rollout.Canary}
	const weight = 25
	for name, c := range map[string]struct {
		stable, canary float64 // requests a tick
		unsplit        []rollout.Arm
		holds          bool
	}{
		"as due":                       {750, 250, nil, false},
		"the canary has twice its due": {750, 500, nil, true},
		"and testers":                  {750, 500, canary, false},
		"and a path is stable's alone, which does not make it so":       {750, 500, stable, true},
		"the canary has half of its due":                                {750, 125, nil, true},
		"and testers, who would make it more":                           {750, 125, canary, true},
		"stable has a path of its own, which makes the canary's less":   {1500, 250, stable, false},
		"stable has a path of its own and the canary testers":           {1500, 500, both, false},
		"a canary that has lost all of its users and still has testers": {1000, 20, canary, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configOf(rollout.ErrorRate)
			state, said, at := analysis.Start(cfg), analysis.Assessment{}, midnight
			for range 60 {
				at = at.Add(time.Duration(cfg.Analysis.Interval))
				state, said = analysis.Step(cfg, state, rollout.Tick{
					At: at, Weight: weight, Arms: rollout.Arms{Stable: served(c.stable, 3), Canary: served(c.canary, 1)}, Unsplit: c.unsplit,
				}, 0)
			}
			if holds := said.Hold != ""; holds != c.holds {
				t.Errorf("hold is %q, want one: %t", said.Hold, c.holds)
			}
		})
	}
}

package simulate

import (
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// Sight is what one check can see at most by the end of one phase.
type Sight struct {
	// Check is the index of the check in the plan, Phase that of the phase.
	Check, Phase int
	// Ratio is the smallest ratio to stable that is expected to be found when
	// traffic is as quiet as can be; 0 when none is.
	Ratio float64
	// Judged is false for a check that this version does not judge.
	Judged bool
}

// Power says what each check can see by each phase's end: a run whose every tick
// is the expected one is shown to the analysis, and what it says is detectable is
// taken. Real traffic is less even, so it sees less.
func Power(plan engine.Plan, t Traffic) []Sight {
	cfg := newPlayer(plan).plan.Judging()
	src := newSource(randOf(0, "power", 0), Scenario{Name: "power"}, t, cfg.Analysis)
	src.even = true
	interval := time.Duration(cfg.Analysis.Interval)
	state := analysis.Start(cfg)
	var out []Sight
	since := time.Duration(0)
	for phase, ph := range cfg.Phases {
		var said analysis.Assessment
		// The last tick of a phase and the first of the next are not shared.
		for left := time.Duration(ph.Duration); left > 0; left -= interval {
			arms, _ := src.tick(since, ph.Weight)
			since += interval
			state, said = analysis.Step(cfg, state, rollout.Tick{At: start.Add(since), Weight: ph.Weight, Arms: arms}, phase)
		}
		for i, r := range said.Results {
			out = append(out, Sight{Check: i, Phase: phase, Ratio: r.Detectable, Judged: r.Judged})
		}
	}
	return out
}

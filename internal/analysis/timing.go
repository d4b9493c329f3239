package analysis

import (
	"math"
	"slices"
	"time"

	"serin.dev/serin/internal/rollout"
)

// timing is how long the rules that are written in minutes last in this run.
// They were written for phases of half an hour and ticks of ten seconds; a run
// with phases of seconds (a demo, a test) scales them down, none scales up.
type timing struct {
	Interval time.Duration `json:"interval"`
	// Spacing is the time between two starts inside a phase.
	Spacing time.Duration `json:"spacing"`
	// Starts is how many starts the plan has, one at least in each phase.
	Starts int `json:"starts"`
	// WarmMin and WarmMax bound the canary's warm-up.
	WarmMin time.Duration `json:"warmMin"`
	WarmMax time.Duration `json:"warmMax"`
	// Gone is how long the canary's figures may be absent while stable's go on.
	Gone time.Duration `json:"gone"`
	// Horizon is the number of ticks in the plan.
	Horizon float64 `json:"horizon"`
	// Pace is how many times as short as half an hour the first phase is.
	Pace float64 `json:"pace,omitempty"`
}

// seconds is a time as it would be in a plan with phases of half an hour: what
// comes and goes within minutes there does so within seconds in a quick plan.
func (t timing) seconds(d time.Duration) float64 { return d.Seconds() * max(1, t.Pace) }

func timingOf(cfg Config) timing {
	interval := time.Duration(cfg.Analysis.Interval)
	if interval <= 0 {
		interval = time.Duration(rollout.DefaultInterval)
	}
	first := time.Duration(rollout.DefaultPhase)
	if len(cfg.Phases) > 0 && cfg.Phases[0].Duration > 0 {
		first = time.Duration(cfg.Phases[0].Duration)
	}
	var watched time.Duration
	for _, ph := range cfg.Phases {
		watched += time.Duration(ph.Duration)
	}
	spacing, starts := startSpacing(cfg.Phases)
	return timing{
		Interval: interval,
		Spacing:  spacing,
		Starts:   starts,
		WarmMin:  min(time.Minute, max(2*interval, first/10)),
		WarmMax:  min(10*time.Minute, max(5*interval, first/3)),
		Gone:     max(3*interval, min(time.Minute, max(6*interval, first/10))),
		Horizon:  max(1, float64(watched)/float64(interval)),
		Pace:     max(1, float64(rollout.DefaultPhase)/float64(first)),
	}
}

// startSpacing is the shortest time between starts at which the plan needs no
// more than stakedStarts of them, one at the beginning of each phase, and how
// many it needs.
func startSpacing(phases []rollout.Phase) (time.Duration, int) {
	var candidates []time.Duration
	for _, ph := range phases {
		for n := 1; n <= stakedStarts; n++ {
			// Rounded up, so that n of them cover the phase.
			candidates = append(candidates, (time.Duration(ph.Duration)+time.Duration(n)-1)/time.Duration(n))
		}
	}
	slices.Sort(candidates)
	for _, c := range candidates {
		if c <= 0 {
			continue
		}
		starts := 0.0
		for _, ph := range phases {
			starts += max(1, math.Ceil(float64(ph.Duration)/float64(c)))
		}
		if starts <= stakedStarts {
			return c, int(starts)
		}
	}
	return math.MaxInt64, stakedStarts
}

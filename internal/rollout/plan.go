package rollout

import "time"

// Plan is the ordered list of phases of a run. A run pins its plan when it
// starts.
type Plan struct {
	// Prepare bounds the time from the start of the run until the canary is
	// ready for its first request. 0: the default.
	Prepare Duration `json:"prepare"`
	// Phases are passed in order; their weights rise.
	Phases []Phase `json:"phases" jsonschema:"minItems=1"`
	// Early, when set, lets a phase end before its duration once every check
	// has proven the canary not inferior.
	Early *Early `json:"early,omitempty"`
	// Holdback is the percent of traffic that stays on stable through the last
	// phases, so that there is something to compare with until the end: with 5
	// no phase's weight is above 95. Promotion then moves the rest. 0: none.
	Holdback int `json:"holdback,omitempty" jsonschema:"example=5,minimum=0,maximum=50"`
	// Baseline runs fresh instances of stable's version beside the canary, as many
	// and as old, with the same share of the traffic, and compares the canary with
	// those wherever age matters: response times, processor time, memory.
	Baseline bool `json:"baseline,omitempty"`
	// HoldTimeout bounds a hold for missing data or an unready canary while
	// the canary is meant to have traffic; then the run rolls back.
	HoldTimeout Duration `json:"holdTimeout"`
	// Drain bounds the wait for requests in flight before instances stop.
	Drain Duration `json:"drain"`
}

// Phase is a weight and how long it is watched.
type Phase struct {
	// Weight is the percent of traffic routed to the canary, 1 to 100.
	Weight int `json:"weight" jsonschema:"required,example=5,minimum=1,maximum=100"`
	// Duration is how long the phase is watched.
	Duration Duration `json:"duration"`
	// Approval makes the run wait for a person before this phase begins.
	Approval bool `json:"approval,omitempty"`
}

// Early is the rule for leaving a phase before its duration.
type Early struct {
	// After is the shortest time a phase lasts however good its figures are.
	After Duration `json:"after" jsonschema:"required,example=5m"`
}

// Defaults of the source document.
const (
	DefaultPrepare     = Duration(10 * time.Minute)
	DefaultPhase       = Duration(30 * time.Minute)
	DefaultHoldTimeout = Duration(5 * time.Minute)
	DefaultDrain       = Duration(30 * time.Second)
	DefaultInterval    = Duration(10 * time.Second)
	DefaultAlpha       = 0.01
)

// maxHoldback is the most that may be held back: the last phase is to be that of
// the canary.
const maxHoldback = 50

// holdBack lowers the weights that would leave stable less than what is held
// back. A holdback out of bounds is left for validation to name.
func (p *Plan) holdBack() {
	if p.Holdback < 1 || p.Holdback > maxHoldback {
		return
	}
	for i := range p.Phases {
		if w := &p.Phases[i].Weight; *w <= Full {
			*w = min(*w, Full-p.Holdback)
		}
	}
}

// BaselineWeight is the percent of traffic that goes to the baseline while the
// canary gets so much: as much as the canary, and at most half of what the canary
// leaves, so that stable stays warm for the moment when all of it comes back.
func (p Plan) BaselineWeight(canary int) int {
	if !p.Baseline || canary <= 0 {
		return 0
	}
	return max(0, min(canary, (Full-canary)/2))
}

// DefaultPhases returns 5, 10, 25, 50 and 100 % of thirty minutes each.
func DefaultPhases() []Phase {
	var phases []Phase
	for _, w := range []int{5, 10, 25, 50, 100} {
		phases = append(phases, Phase{Weight: w, Duration: DefaultPhase})
	}
	return phases
}

// Watched returns how long the phases last together when none is left early or
// held.
func (p Plan) Watched() time.Duration {
	var d time.Duration
	for _, ph := range p.Phases {
		d += time.Duration(ph.Duration)
	}
	return d
}

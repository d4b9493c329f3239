package rollout

import "time"

// Plan is the ordered list of phases of a run. A run pins its plan when it
// starts.
type Plan struct {
	// Prepare bounds the time from the start of the run until the canary is
	// ready for its first request.
	Prepare Duration `json:"prepare"`
	// Phases are passed in order; their weights rise.
	Phases []Phase `json:"phases" jsonschema:"minItems=1"`
	// Early, when set, lets a phase end before its duration once every check
	// has proven the canary not inferior.
	Early *Early `json:"early,omitempty"`
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

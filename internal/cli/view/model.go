package view

import (
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// Model is everything that one view of a run shows.
type Model struct {
	Rollout string
	// Run is the run's id, Number its place among the rollout's runs.
	Run           string
	Number        int
	StableVersion string
	CanaryVersion string

	Status engine.Status
	Stage  engine.Stage
	// Now is the moment shown; EndedAt is zero until the run has ended.
	Now, StartedAt, EndedAt time.Time

	Phases []Phase
	// Current is the phase being watched, counted from 0; -1 before the first.
	Current int
	// Left is how long the phases still take when nothing holds the run.
	Left time.Duration

	// Asked is the canary's weight as decided, InEffect what the router says;
	// nil when it does not say.
	Asked    int
	InEffect *int
	// Seen is the canary's share of the latest requests, in percent; nil
	// without requests.
	Seen *float64

	Stable, Canary Arm
	// Latest says that the arms' figures are those of now: not from before the
	// weight changed last.
	Latest bool
	Checks []Check
	// Hold is nil unless the weight is being kept where it is for a reason.
	Hold *Hold
	// Decisions are the latest ones, newest first.
	Decisions []Decision
	// Report is where the report is, once there is one.
	Report string
}

// Phase is one phase of the timeline.
type Phase struct {
	Weight   int
	Duration time.Duration
	State    PhaseState
	// Watched is how much of the duration has passed.
	Watched time.Duration
}

// PhaseState is how far a phase is.
type PhaseState int

const (
	Ahead PhaseState = iota
	Watching
	Passed
	// Stopped is the phase in which the run was rolled back.
	Stopped
)

// Arm is what one version did lately. A nil figure is not known.
type Arm struct {
	Ready, Instances *int
	// PerSecond is the rate of requests, ErrorRate a fraction of them.
	PerSecond, ErrorRate *float64
	P50, P95, P99        *time.Duration
}

// Check is one check's standing.
type Check struct {
	Name    string
	Type    rollout.CheckType
	Verdict analysis.Verdict
	Judged  bool
	// Ratio is canary : stable, Low and High its bounds; 0 when not known.
	Ratio, Low, High float64
	// Margin is the ratio from which the check's harm is not tolerated.
	Margin float64
	// Evidence of harm, and how much is needed to act on it.
	Evidence, Needed float64
	// Proof is the evidence in this phase that the canary is not worse; Proven
	// says that it is enough.
	Proof      float64
	Proven     bool
	Acceptable bool
	Message    string
	// Explained says what the verdict rests on and what it could still miss.
	Explained string
	// NewClasses are the classes of exceptions that only the canary has had.
	NewClasses []analysis.ExceptionClass
}

// Hold is a reason to keep the weight where it is.
type Hold struct {
	Rule    string
	Message string
	For     time.Duration
	// Person: it waits for somebody.
	Person bool
	// Left is the time until it ends in a rollback; 0 when it does not.
	Left time.Duration
	// Do are the commands that end it.
	Do []string
}

// Decision is one decision in words.
type Decision struct {
	// Seq counts the run's decisions that are worth telling, from 1.
	Seq  int
	At   time.Time
	Kind engine.Kind
	// Phase counts from 1, Weight is what the canary gets from then on.
	Phase, Weight int
	Text          string
}

// Ended reports whether the run is over.
func (m Model) Ended() bool {
	return m.Status == engine.Promoted || m.Status == engine.RolledBack
}

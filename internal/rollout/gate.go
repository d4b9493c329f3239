package rollout

// OnFailure says what a failed test or hook means for the run.
type OnFailure string

const (
	FailRollback OnFailure = "rollback"
	FailHold     OnFailure = "hold"
	FailIgnore   OnFailure = "ignore"
)

// Test is a continuous test: it runs again and again through every phase
// against the canary directly.
type Test struct {
	// Name is how the test is called in records and reports.
	Name string `json:"name" jsonschema:"required,example=checkout"`
	// Interval is the time between the starts of two runs of the test.
	Interval Duration `json:"interval,omitempty"`
	// Timeout bounds one run of the test; at most the interval.
	Timeout Duration `json:"timeout,omitempty"`
	// Failures is how many failures in a row count as failed.
	Failures int `json:"failures,omitempty"`
	// OnFailure says what a failed test means for the run.
	OnFailure OnFailure `json:"onFailure,omitempty"`
	// Adapter is how the test is carried out; exactly one.
	Adapter `json:",inline"`
}

// Point is a place in a run where hooks are called.
type Point string

const (
	BeforeCanary  Point = "beforeCanary"
	BeforePhase   Point = "beforePhase"
	BeforePromote Point = "beforePromote"
	AfterPromote  Point = "afterPromote"
	OnRollback    Point = "onRollback"
)

// Points lists the hook points in the order a run meets them.
func Points() []Point {
	return []Point{BeforeCanary, BeforePhase, BeforePromote, AfterPromote, OnRollback}
}

// ApprovalKind is the hook adapter that is a person: the hook passes when
// somebody promotes. It needs no code of its own.
const ApprovalKind = "approval"

// Hook runs once at its point.
type Hook struct {
	// Name is how the hook is called in records and reports.
	Name string `json:"name" jsonschema:"required,example=migrate"`
	// At is the point of the run at which the hook is called.
	At Point `json:"at" jsonschema:"required"`
	// Weights limits a BeforePhase hook to the phases of these weights; empty
	// means every phase.
	Weights []int `json:"weights,omitempty"`
	// Timeout bounds one call; for an approval, the wait (0: no bound).
	Timeout Duration `json:"timeout,omitempty"`
	// Retries is how often a failed call is tried again before it counts.
	Retries int `json:"retries,omitempty"`
	// OnFailure says what a failed hook means for the run.
	OnFailure OnFailure `json:"onFailure,omitempty"`
	Adapter   `json:",inline"`
}

// Notifier is one receiver of messages about runs.
type Notifier struct {
	// Name is how the receiver is called in records; default: its adapter's
	// kind, numbered when there are several.
	Name string `json:"name,omitempty"`
	// Events limits what is told; empty means everything.
	Events  []Event `json:"events,omitempty"`
	Adapter `json:",inline"`
}

// Event is an occasion on which people are told something.
type Event string

const (
	Started    Event = "started"
	PhaseBegan Event = "phase"
	Held       Event = "held"
	Waiting    Event = "waiting" // for a person
	RolledBack Event = "rolledBack"
	Promoted   Event = "promoted"
)

// Events lists every event, in the order a run meets them.
func Events() []Event {
	return []Event{Started, PhaseBegan, Held, Waiting, RolledBack, Promoted}
}

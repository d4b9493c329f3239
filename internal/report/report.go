// Package report turns the record of a run into what people read: Markdown and
// one self-contained HTML page.
//
// It is given the record's lines and the evidence gathered at a rollback. It
// must not know a store, an archive or a clock: the same record gives the same
// report.
package report

import (
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// Evidence is what was gathered outside the record when a run rolled back, as
// evidence.json holds it. It never holds a secret: of the environment only the
// names that differ.
type Evidence struct {
	Changes     []Change  `json:"changes,omitempty"`
	LogExcerpts []Excerpt `json:"logExcerpts,omitempty"`
	// Events are process or pod events, oldest first.
	Events []string `json:"events,omitempty"`
	// Notes say what could not be gathered.
	Notes []string `json:"notes,omitempty"`
}

// Change is one difference between the two versions.
type Change struct {
	What   string `json:"what"`
	Stable string `json:"stable"`
	Canary string `json:"canary"`
}

// Excerpt is the end of one instance's log.
type Excerpt struct {
	Instance string `json:"instance"`
	Arm      string `json:"arm"`
	Text     string `json:"text"`
}

// Outcome is how a run stands at the end of its record.
type Outcome string

const (
	Promoted   Outcome = "promoted"
	RolledBack Outcome = "rolled back"
	// Unfinished: the record ends before the run does.
	Unfinished Outcome = "not over"
)

// Report is everything that is told about a run. Lists that could grow without
// bound keep their beginning and end, and say how much was left out.
type Report struct {
	Header   record.Header
	Outcome  Outcome
	EndedAt  time.Time // time of the last line while the run is not over
	Headline string

	// Cause is nil unless the run rolled back.
	Cause     *Cause
	Felt      Felt
	Moves     []Move
	Phases    []PhaseRow
	Checks    []CheckRow
	Gates     []GateRow
	Notices   []record.Notification
	Timeline  []Happening
	Unseen    []string
	Checklist []Step
	Evidence  Evidence
	// Exceptions were seen in the canary and not in stable.
	Exceptions []ExceptionRow
	// Stacks are the parts of the canary's logs that look like a stack.
	Stacks []Excerpt

	Lines, Decisions int

	weights []weightPoint
	traffic trafficSeries
}

// Cause is what probably was wrong, drawn from the deciding reason.
type Cause struct {
	// Suspect is one sentence, Rule or Check what decided.
	Suspect     string
	Rule, Check string
	// Because holds the reasons with their numbers, the deciding one first.
	Because []string
	// Where says where to look first.
	Where []string
	// Samples are the failing check's first, worst and last ticks.
	Samples []SampleRow
}

// SampleRow is one tick of both arms.
type SampleRow struct {
	Label          string
	At             time.Time
	Weight         int
	Stable, Canary Figures
}

// Figures are one arm's over some time.
type Figures struct {
	Known            bool
	Requests, Errors float64
	P50, P95, P99    float64 // seconds; 0 when not measured
}

// Rate is the error rate; 0 without requests.
func (f Figures) Rate() float64 {
	if f.Requests <= 0 {
		return 0
	}
	return f.Errors / f.Requests
}

// Felt is what users noticed.
type Felt struct {
	Requests, CanaryRequests float64
	// CanaryErrors were counted; Excess is how many more these are than stable
	// would have made of the same requests.
	CanaryErrors, Excess float64
	// FirstSign is the first tick of the streak that led to the rollback; zero
	// when there was none. Decided and AtZero are zero unless rolled back.
	FirstSign, Decided, AtZero time.Time
}

// Move is one transition.
type Move struct {
	At       time.Time
	From, To string
	Weight   int
	Why, Who string
	// Skipped counts moves left out before this one.
	Skipped int
}

// PhaseRow is one phase as it went.
type PhaseRow struct {
	Phase, Weight  int
	From, To       time.Time // From is zero for a phase never reached
	Planned        time.Duration
	Ended          string
	Stable, Canary Figures
}

// CheckRow is one check over the whole run.
type CheckRow struct {
	Name   string
	Type   rollout.CheckType
	Margin float64 // ratio canary : stable; 0 when the check has none
	// Last is the latest result; Judged says whether it ever was judged.
	Last   record.Decision
	Result engine.Reason
	Judged bool
	// Peak is the largest evidence and when.
	Peak   float64
	PeakAt time.Time

	// Finest is the smallest ratio that would have been found by the end of the
	// phase FinestIn, the best of the run; 0 when it was never known.
	Finest   float64
	FinestIn int

	points []checkPoint
	// first is the first tick of the streak beyond the margin, if it is in one.
	first, worst, last *SampleRow
	worstBy            float64
}

// GateRow is one test or hook.
type GateRow struct {
	Name, Point    string
	Runs, Failures int
	Last           record.Gate
	FirstFailure   *record.Gate
}

// Happening is one entry of the timeline.
type Happening struct {
	At                time.Time
	Kind, Text, Actor string
	Failed            bool
}

// Step is one box of the checklist.
type Step struct {
	Group, Text string
}

// ExceptionRow is one class of exceptions.
type ExceptionRow struct {
	Class    string
	Count    float64
	First    time.Time
	Critical bool
	Stack    string
}

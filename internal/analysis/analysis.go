// Package analysis turns ticks and checks into verdicts: is the canary worse
// than stable, is it proven not to be, and what could not be seen. The method
// is one tick-based e-process a check, so a verdict stays valid however often
// it is looked at; docs/adr says why.
//
// It is a pure room: the only clock is the tick's own time, and the state is
// plain data that is saved with the run. It knows no phases' durations, no
// weights to come and no actions; the engine decides what a verdict means.
package analysis

import (
	"time"

	"serin.dev/serin/internal/rollout"
)

// Verdict is what one check says after a tick.
type Verdict string

const (
	Pass         Verdict = "pass"
	Inconclusive Verdict = "inconclusive"
	Fail         Verdict = "fail"
)

// Assurance is what a check's bound on false rollbacks rests on.
type Assurance string

const (
	// Exact: on proof alone, however the figures are distributed within a tick.
	Exact Assurance = "exact"
	// Approximate: on noise that is estimated from the run too.
	Approximate Assurance = "approximate"
)

// Result is one check's verdict with its evidence.
type Result struct {
	Check   string            `json:"check"`
	Type    rollout.CheckType `json:"type"`
	Verdict Verdict           `json:"verdict"`
	// Judged is false for a check that this version does not judge or whose
	// figures were never measured; such a check neither passes nor fails.
	Judged bool `json:"judged"`
	// Ratio is the estimate canary : stable over the window of the best start;
	// 0 when there is none yet. Low and High bound it (confidence sequence at
	// the check's alpha); 0 when unknown.
	Ratio float64 `json:"ratio,omitempty"`
	Low   float64 `json:"low,omitempty"`
	High  float64 `json:"high,omitempty"`
	// Evidence is the e-value against "no worse than stable"; Needed is the
	// threshold 1/alpha of the check.
	Evidence float64 `json:"evidence"`
	Needed   float64 `json:"needed"`
	// NonInferiority is the e-value for "not worse than the promotion margin"
	// in this phase, NonInferior whether it has reached 1/beta.
	NonInferiority float64 `json:"nonInferiority,omitempty"`
	NonInferior    bool    `json:"nonInferior,omitempty"`
	// Acceptable says whether the phase may end now by this check alone
	// although NonInferior is not proven (section 2.6: low evidence at small
	// shares, estimate within the promotion margin at larger ones).
	Acceptable bool `json:"acceptable,omitempty"`
	// VetoOnly marks a check that can only speak against the canary: it is never
	// proven not inferior, and Acceptable is enough of it.
	VetoOnly bool `json:"vetoOnly,omitempty"`
	// Since is the start of the window that carries the evidence.
	Since *time.Time `json:"since,omitempty"`
	// Detectable is the smallest ratio that would be detected by the end of
	// the phase at the current traffic; 0 when unknown.
	Detectable float64 `json:"detectable,omitempty"`
	// Affected is the estimated number of requests harmed so far.
	Affected float64 `json:"affected,omitempty"`
	// NewClasses are the classes of exceptions that only the canary has had, the
	// worst first; a check of exceptions has them.
	NewClasses []ExceptionClass `json:"newClasses,omitempty"`
	// SinceWeight is the weight at Since.
	SinceWeight int `json:"sinceWeight,omitempty"`
	// Noise is φ: by how much the figures are restless beyond what chance alone
	// makes of events that come one by one; 1: not at all, 0: not known.
	Noise float64 `json:"noise,omitempty"`
	// Spread is ω: what instances of one version differ by, as a standard
	// deviation of the logarithm of the ratio; 0 when nothing is known of it.
	Spread float64 `json:"spread,omitempty"`
	// Assurance says what the bound on false rollbacks rests on.
	Assurance Assurance `json:"assurance,omitempty"`
	// Flags qualify the verdict, such as "low-evidence", "approximate",
	// "single-instance", "no-control".
	Flags []string `json:"flags,omitempty"`
	// Message is the verdict in one line for a person.
	Message string `json:"message"`
}

// Data says what the latest ticks contained.
type Data string

const (
	// DataFresh: both arms were measured in this tick.
	DataFresh Data = "fresh"
	// DataMissing: three scrapes in a row lacked an arm; hold.
	DataMissing Data = "missing"
	// DataCanaryGone: the canary's figures have been absent for a minute while
	// stable's go on; treat as a crash.
	DataCanaryGone Data = "canaryGone"
	// DataLate: a scrape was missed, not yet three in a row.
	DataLate Data = "late"
	// DataNoTraffic: both arms reported, and no request reached the canary in
	// this phase yet.
	DataNoTraffic Data = "noTraffic"
)

// Assessment is everything that one tick said.
type Assessment struct {
	Results []Result `json:"results"`
	Data    Data     `json:"data"`
	// Missing says which check's figures are late or missing, and why, where it
	// is not an arm's that are.
	Missing string `json:"missing,omitempty"`
	// Hold, when not empty, is a reason to keep the weight where it is that is
	// not a missing sample: the split check's alarm, or a critical exception.
	// HoldRule is the reason's name: empty for the split.
	Hold     string `json:"hold,omitempty"`
	HoldRule string `json:"holdRule,omitempty"`
}

// HoldCritical is the rule of a hold for a critical exception.
const HoldCritical = "criticalException"

// Config is pinned when a run starts.
type Config struct {
	Analysis rollout.Analysis
	Phases   []rollout.Phase
	// Baseline says that the plan has one; a tick without its figures is said to
	// lack them.
	Baseline bool
	// Terse lets checks leave out of results what only people read: bounds, flags,
	// messages and what could be detected. Evidence that decides nothing is left
	// out too, or is a bound of it from above. It takes half of the time. Verdicts
	// are the same.
	Terse bool
	// Sound says that all ticks are known to pass Validate, as those are that a
	// program draws by itself.
	Sound bool
}

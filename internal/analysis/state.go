package analysis

import (
	"math"
	"time"

	"serin.dev/serin/internal/rollout"
)

// State is everything remembered between ticks. It is plain data: written as
// JSON and read back it is the same state to the last bit, so a restart changes
// no decision.
type State struct {
	// At is the time of the latest tick, Elapsed the analysis time so far: the
	// sum of the ticks' distances, each at least 0.
	At      time.Time     `json:"at"`
	Elapsed time.Duration `json:"elapsed"`
	// Phase is the index of the phase that the latest tick belonged to, -1
	// before the first; PhaseBegan is the analysis time at which it began.
	Phase      int           `json:"phase"`
	PhaseBegan time.Duration `json:"phaseBegan"`
	// Weight is the latest tick's.
	Weight int `json:"weight"`
	// Starts are the times from which a fault is looked for; StartedAt is the
	// latest one's analysis time.
	Starts    []StartPoint  `json:"starts"`
	StartedAt time.Duration `json:"startedAt"`

	Timing timing       `json:"timing"`
	Data   dataState    `json:"data"`
	Split  splitCheck   `json:"split"`
	Checks []checkState `json:"checks"`
}

// checkState is what one check remembers. Exactly one of the pointers is set
// for a check that this version judges, none for another.
type checkState struct {
	// Alpha is the check's share of the run's error probability.
	Alpha float64 `json:"alpha,omitempty"`
	// Seen says that the check's figures were measured at least once, Missed
	// how many ticks in a row with requests have lacked them since.
	Seen   bool `json:"seen,omitempty"`
	Missed int  `json:"missed,omitempty"`

	Errors  *errorCheck   `json:"errors,omitempty"`
	Latency *latencyCheck `json:"latency,omitempty"`
	Gauge   *gaugeCheck   `json:"gauge,omitempty"`

	Business   *businessCheck  `json:"business,omitempty"`
	Complaints *complaintCheck `json:"complaints,omitempty"`
	Exceptions *exceptionCheck `json:"exceptions,omitempty"`
}

// shareOf is a check type's part of the error probability among the types that
// a file asks for; 0 for a type that is not judged yet.
func shareOf(t rollout.CheckType) float64 {
	switch t {
	case rollout.ErrorRate:
		return 0.30
	case rollout.ResponseTime:
		return 0.20
	case rollout.CPU, rollout.Memory:
		return 0.05
	case rollout.Business, rollout.Complaints:
		return 0.10
	case rollout.Exceptions:
		return 0.20
	}
	return 0
}

// marginOf is a check's margin as the size of harm, a ratio above 1: the default
// of its type when the check has none that harm could be measured by, and 1 for
// a type of which any increase is harm. Where less is worse, it is the ratio
// stable : canary.
func marginOf(c rollout.Check) float64 {
	m, usual := c.Rollback.AsRatio(), rollout.DefaultMargin(c.Type).AsRatio()
	switch {
	case usual == 0:
		return 1
	case usual < 1 && m > 0 && m < 1:
		return 1 / m
	case usual < 1:
		return 1 / usual
	case m > 1:
		return m
	}
	return usual
}

// Start returns the state before the first tick.
func Start(cfg Config) State {
	s := State{Phase: -1, Timing: timingOf(cfg), Split: newSplitCheck()}
	alpha := cfg.Analysis.Alpha
	if alpha <= 0 || alpha >= 1 {
		alpha = rollout.DefaultAlpha
	}
	// Checks of one type share the type's part; the parts are scaled so that
	// those of the types asked for and judged make up the whole.
	number := map[rollout.CheckType]float64{}
	var whole float64
	for _, c := range cfg.Analysis.Checks {
		if number[c.Type] == 0 {
			whole += shareOf(c.Type)
		}
		number[c.Type]++
	}
	for _, c := range cfg.Analysis.Checks {
		var cs checkState
		if share := shareOf(c.Type); share > 0 {
			cs.Alpha = alpha * share / whole / number[c.Type]
		}
		switch c.Type {
		case rollout.ErrorRate:
			cs.Errors = newErrorCheck(s.Timing.Starts, marginOf(c))
		case rollout.ResponseTime:
			cs.Latency = newLatencyCheck(s.Timing.Starts)
		case rollout.CPU, rollout.Memory:
			cs.Gauge = newGaugeCheck(c.Type, s.Timing, cfg.Phases)
		case rollout.Business:
			cs.Business = newBusinessCheck(s.Timing.Starts)
		case rollout.Complaints:
			cs.Complaints = newComplaintCheck(s.Timing.Starts)
		case rollout.Exceptions:
			cs.Exceptions = newExceptionCheck(s.Timing.Starts)
		}
		s.Checks = append(s.Checks, cs)
	}
	return s
}

// clone returns a state that shares no memory with s.
func (s State) clone() State {
	s.Starts = append(make([]StartPoint, 0, maxStarts), s.Starts...)
	s.Split = s.Split.clone()
	checks := make([]checkState, len(s.Checks))
	for i, c := range s.Checks {
		if c.Errors != nil {
			c.Errors = c.Errors.clone()
		}
		if c.Latency != nil {
			c.Latency = c.Latency.clone()
		}
		if c.Gauge != nil {
			c.Gauge = c.Gauge.clone()
		}
		if c.Business != nil {
			c.Business = c.Business.clone()
		}
		if c.Complaints != nil {
			c.Complaints = c.Complaints.clone()
		}
		if c.Exceptions != nil {
			c.Exceptions = c.Exceptions.clone()
		}
		checks[i] = c
	}
	s.Checks = checks
	return s
}

// vetoes says that the check can only speak against the canary. Its figures may
// come more rarely than ticks do, and a tick without them lacks nothing.
func (c *checkState) vetoes() bool { return c.Errors == nil && c.Latency == nil }

// judge is what a check of a type that is judged can do.
type judge interface {
	// newPhase forgets what holds for one phase only.
	newPhase()
	// mark begins another start.
	mark()
	// add takes in a tick and says whether the check's figures were in it.
	add(r rules, t reading) (measured bool)
	// result says what the check makes of everything so far; the caller fills
	// in what every check has.
	result(r rules, t reading) Result
}

func (c *checkState) judge() judge {
	switch {
	case c.Errors != nil:
		return c.Errors
	case c.Latency != nil:
		return c.Latency
	case c.Gauge != nil:
		return c.Gauge
	case c.Business != nil:
		return c.Business
	case c.Complaints != nil:
		return c.Complaints
	case c.Exceptions != nil:
		return c.Exceptions
	}
	return nil
}

// rules is what a judge is asked: its check and what the run has pinned for it.
type rules struct {
	check  rollout.Check
	margin float64
	alpha  float64
	timing timing
	// at is the tick's time.
	at time.Time
	// starts are those begun so far.
	starts []StartPoint
	// phaseLength is the current phase's, 0 when unknown.
	phaseLength time.Duration
	// terse: nobody reads the result's words.
	terse bool
}

// tolerated is the ratio of the null hypothesis: a strict check asks for
// evidence of harm beyond its margin, any other for evidence of harm.
func (r rules) tolerated() float64 {
	if r.check.Strict {
		return r.margin
	}
	return 1
}

// enough says whether evidence of so much on the logarithm, give or take what
// floats lose, may decide.
func (r rules) enough(log float64) bool { return log > -math.Log(r.alpha)-1e-6 }

// reading is a tick as judges see it.
type reading struct {
	// canary and stable are nil when the arm did not report. stable is all of its
	// version: with a baseline, old is the part of it that was there before.
	canary, stable *rollout.Sample
	old, baseline  *rollout.Sample
	// lacksBaseline: the plan has one at this weight and the tick has not.
	lacksBaseline bool
	weight        int
	// history is of the time before the run.
	history *rollout.History
	// control says whether stable has traffic to compare with.
	control bool
	// dt is the time since the tick before, phaseElapsed the time in the phase.
	dt, phaseElapsed time.Duration
}

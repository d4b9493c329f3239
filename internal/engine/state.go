package engine

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// Status is where a run is.
type Status string

const (
	// Preparing: the canary is being made ready at weight 0.
	Preparing Status = "preparing"
	// Progressing: a phase is being watched.
	Progressing Status = "progressing"
	// Promoting: the last phase has passed, the canary is becoming stable.
	Promoting Status = "promoting"
	// RollingBack: traffic goes back to stable, then the canary is removed.
	RollingBack Status = "rollingBack"

	Promoted   Status = "promoted"
	RolledBack Status = "rolledBack"
)

// Stage is how far a run has come inside its status.
type Stage string

const (
	// Creating: the canary's instances are being started.
	Creating Stage = "creating"
	// Admitting: what must be true before the next weight is being asked:
	// hooks, approvals, capacity. The weight stays where it is meanwhile.
	Admitting Stage = "admitting"

	// Switching: the stable arm is being pointed at the tested instances.
	Switching Stage = "switching"
	// Returning: the canary's weight is going to 0.
	Returning Stage = "returning"
	// Draining: requests in flight are finishing.
	Draining Stage = "draining"
	// Gathering: evidence and logs are collected before instances go.
	Gathering Stage = "gathering"
	// Removing: the instances that are not needed any more are going.
	Removing Stage = "removing"
	// Finishing: the last hooks.
	Finishing Stage = "finishing"
)

// State is what is remembered of a run between two looks. It is plain data:
// written as JSON and read back it is the same state.
//
// Durations marked "engine time" are measured on the run's own clock, Elapsed,
// which only ever moves forward and by at most a few intervals a look. So
// neither a clock set back nor one that leaps can end a phase.
type State struct {
	Status Status `json:"status"`
	Stage  Stage  `json:"stage,omitempty"`
	// Phase is the index of the current phase, from 0.
	Phase int `json:"phase"`
	// At is the time of the latest observation.
	At time.Time `json:"at"`
	// Elapsed is the engine time since the run began.
	Elapsed rollout.Duration `json:"elapsed"`
	// Entered is the engine time at which status, phase or stage last changed.
	Entered rollout.Duration `json:"entered"`
	// Watched is how long the current phase has been watched: its weight in
	// effect and figures arriving.
	Watched rollout.Duration `json:"watched"`
	// Fresh is the engine time of the latest tick with figures of both arms.
	Fresh rollout.Duration `json:"fresh"`
	// Seen is the weight last seen in effect; 0 until a weight above 0 has been,
	// and again after every return from 0.
	Seen int `json:"seen"`
	// AtZero is the router's revision when the weight was last seen at 0.
	AtZero string `json:"atZero,omitempty"`
	// ByInstances: the router makes weights by the number of instances, so the
	// canary grows after its weight has risen and not before.
	ByInstances bool `json:"byInstances,omitempty"`
	// CanaryAsked: the canary has been asked for, so it may exist.
	CanaryAsked bool `json:"canaryAsked,omitempty"`
	// Suspended: the canary has lost the capacity for its weight, so it gets
	// none until it is ready again.
	Suspended bool `json:"suspended,omitempty"`
	// Blind: that began with the first look after a restart, without a sight of
	// the weight, so whether it had been lowered before is not known.
	Blind bool `json:"blind,omitempty"`
	// Yield is the weight that somebody else set and that is left alone.
	Yield *int `json:"yield,omitempty"`
	// YieldedTo names who set it, as the router told when it saw that.
	YieldedTo string `json:"yieldedTo,omitempty"`
	// Paused is set between a person's pause and resume.
	Paused *Paused `json:"paused,omitempty"`
	// Hold says why the weight stays where it is, if it does.
	Hold *Held `json:"hold,omitempty"`
	// Skip: a person ended the current phase; SkipAll: every phase.
	Skip    *Paused `json:"skip,omitempty"`
	SkipAll *Paused `json:"skipAll,omitempty"`
	// Passes has an entry for every phase that has passed.
	Passes []PhasePass `json:"passes,omitempty"`
	// Jobs holds what is known of every job that was asked for, by key.
	Jobs map[string]JobState `json:"jobs,omitempty"`
	// Complaints are what people reported by command.
	Complaints Complaints `json:"complaints,omitzero"`
	// Baseline is how the baseline is, in a plan with one.
	Baseline Baseline `json:"baseline,omitzero"`
	// Pressing: the latest tick looked like a gross fault, so the one after it is
	// short (Plan.Tick).
	Pressing bool `json:"pressing,omitempty"`
	// Cause is why the run rolls back; never overwritten.
	Cause []Reason `json:"cause,omitempty"`

	Analysis analysis.State `json:"analysis"`
	// Assessment is what the latest tick said.
	Assessment analysis.Assessment `json:"assessment"`
}

// Paused says who asked for something and why.
type Paused struct {
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// The rules whose holds a person has asked for, in the file or by an intent.
const (
	HoldApproval = "approval"
	HoldPaused   = "paused"
)

// HoldMoved is the rule whose hold begins when somebody else sets the weight.
const HoldMoved = "weightMoved"

// Held is a hold.
type Held struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	// Since is the engine time at which the hold for this rule began.
	Since rollout.Duration `json:"since"`
	// Person: it may take somebody to end it.
	Person bool `json:"person,omitempty"`
	// Timed: it ends in a rollback after the plan's hold timeout.
	Timed bool `json:"timed,omitempty"`
}

// PhasePass is the durable pass that allows the phase after it.
type PhasePass struct {
	Phase   int       `json:"phase"`
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"` // a person, else the checks
	Because []Reason  `json:"because,omitempty"`
}

// JobState is what is known of a job.
type JobState struct {
	// Asked is the engine time at which the job was first wanted.
	Asked   rollout.Duration `json:"asked"`
	Done    bool             `json:"done,omitempty"`
	Passed  bool             `json:"passed,omitempty"`
	Message string           `json:"message,omitempty"`
}

// Start is the state of a run that has just been created.
func Start(p Plan) State {
	return State{Status: Preparing, Analysis: analysis.Start(p.Judging())}
}

// StartWatching is the state of a run whose canary is there already and whose
// first phase begins at the given time: how the judge stream begins.
func StartWatching(p Plan, at time.Time) State {
	s := Start(p)
	s.Status, s.At, s.CanaryAsked = Progressing, at, true
	s.Baseline.Up = p.Baseline
	return s
}

// Ended reports whether the run is over.
func (s State) Ended() bool { return s.Status == Promoted || s.Status == RolledBack }

// Waiting reports whether the run goes on only when a person acts.
func (s State) Waiting() bool { return !s.Ended() && s.Hold != nil && s.Hold.Person }

// Passed reports whether the current phase has its durable pass.
func (s State) Passed() bool {
	return slices.ContainsFunc(s.Passes, func(p PhasePass) bool { return p.Phase == s.Phase })
}

// clone returns a copy that shares nothing that Decide changes.
func (s State) clone() State {
	s.Jobs = maps.Clone(s.Jobs)
	s.Passes = slices.Clone(s.Passes)
	return s
}

// Position names where a run is, in a form that changes exactly when the run
// makes a transition.
func (s State) Position() string {
	pos := string(s.Status)
	if s.Status == Progressing {
		pos += " " + strconv.Itoa(s.Phase+1)
	}
	if s.Stage != "" {
		pos += " " + string(s.Stage)
	}
	if s.Hold != nil {
		pos += " held:" + s.Hold.Rule
	}
	return pos
}

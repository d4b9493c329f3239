// Package engine decides. Decide is a pure function from a run's pinned plan,
// its state and one observation to the next state and everything that should
// be true outside: no I/O, no clock, no goroutine, no randomness. The same
// three arguments give the same decision, byte for byte, on any machine and on
// any day, which is what makes a record replayable.
//
// It knows no adapter, no store and no process; the runner observes, calls
// Decide, saves and acts.
package engine

import (
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// Kind is what a decision amounts to.
type Kind string

const (
	Wait     Kind = "wait"
	Proceed  Kind = "proceed"
	Hold     Kind = "hold"
	Rollback Kind = "rollback"
	Complete Kind = "complete"
)

// Decision is what Decide returns.
//
// The order in which a runner carries it out is part of the contract. When
// Want.Weight is above the weight observed, Next is saved and recorded first
// and acted on only when the save succeeded. When it is below, the weight is
// moved first and nothing is waited for: no readiness, no metric, no hook, no
// notifier, no archive and no store.
type Decision struct {
	Kind Kind
	// Next is the state to save. It replaces the state passed to Decide.
	Next State
	// Want is everything that should be true outside. It follows from Next
	// alone (Plan.Want), so after a crash between save and act the next tick
	// asserts it again.
	Want Want
	// Because holds the reasons with their evidence, the deciding one first.
	Because []Reason
	// WakeAt is when to look again at the latest.
	WakeAt time.Time
	// Answered says what became of each intent in the observation.
	Answered []Answer
}

// Share is the percent of traffic that the new version should get next: the
// weight that people and the judge stream are told.
func (d Decision) Share() int {
	if d.Kind == Complete {
		return rollout.Full
	}
	return d.Want.Weight
}

// Reason is one line of Because: a check's result, or a rule with its message.
type Reason struct {
	// Rule names the engine's rule when the reason is not a check.
	Rule string `json:"reason,omitempty"`
	*analysis.Result
	Message string `json:"message"`
}

// Against reports whether the reason speaks against the canary: a rule of the
// engine, or a check that failed. The other checks stand beside it for the record.
func (r Reason) Against() bool { return r.Result == nil || r.Verdict == analysis.Fail }

// Answer is what became of an intent.
type Answer struct {
	ID       string `json:"id"`
	Accepted bool   `json:"accepted"`
	Message  string `json:"message"`
}

// Want is everything that should be true outside.
type Want struct {
	// Weight is the percent of requests routed to the canary arm.
	Weight int `json:"weight"`
	// Stable and Canary are the capacities of the two groups of instances in
	// percent of all traffic; 0 means that the group should not exist.
	Stable int `json:"stable"`
	Canary int `json:"canary"`
	// Baseline is the capacity of the fresh instances of stable's version, and
	// BaselineWeight the percent of requests that they get.
	Baseline       int `json:"baseline,omitempty"`
	BaselineWeight int `json:"baselineWeight,omitempty"`
	// Promoted: the stable arm reaches the canary group.
	Promoted bool `json:"promoted,omitempty"`
	// Tests: the continuous tests run.
	Tests bool `json:"tests,omitempty"`
	// Jobs are to be started once each; a job with a result in the state is
	// not listed again.
	Jobs []Job `json:"jobs,omitempty"`
}

// Job is a piece of work outside whose result the run waits for, for a bounded
// time.
type Job struct {
	// Key is unique in the run.
	Key  string  `json:"key"`
	Kind JobKind `json:"kind"`
	// Hook and Point are set for hooks; Phase counts from 1, 0 outside phases.
	Hook  string        `json:"hook,omitempty"`
	Point rollout.Point `json:"point,omitempty"`
	Phase int           `json:"phase,omitempty"`
}

// JobKind says what a job does.
type JobKind string

const (
	JobHook JobKind = "hook"
	// JobEvidence gathers what a rollback's report needs while the canary is
	// still there.
	JobEvidence JobKind = "evidence"
	// JobLogs archives the logs of the instances that are about to go.
	JobLogs JobKind = "logs"
)

// Plan is everything that a run pins when it starts and that Decide needs.
type Plan struct {
	rollout.Plan
	Analysis rollout.Analysis `json:"analysis"`
	Tests    []Test           `json:"tests,omitempty"`
	Hooks    []Hook           `json:"hooks,omitempty"`
}

// Test is what the engine knows of a continuous test.
type Test struct {
	Name      string            `json:"name"`
	Failures  int               `json:"failures"`
	OnFailure rollout.OnFailure `json:"onFailure"`
}

// Hook is what the engine knows of a hook.
type Hook struct {
	Name      string            `json:"name"`
	At        rollout.Point     `json:"at"`
	Weights   []int             `json:"weights,omitempty"`
	Timeout   rollout.Duration  `json:"timeout,omitempty"`
	Retries   int               `json:"retries,omitempty"`
	OnFailure rollout.OnFailure `json:"onFailure"`
	// Approval: a person answers.
	Approval bool `json:"approval,omitempty"`
}

// PlanOf pins what a run needs from a rollout. It holds no adapter's
// configuration, so no credential can reach a record through it.
func PlanOf(spec rollout.Spec) Plan {
	p := Plan{Plan: spec.Plan, Analysis: spec.Analysis}
	p.Analysis.Metrics = rollout.Adapter{Kind: spec.Analysis.Metrics.Kind}
	p.Analysis.Business = rollout.Adapter{Kind: spec.Analysis.Business.Kind}
	for _, t := range spec.Tests {
		p.Tests = append(p.Tests, Test{Name: t.Name, Failures: t.Failures, OnFailure: t.OnFailure})
	}
	for i, ph := range spec.Plan.Phases {
		if ph.Approval {
			p.Hooks = append(p.Hooks, Hook{
				Name: "approval", At: rollout.BeforePhase, Weights: []int{spec.Plan.Phases[i].Weight},
				OnFailure: rollout.FailHold, Approval: true,
			})
		}
	}
	for _, h := range spec.Hooks {
		p.Hooks = append(p.Hooks, Hook{
			Name: h.Name, At: h.At, Weights: h.Weights, Timeout: h.Timeout, Retries: h.Retries,
			OnFailure: h.OnFailure, Approval: h.Kind == rollout.ApprovalKind,
		})
	}
	return p
}

// Judging is the part of the plan that the analysis needs.
func (p Plan) Judging() analysis.Config {
	return analysis.Config{Analysis: p.Analysis, Phases: p.Phases, Baseline: p.Baseline}
}

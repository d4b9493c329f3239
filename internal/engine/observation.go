package engine

import (
	"time"

	"serin.dev/serin/internal/rollout"
)

// Observation is everything that was seen at one moment. Its At is the
// engine's only clock. What could not be seen is nil; nil never means "good".
type Observation struct {
	At time.Time `json:"at"`
	// Resumed marks the first look after Serin itself was started again.
	Resumed bool `json:"resumed,omitempty"`
	// Weight is the router's state.
	Weight *Weight `json:"weight,omitempty"`
	// Stable and Canary are the two groups of instances.
	Stable *Group `json:"stable,omitempty"`
	Canary *Group `json:"canary,omitempty"`
	// Baseline is the group of fresh instances of stable's version, if there is
	// one.
	Baseline *Group `json:"baseline,omitempty"`
	// Unsaved says why the latest decision could not be saved, if it could not.
	Unsaved string `json:"unsaved,omitempty"`
	// Superseded says what the user asks for instead of this canary.
	Superseded string `json:"superseded,omitempty"`
	// Tick holds the samples of the tick that has just closed; nil between
	// ticks.
	Tick    *rollout.Tick    `json:"-"`
	Tests   []TestResult     `json:"tests,omitempty"`
	Jobs    []JobResult      `json:"jobs,omitempty"`
	Intents []rollout.Intent `json:"intents,omitempty"`
}

// Weight is the split in effect.
type Weight struct {
	// Known is false while the router holds no split at all.
	Known    bool `json:"known"`
	Percent  int  `json:"percent"`
	InEffect bool `json:"inEffect"`
	Promoted bool `json:"promoted,omitempty"`
	// Revision changes with every change of the weight; empty where that cannot
	// be told.
	Revision string `json:"revision,omitempty"`
	// ByInstances: every ready instance gets an equal part of the requests, so
	// the number of the canary's is its weight.
	ByInstances bool `json:"byInstances,omitempty"`
	// CanaryInflight and DrainingInflight are requests still being worked on
	// by the canary arm and by instances taken out of the stable arm; -1 where
	// that cannot be seen.
	CanaryInflight   int    `json:"canaryInflight"`
	DrainingInflight int    `json:"drainingInflight"`
	ChangedBy        string `json:"changedBy,omitempty"`
}

// Group is one group of instances.
type Group struct {
	Instances int    `json:"instances"`
	Ready     int    `json:"ready"`
	Capacity  int    `json:"capacity"`
	Restarts  int    `json:"restarts,omitempty"`
	Failed    string `json:"failed,omitempty"`
	Detail    string `json:"detail,omitempty"`
}

// TestResult is a continuous test's standing in the current phase.
type TestResult struct {
	Name string `json:"name"`
	// Passes counts the passes, Failures the failures in a row.
	Passes   int    `json:"passes"`
	Failures int    `json:"failures"`
	Message  string `json:"message,omitempty"`
}

// JobResult is the result of a finished job.
type JobResult struct {
	Key     string `json:"key"`
	Passed  bool   `json:"passed"`
	Message string `json:"message,omitempty"`
}

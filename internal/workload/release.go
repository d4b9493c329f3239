package workload

import (
	"bytes"
	"encoding/json"
	"errors"
)

// Releaser is implemented by workloads that outlive a run and are told which
// version the next run is about: those of the daemon on one machine.
//
// What it says is remembered across restarts of Serin.
type Releaser interface {
	// Serving is the version that gets all traffic between runs; within a run
	// it is stable's until the canary group is promoted.
	Serving() Version

	// BeginRun makes candidate the canary group of the run that begins, without
	// starting anything. Calling it again with the same candidate during the
	// run is harmless. It wraps ErrServing when candidate serves already, and
	// ErrRefused when candidate cannot be run or another run has not ended.
	BeginRun(candidate Version) error

	// EndRun ends the run. Promoted makes the canary group the stable group of
	// the next run, without touching its instances; otherwise the candidate is
	// forgotten. Instances of the other group that are left are asked to end.
	// Without a run it does nothing.
	EndRun(promoted bool) error
}

// Version is one version of a workload on one machine: a label and how to run
// it (Command, Env, Dir, Port) or where it runs (URLs).
type Version struct {
	Version string            `json:"version"`
	Command []string          `json:"command,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Dir     string            `json:"dir,omitempty"`
	Port    int               `json:"port,omitempty"`
	URLs    []string          `json:"urls,omitempty"`
}

// Same compares two versions as they are saved, so that what has been saved
// equals what has not.
func (v Version) Same(o Version) bool {
	a, errA := json.Marshal(v)
	b, errB := json.Marshal(o)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// ErrServing is wrapped by BeginRun when the candidate is what serves already.
var ErrServing = errors.New("this version serves already")

// Notifier is implemented by workloads that can say at once that something has
// changed, so that nobody has to wait for the next look.
type Notifier interface {
	// Changed receives a value after one or more changes of readiness, exits or
	// starts. Changes that nobody has received yet are one value.
	Changed() <-chan struct{}
}

package crd

import (
	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Lean makes a run that a cache is to hold small, in place: of one that has ended
// and is archived, state, lines and messages are only read again by people, and
// from the API server. A rollout keeps ten such runs, so they would be most of
// what a controller at rest has in memory. Objects of other kinds are left
// alone. It is a transform of client-go's caches.
//
// A store never writes a run that was made lean: it reads it live first.
func Lean(obj any) (any, error) {
	run, ok := obj.(*serinv1.CanaryRun)
	if !ok || run.Status.EndedAt == nil || !run.Status.Archived || run.Status.Undelivered > 0 {
		return obj, nil
	}
	run.ManagedFields = nil
	run.Status.State, run.Status.Lines, run.Status.Outbox = nil, nil, nil
	return run, nil
}

// lean reports that a run was made lean. One that ended has a state.
func lean(run *serinv1.CanaryRun) bool {
	return run.Status.EndedAt != nil && run.Status.Archived && len(run.Status.State) == 0
}

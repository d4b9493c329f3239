package workload

import "context"

// Witness is implemented by workloads that can say more of a run than its
// figures and logs tell. It is asked once, when a run goes back and the canary's
// instances are still there. Nothing it says holds a secret.
type Witness interface {
	// Events are what the platform tells of the canary's instances, a line each,
	// oldest first. With an error it returns what it could learn.
	Events(ctx context.Context) ([]string, error)

	// Differences are what changed between the two versions.
	Differences(ctx context.Context) ([]Difference, error)
}

// Difference is one thing in which the canary differs from stable; empty where
// a version does not have it.
type Difference struct{ What, Stable, Canary string }

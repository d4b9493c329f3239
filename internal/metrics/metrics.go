// Package metrics is the port to whatever measures both arms. It knows ticks
// and samples; it must not know checks, phases or verdicts.
package metrics

import (
	"context"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Source reads what both arms did.
type Source interface {
	// Collect returns the samples of the interval that ends now and began at
	// the end of the last one this value returned (for the first: at since).
	// Samples of different calls are disjoint. An arm that could not be
	// measured is nil in the result, and what it counted meanwhile is lost or
	// comes with the next call, never counted twice. An error means that
	// nothing was measured at all.
	//
	// The caller sets the tick's time and weight.
	Collect(ctx context.Context, since, now time.Time) (rollout.Arms, error)

	// Close releases what this value holds.
	Close() error
}

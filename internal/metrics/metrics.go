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

// Historian is implemented by sources that know what stable's instances used before
// the run.
type Historian interface {
	// History returns the ticks of such a length up to now, of rollout.HistorySpan at
	// most; nil where nothing is known. It may be called while Collect is under way.
	History(ctx context.Context, now time.Time, tick time.Duration) (*rollout.History, error)
}

// Paced is implemented by sources whose figures come in steps, as those that are
// scraped. A tick that ends right after a step has the latest figures; one that
// ends right before has those of a step ago.
type Paced interface {
	// Pace may be called at any time, also while Collect is under way.
	Pace() Pace
}

// Pace is when figures come.
type Pace struct {
	// At is the time of the latest figures that were collected, or somewhat later
	// where they are better asked for later; Every is how far apart they come, 0
	// while that is not known.
	At    time.Time
	Every time.Duration
	// Waiting: the latest Collect came before figures that are due, so it
	// returned none. They come with the next.
	Waiting bool
}

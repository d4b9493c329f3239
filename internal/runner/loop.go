package runner

import (
	"context"
	"errors"
	"time"

	"serin.dev/serin/internal/store"
)

// minPause keeps a loop whose steps all fail from spinning.
const minPause = 20 * time.Millisecond

// Waker lets several places ask one loop to look at once.
type Waker chan struct{}

// NewWaker returns a waker for one loop.
func NewWaker() Waker { return make(Waker, 1) }

// Wake never blocks; calls that come together count as one.
func (w Waker) Wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// Loop steps until the run has ended or ctx is done. changed, which may be nil,
// signals that the workload is not what it was. after is called after every
// step. A step that has begun is finished also when ctx ends: what was done is
// saved.
func (r *Runner) Loop(ctx context.Context, wake Waker, changed <-chan struct{}, after func(Look, error)) error {
	failures := 0
	for {
		out, err := r.Step(context.WithoutCancel(ctx))
		if after != nil {
			after(r.last, err)
		}
		switch {
		case errors.Is(err, store.ErrNotFound):
			return err
		case err != nil:
			failures++
			if failures == 1 || failures%100 == 0 {
				r.opts.Logger.Warn("a step did not go well", "run", r.id, "error", err)
			}
		default:
			failures = 0
		}
		if out.Ended {
			return nil
		}
		pause := max(out.WakeAt.Sub(r.opts.Now()), 0)
		if err != nil {
			pause = max(pause, minPause)
		}
		// A clock that was set back must not make the loop sleep for hours.
		pause = min(pause, time.Duration(max(r.run.Plan.Analysis.Interval, 1)), 10*time.Second)
		if !sleep(ctx, pause, wake, changed) {
			return ctx.Err()
		}
	}
}

// sleep waits for the pause, a wake-up or a change; false when ctx is done.
func sleep(ctx context.Context, pause time.Duration, wake Waker, changed <-chan struct{}) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-changed:
	case <-ctx.Done():
		return false
	}
	return ctx.Err() == nil
}

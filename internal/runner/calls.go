package runner

import (
	"context"
	"fmt"
	"time"

	"serin.dev/serin/internal/store"
)

// briefly is how long a store that hangs is waited for.
const briefly = 500 * time.Millisecond

// errUnanswered: the store has not answered an earlier call yet.
var errUnanswered = fmt.Errorf("an earlier call has not been answered: %w", store.ErrUnavailable)

// calls makes one kind of call of the store, one at a time. A store may hang, in a
// system call even, which no context ends; a look waits for it once, as long as
// for any port, and later looks hardly do until it answers again.
type calls[T any] struct {
	open chan answer[T]
	// slow: the latest call was not answered in time.
	slow bool
}

type answer[T any] struct {
	value T
	err   error
}

// pending reports that a call has not been answered.
func (c *calls[T]) pending() bool { return c.open != nil && len(c.open) == 0 }

// late returns the answer to a call that was not waited for, if it has come.
func (c *calls[T]) late() (answer[T], bool) {
	if c.open == nil || c.pending() {
		return answer[T]{}, false
	}
	a := <-c.open
	c.open, c.slow = nil, a.err != nil
	return a, true
}

// call makes a call of the store with the runner's timeout and waits for the
// answer; briefly, after a call that was not answered in time. The answer to an
// earlier call of the kind, had it come meanwhile, is thrown away.
func call[T any](ctx context.Context, r *Runner, c *calls[T], do func(context.Context) (T, error)) (T, error) {
	bounded := func() (T, error) {
		ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
		defer cancel()
		return do(ctx)
	}
	if r.opts.Synchronous {
		return bounded()
	}
	c.late()
	if c.pending() {
		return *new(T), errUnanswered
	}
	wait := r.opts.Timeout + briefly // a store that obeys the timeout says itself what is wrong
	if r.loads.slow || r.asks.slow || r.saves.slow {
		wait = briefly
	}
	begun, open := time.Now(), make(chan answer[T], 1)
	go func() {
		value, err := bounded()
		open <- answer[T]{value, err}
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case a := <-open:
		c.slow = a.err != nil && (c.slow || time.Since(begun) >= r.opts.Timeout)
		return a.value, a.err
	case <-timer.C:
		c.open, c.slow = open, true
		return *new(T), fmt.Errorf("no answer within %s: %w", wait, store.ErrUnavailable)
	}
}

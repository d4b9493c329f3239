package runner

import (
	"context"
	"fmt"
	"time"

	"serin.dev/serin/internal/store"
)

// briefly is how long one kind of call is waited for while another hangs.
const briefly = 500 * time.Millisecond

// errUnanswered: the store has not answered an earlier call yet.
var errUnanswered = fmt.Errorf("an earlier call has not been answered: %w", store.ErrUnavailable)

// calls makes one kind of call of the store, one at a time. A store may hang in
// a system call and answer no context; a look waits for it once, as long as for
// any port, and later looks go on without it until it answers.
type calls[T any] struct{ open chan answer[T] }

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
	c.open = nil
	return a, true
}

// call makes a call of the store with the runner's timeout and waits for the
// answer; briefly, while another kind of call is unanswered. The answer to an
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
	if r.loads.pending() || r.asks.pending() || r.saves.pending() {
		wait = briefly
	}
	open := make(chan answer[T], 1)
	go func() {
		value, err := bounded()
		open <- answer[T]{value, err}
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case a := <-open:
		return a.value, a.err
	case <-timer.C:
		c.open = open
		return *new(T), fmt.Errorf("no answer within %s: %w", wait, store.ErrUnavailable)
	}
}

package runner

import (
	"context"
	"sync/atomic"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/rollout"
)

// patience is how long a step waits for figures that usually come at once.
// Slower ones are taken by the step that their arrival wakes.
const patience = 50 * time.Millisecond

// collector closes ticks. Only one collection is under way at a time, outside
// the step, so that a slow metrics source delays no decision.
type collector struct {
	source metrics.Source
	opts   Options

	since  time.Time // end of the last tick; zero when not ticking
	next   time.Time
	weight int // in effect when the tick began
	result chan collected
	// late says that a step has given up waiting for the result.
	late atomic.Bool
}

type collected struct {
	arms   rollout.Arms
	at     time.Time
	weight int
}

func newCollector(source metrics.Source, opts Options) *collector {
	return &collector{source: source, opts: opts}
}

// stop forgets the current tick; the next poll begins a new one.
func (c *collector) stop() { c.since, c.next = time.Time{}, time.Time{} }

// due is when the current tick closes; zero when there is none.
func (c *collector) due() time.Time { return c.next }

// poll returns the samples of a tick that has closed.
func (c *collector) poll(ctx context.Context, now time.Time, interval time.Duration, weight int) (rollout.Arms, time.Time, int, bool) {
	if c.source == nil {
		return rollout.Arms{}, now, weight, false
	}
	if c.since.IsZero() {
		// What was counted before this moment belongs to no tick.
		c.begin(ctx, now, now, weight)
		c.drop()
		c.since, c.next, c.weight = now, now.Add(interval), weight
		return rollout.Arms{}, now, weight, false
	}
	if c.result == nil {
		jumped := now.Before(c.since) || now.Sub(c.next) > 10*interval
		if now.Before(c.next) && !jumped {
			return rollout.Arms{}, now, weight, false
		}
		c.begin(ctx, c.since, now, c.weight)
		c.since, c.weight = now, weight
		c.next = c.next.Add(interval)
		if jumped || !c.next.After(now) {
			c.next = now.Add(interval)
		}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case got := <-c.result:
		c.result = nil
		return got.arms, got.at, got.weight, true
	case <-timer.C:
		c.late.Store(true)
		if len(c.result) > 0 && c.opts.Wake != nil {
			c.opts.Wake() // it came between the two lines above
		}
	case <-ctx.Done():
	}
	return rollout.Arms{}, now, weight, false
}

// begin starts a collection; its result arrives in c.result exactly once.
func (c *collector) begin(ctx context.Context, since, now time.Time, weight int) {
	result := make(chan collected, 1)
	c.result = result
	c.late.Store(false)
	run := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.Timeout)
		defer cancel()
		arms, err := c.source.Collect(ctx, since, now)
		if err != nil {
			c.opts.Logger.Warn("figures could not be collected", "error", err)
			arms = rollout.Arms{}
		}
		result <- collected{arms: arms, at: now, weight: weight}
	}
	if c.opts.Synchronous {
		run()
		return
	}
	go func() {
		run()
		if c.late.Load() && c.opts.Wake != nil {
			c.opts.Wake()
		}
	}()
}

// drop throws away what a collection that only sets the starting point yields.
func (c *collector) drop() {
	if c.opts.Synchronous {
		<-c.result
	}
	c.result = nil
}

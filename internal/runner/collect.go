package runner

import (
	"context"
	"sync/atomic"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

const (
	// patience is how long a step waits for figures that usually come at once.
	// Slower ones are taken by the step that their arrival wakes.
	patience = 50 * time.Millisecond
	// arrival is how long figures of a paced source take until they can be
	// collected.
	arrival = 300 * time.Millisecond
	// again is when figures that were due and had not come are asked for again.
	again = 400 * time.Millisecond
)

// collector closes ticks. Only one collection is under way at a time, outside
// the step, so that a slow metrics source delays no decision.
//
// Where figures come in steps, a tick ends right after one, as near to its
// interval as that is: nothing is gained by waiting with figures that are there,
// and nothing seen by ending before they come. The first tick ends with the
// first figures, and may be short; the second with the last of the first
// interval.
type collector struct {
	source metrics.Source
	opts   Options
	// aside reads what the workload knows of a tick, when its figures are there;
	// read is what it knew of the tick that ended last. reading is what is still
	// being read of an earlier one; only the collection under way touches it.
	aside   func(context.Context) aside
	read    aside
	reading chan aside

	since time.Time // end of the last tick; zero when not ticking
	next  time.Time // when the tick ends
	// meant is when it would end by the interval alone. first: no tick has ended
	// yet.
	meant time.Time
	first bool
	// full is when the first interval is over, where the first tick ends sooner.
	full time.Time
	// retry is when figures that are late are asked for again; zero when none
	// are.
	retry time.Time
	// weight was in effect when the tick began, following when it was to end.
	weight, following int
	interval          time.Duration
	result            chan collected
	// late says that a step has given up waiting for the result.
	late atomic.Bool
}

// aside is what the workload knows of a tick beside the figures.
type aside struct {
	// known says that it was read in time.
	known  bool
	usage  map[rollout.Arm]workload.Usage
	thrown map[rollout.Arm][]rollout.Exception
	// Why one of them could not be read.
	usageFailed, thrownFailed error
}

type collected struct {
	arms  rollout.Arms
	aside aside
	at    time.Time
	// waiting: the source says that figures are due and have not come.
	waiting bool
}

func newCollector(source metrics.Source, opts Options) *collector {
	return &collector{source: source, opts: opts}
}

// stop forgets the current tick; the next poll begins a new one.
func (c *collector) stop() { c.since, c.next, c.retry = time.Time{}, time.Time{}, time.Time{} }

// due is when there is something to collect; zero when nothing is, or when what
// is under way tells by itself.
func (c *collector) due() time.Time {
	switch {
	case c.since.IsZero() || c.result != nil:
		return time.Time{}
	case !c.retry.IsZero():
		return c.retry
	}
	c.alignFirst()
	return c.next
}

// poll returns the samples of a tick that has closed.
func (c *collector) poll(ctx context.Context, now time.Time, interval time.Duration, weight int) (rollout.Arms, time.Time, int, bool) {
	none := func() (rollout.Arms, time.Time, int, bool) { return rollout.Arms{}, now, weight, false }
	if c.source == nil {
		return none()
	}
	c.interval = interval
	if c.since.IsZero() {
		// What was counted before this moment belongs to no tick.
		c.begin(ctx, now, now, true)
		c.drop()
		c.since, c.next, c.meant, c.first, c.weight = now, now.Add(interval), now.Add(interval), true, weight
		c.full = time.Time{}
		return none()
	}
	if c.result == nil {
		jumped := now.Before(c.since) || now.Sub(c.next) > 10*interval
		if now.Before(c.due()) && !jumped {
			return none()
		}
		if c.retry.IsZero() {
			c.following = weight
		}
		if jumped {
			c.meant = now
		}
		c.begin(ctx, c.since, now, false)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case got := <-c.result:
		c.result = nil
		if got.waiting && now.Before(c.next.Add(c.grace())) {
			c.retry = now.Add(again)
			return none()
		}
		ended := c.weight
		c.read = got.aside
		c.advance(got.at, now)
		return got.arms, got.at, ended, true
	case <-timer.C:
		c.late.Store(true)
		if len(c.result) > 0 && c.opts.Wake != nil {
			c.opts.Wake() // it came between the two lines above
		}
	case <-ctx.Done():
	}
	return none()
}

// advance begins the tick after one that ended.
func (c *collector) advance(ended, now time.Time) {
	c.since, c.weight, c.retry, c.first = ended, c.following, time.Time{}, false
	c.meant = c.meant.Add(c.interval)
	if !c.meant.After(now) {
		c.meant = now.Add(c.interval)
	}
	c.next = c.meant
	if at, every := c.pace(); every > 0 {
		c.next = nearest(c.meant, at, every)
		if !c.full.IsZero() {
			for c.next = nearest(now, at, every).Add(every); !c.next.Add(every).After(c.full); {
				c.next = c.next.Add(every)
			}
			c.meant = c.next
		}
		if !c.next.After(now) {
			c.next = c.next.Add(every)
		}
	}
	c.full = time.Time{}
}

// hasten ends the tick that has begun after this time, where it would last
// longer: right after figures, if they come in steps. It is called between the
// end of a tick and anything of the next one.
func (c *collector) hasten(length time.Duration) {
	if c.since.IsZero() || c.first || c.result != nil || length >= c.interval {
		return
	}
	end := c.since.Add(length)
	if paced, ok := c.source.(metrics.Paced); ok {
		p := paced.Pace()
		if p.Every <= 0 || p.Every > length+length/10 {
			return // nothing new would be there
		}
		end = nearest(end, p.At, p.Every)
		if !end.After(c.since.Add(length / 2)) {
			end = end.Add(p.Every)
		}
	}
	if end.Before(c.next) {
		c.next, c.meant = end, end
	}
}

// alignFirst has the first tick end with the first figures.
func (c *collector) alignFirst() {
	at, every := c.pace()
	if !c.first || every <= 0 || !c.full.IsZero() {
		return
	}
	// Figures of a few moments say too little to be a tick.
	least := c.since.Add(every / 2)
	first := nearest(least, at, every)
	if first.Before(least) {
		first = first.Add(every)
	}
	if first.Before(c.next) {
		c.full = c.next
		c.next, c.meant = first, first
	}
}

// nearest is the arrival of figures that is nearest to t.
func nearest(t, at time.Time, every time.Duration) time.Time {
	arrives := at.Add(arrival)
	steps := (t.Sub(arrives) + every/2) / every
	return arrives.Add(steps * every)
}

// pace is when figures come, where they come at least once an interval.
func (c *collector) pace() (at time.Time, every time.Duration) {
	paced, ok := c.source.(metrics.Paced)
	if !ok {
		return time.Time{}, 0
	}
	p := paced.Pace()
	if p.Every > c.interval+c.interval/10 { // what is measured is never quite even
		return time.Time{}, 0
	}
	return p.At, p.Every
}

// grace is how long a tick waits for figures that are due.
func (c *collector) grace() time.Duration {
	_, every := c.pace()
	return every / 2
}

// begin starts a collection; its result arrives in c.result exactly once. What
// only sets the starting point tells when figures come.
func (c *collector) begin(ctx context.Context, since, now time.Time, start bool) {
	result := make(chan collected, 1)
	c.result = result
	c.late.Store(start && c.paced())
	run := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.Timeout)
		defer cancel()
		got := collected{at: now}
		var err error
		if got.arms, err = c.source.Collect(ctx, since, now); err != nil {
			c.opts.Logger.Warn("figures could not be collected", "error", err)
			got.arms = rollout.Arms{}
		} else if paced, ok := c.source.(metrics.Paced); ok {
			got.waiting = paced.Pace().Waiting
		}
		if c.aside != nil && !start && !got.waiting {
			got.aside = c.readAside(context.WithoutCancel(ctx))
		}
		result <- got
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

// asideWait is how long figures that are there wait for what the workload knows
// beside them.
const asideWait = 500 * time.Millisecond

// readAside reads what the workload knows, if it comes soon. What comes later is
// the next tick's: a tick's figures may be all that a rollback needs.
func (c *collector) readAside(ctx context.Context) aside {
	if c.opts.Synchronous {
		return c.aside(ctx)
	}
	if c.reading == nil {
		reading := make(chan aside, 1)
		c.reading = reading
		go func() { reading <- c.aside(ctx) }()
	}
	timer := time.NewTimer(asideWait)
	defer timer.Stop()
	select {
	case got := <-c.reading:
		c.reading = nil
		return got
	case <-timer.C:
		return aside{}
	}
}

func (c *collector) paced() bool {
	_, ok := c.source.(metrics.Paced)
	return ok
}

// drop throws away what a collection that only sets the starting point yields.
func (c *collector) drop() {
	if c.opts.Synchronous {
		<-c.result
	}
	c.result = nil
}

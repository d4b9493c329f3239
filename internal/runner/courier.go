package runner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
)

const (
	// sendTimeout bounds one attempt to deliver a message.
	sendTimeout = 20 * time.Second
	// maxAttempts is how often a message is tried; with the doubling pauses of
	// at most five minutes that is about an hour.
	maxAttempts = 16
	maxPause    = 5 * time.Minute
	// storeTimeout bounds one call of the store by whoever works beside the loop.
	storeTimeout = 5 * time.Second
)

// ErrNotOurs: the message is another program's to deliver.
var ErrNotOurs = errors.New("another program carries this rollout")

const (
	// share is how many deliveries to one receiver are under way at once.
	share = 4
	// parallel bounds how many there are to all of them.
	parallel = 64 * share
)

// Courier delivers the messages in the outbox. Nothing waits for it, and no
// receiver waits for another: each message is sent on its own, and each receiver
// has its share of what is under way.
type Courier struct {
	Store store.Store
	// Receiver returns the notifier called name of a rollout. ErrNotOurs means
	// that another program carries the rollout and delivers its messages; an error
	// that wraps notify.ErrRejected, that there is no such notifier any more.
	Receiver func(rollout, name string) (notify.Notifier, error)
	Logger   *slog.Logger
	Now      func() time.Time

	sending sync.WaitGroup
	done    Waker // a message has left the outbox: there may be room for another
	mu      sync.Mutex
	under   map[string]bool // messages under way, by ID
	taken   map[store.Receiver]int
	// unsettled is what became of messages and could not be noted, by ID.
	unsettled map[string]outcome
}

// Run delivers until ctx is done. It looks at once whenever woken.
func (c *Courier) Run(ctx context.Context, wake Waker) {
	defer c.sending.Wait()
	c.done = NewWaker()
	c.under, c.taken, c.unsettled = map[string]bool{}, map[store.Receiver]int{}, map[string]outcome{}
	for {
		c.deliver(ctx)
		if !sleep(ctx, time.Second, wake, c.done) {
			return
		}
	}
}

// deliver begins to send every message that is due and not under way.
func (c *Courier) deliver(ctx context.Context) {
	// Held while the outbox is read: what is in it and is delivered meanwhile is
	// under way still, and is not sent again.
	c.mu.Lock()
	defer c.mu.Unlock()
	reading, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	due, err := c.Store.Due(reading, c.Now(), share)
	if err != nil {
		return // the store's own trouble is reported by who needs it
	}
	for _, m := range due {
		to := m.Receiver()
		if c.under[m.ID] || c.taken[to] >= share || len(c.under) >= parallel {
			continue
		}
		c.under[m.ID] = true
		c.taken[to]++
		c.sending.Go(func() {
			settled := c.send(ctx, m)
			c.mu.Lock()
			delete(c.under, m.ID)
			if c.taken[to]--; c.taken[to] == 0 {
				delete(c.taken, to)
			}
			c.mu.Unlock()
			if settled {
				c.done.Wake()
			}
		})
	}
}

// outcome is what became of a message.
type outcome struct {
	attempts int
	failure  string    // empty: delivered
	retry    time.Time // zero: delivered, or given up
	recorded bool
}

func (o outcome) delivered() bool { return o.failure == "" }

// send tries once to deliver a message, and reports that it is noted what became
// of it. What cannot be noted is remembered: nobody gets the message again
// because of that.
func (c *Courier) send(ctx context.Context, m store.Outgoing) (settled bool) {
	c.mu.Lock()
	o, known := c.unsettled[m.ID]
	c.mu.Unlock()
	if !known || !o.retry.IsZero() && !c.Now().Before(o.retry) {
		n, err := c.Receiver(m.Message.Rollout, m.To)
		if errors.Is(err, ErrNotOurs) {
			return false
		}
		if err == nil {
			sendCtx, cancel := context.WithTimeout(ctx, sendTimeout)
			err = n.Send(sendCtx, m.Message)
			cancel()
		}
		if ctx.Err() != nil && err != nil {
			return false // Serin is stopping: the message stays in the outbox
		}
		o = c.outcome(m, max(m.Attempts, o.attempts), err)
	}
	settled = c.note(ctx, m, &o)
	c.mu.Lock()
	defer c.mu.Unlock()
	if settled {
		delete(c.unsettled, m.ID)
	} else {
		c.unsettled[m.ID] = o
	}
	return settled
}

// outcome says what an attempt has come to, after so many others.
func (c *Courier) outcome(m store.Outgoing, attempts int, err error) outcome {
	o := outcome{attempts: attempts + 1}
	if err != nil {
		o.failure = err.Error()
		if !errors.Is(err, notify.ErrRejected) && o.attempts < maxAttempts {
			o.retry = c.Now().Add(min(time.Second<<attempts, maxPause))
		}
		c.Logger.Warn("a message was not delivered", "run", m.Message.Run, "to", m.To, "attempt", o.attempts, "again", !o.retry.IsZero(), "error", err)
	}
	return o
}

// note writes down what became of a message, and reports that it is written. First
// the record: a message that is settled is in it.
func (c *Courier) note(ctx context.Context, m store.Outgoing, o *outcome) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if o.retry.IsZero() && !o.recorded {
		line, err := record.Encode(record.Notification{
			Notification: m.Message.Event, At: c.Now().UTC().Round(0), Actor: record.Serin,
			To: m.To, Text: m.Message.Text, Delivered: o.delivered(), Error: o.failure,
		})
		if err == nil {
			err = c.Store.Append(ctx, m.Message.Run, []record.Line{line})
		}
		if err != nil {
			c.Logger.Warn("what became of a message is not in the record", "run", m.Message.Run, "to", m.To, "delivered", o.delivered(), "error", err)
		}
		o.recorded = err == nil
	}
	err := c.Store.Settle(ctx, m.ID, o.delivered(), o.retry, o.failure)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		c.Logger.Warn("the outbox cannot be written", "error", err)
		return false
	}
	return true
}

package proxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// ejection takes a backend that cannot be connected to out of the choice for a
// growing, bounded time. When the time is over one request tries it; the others
// go on avoiding it until that one has succeeded.
type ejection struct {
	after   int
	base    time.Duration
	longest time.Duration

	until  atomic.Int64 // unix ns; 0: not ejected
	failed atomic.Bool  // there is something for connected to forget

	mu       sync.Mutex
	failures int // in a row
	rounds   int
	since    time.Time // when the present round began
}

// admit says whether a request may go there now.
func (e *ejection) admit(now time.Time) bool {
	until := e.until.Load()
	if until == 0 {
		return true
	}
	t := now.UnixNano()
	return t >= until && e.until.CompareAndSwap(until, t+int64(e.base))
}

// connected forgets the failures.
func (e *ejection) connected() {
	if !e.failed.Load() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures, e.rounds = 0, 0
	e.until.Store(0)
	e.failed.Store(false)
}

// refused notes that a request which began at started could not connect, and says
// whether that ejected the backend. Requests that were on their way when it was
// ejected do not prolong it: only the one that tries it again does.
func (e *ejection) refused(started, now time.Time) (ejected bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed.Store(true)
	e.failures++
	if e.failures < e.after || e.rounds > 0 && started.Before(e.since) {
		return false
	}
	out := e.longest
	if e.rounds < 30 {
		out = min(out, e.base<<e.rounds)
	}
	e.rounds++
	e.since = now
	e.until.Store(now.Add(out).UnixNano())
	return e.rounds == 1
}

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
	failures int       // in a row
	first    time.Time // of them
	tried    time.Time // when a request that waits was let through last
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
	if e.failures == 0 {
		e.first = now
	}
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

// refusing is for how long nobody could connect, 0 when somebody just could.
func (e *ejection) refusing(now time.Time) time.Duration {
	if !e.failed.Load() {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failures == 0 {
		return 0
	}
	return now.Sub(e.first)
}

// turn says whether a request that waits may try again: when somebody could connect
// meanwhile, and else one of them each holdPause.
func (e *ejection) turn(now time.Time) bool {
	if !e.failed.Load() {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failures > 0 && now.Sub(e.tried) < holdPause {
		return false
	}
	e.tried = now
	return true
}

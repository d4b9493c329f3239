package proxy

import (
	"sync/atomic"
	"syscall"
	"time"
)

// A goroutine that waits for a socket gives its processor away, and when nobody
// else wants it, the processor sleeps: to be woken by another one costs more than
// a small server takes to answer. So while all requests come on one connection,
// one after another, a socket is attended for a moment before that, as long as it
// pays (ADR 2).

const (
	// attention is how long a socket is attended: about what sleeping and waking
	// cost.
	attention = 100 * time.Microsecond
	// calmAfter is for how long one connection must have had all the requests.
	calmAfter = time.Millisecond
)

// Nothing came in time: so many of the socket's next waits are not attended, twice
// as many after each further time, so that a server which takes longer costs next
// to nothing.
const (
	firstRest   = 1
	longestRest = 256
)

// succession watches whether requests come on one connection only.
type succession struct {
	began  time.Time
	latest atomic.Pointer[clientConn] // had the latest request
	since  atomic.Int64               // nanoseconds from began until it had the first one of its series
}

// request notes a request.
func (s *succession) request(c *clientConn, now time.Time) {
	if s.latest.Load() != c {
		s.latest.Store(c)
		s.since.Store(int64(now.Sub(s.began)))
	}
}

// forget lets go of a connection that ends.
func (s *succession) forget(c *clientConn) { s.latest.CompareAndSwap(c, nil) }

// attendant decides for one socket whether the wait that begins is attended.
type attendant struct {
	requests *succession
	// rest is how many waits are still not to be attended, next how many that
	// would be after another one in vain.
	rest, next int
}

// attend watches a socket that has nothing to read until it has, or its peer has
// closed it: then it is true. False: to be waited for in the usual way.
func (a *attendant) attend(fd uintptr) bool {
	if !attends {
		return false
	}
	if a.rest > 0 {
		a.rest--
		return false
	}
	start := time.Now()
	since := a.requests.since.Load()
	if start.Sub(a.requests.began)-time.Duration(since) < calmAfter {
		return false
	}
	for end := start.Add(attention); a.requests.since.Load() == since && time.Now().Before(end); {
		if peekAtOnce(fd) != syscall.EAGAIN {
			a.next = firstRest
			return true
		}
	}
	a.rest = a.next
	a.next = min(2*a.next, longestRest)
	return false
}

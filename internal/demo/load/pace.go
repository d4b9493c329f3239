package load

import (
	"sync"
	"time"
)

// steady paces requests evenly. What could not be sent in time, because the
// machine stood still for a moment, is left out: users who were not there do
// not all come at once afterwards.
type steady struct {
	interval time.Duration

	mu   sync.Mutex
	left uint64 // requests left out
}

// mostBehind is how far behind its time a request may be sent.
const mostBehind = 100 * time.Millisecond

// Pace implements vegeta.Pacer.
func (s *steady) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := time.Duration(hits+s.left) * s.interval
	if behind := elapsed - due; behind > mostBehind {
		s.left += uint64(behind / s.interval)
		return 0, false
	}
	return due - elapsed, false
}

// Rate implements vegeta.Pacer.
func (s *steady) Rate(time.Duration) float64 { return float64(time.Second) / float64(s.interval) }

package proxy

import (
	"net/http"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// stickiness keeps users on their arm while the canary's share stays capped.
//
// A user's key is hashed onto [0, 1); below weight/100 the user may go to the
// canary. So far a higher weight only adds users, on every replica and after
// every restart. But users differ in how much they ask for, and the share of
// requests must not exceed the weight however few and heavy the users are. So
// every keyed request puts weight/100 of a token into a bucket, every canary
// request takes one out, and:
//
//   - a user seen for the first time goes to the canary only when there is a
//     token; otherwise it stays on stable,
//   - a user on the canary may overdraw the bucket by overdraft tokens, a page
//     view or two; beyond that it moves back to stable.
//
// So the canary never gets more than weight percent of the keyed requests plus
// overdraft, and users do not flap between versions request by request: both
// decisions hold. A user that was refused or moved back gets another chance when
// the weight rises or when the bucket has filled well (readmitTokens, doubled for
// every time it was refused), so that the share does not stay low for good.
// Raising the weight moves nobody from the canary to stable: it cancels debts.
//
// Users are remembered by the leading bits of their hash: the memory is fixed, and
// the few users that share a slot share its arm.
type stickiness struct {
	cfg Sticky

	mu     sync.Mutex
	weight int
	tokens int // in hundredths
	slots  [stickySlots]stickySlot
}

const (
	stickySlots   = 1 << 16
	oneToken      = 100
	overdraft     = 10 * oneToken
	maxTokens     = 128 * oneToken // bounds how much the canary may catch up at once
	readmitTokens = 64 * oneToken
)

// stickySlot: whether its users are on the canary, and how often they were
// refused or moved back at this weight.
type stickySlot struct {
	admitted bool
	refused  uint8
}

func newStickiness(cfg Sticky) *stickiness { return &stickiness{cfg: cfg} }

func (s *stickiness) setWeight(weight int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case weight == 0 || weight == 100:
		// Everybody is on one arm: what was is of no use any more.
		s.slots, s.tokens = [stickySlots]stickySlot{}, 0
	case s.weight == 0 || s.weight == 100:
		// The first request may be the canary's: ⌈n·weight/100⌉ of the first n.
		s.tokens = oneToken - weight
	case weight > s.weight:
		s.tokens = max(s.tokens, 0)
		for i := range s.slots {
			s.slots[i].refused = 0
		}
	}
	s.weight = weight
}

// key is the user's key, or empty.
func (s *stickiness) key(h http.Header) string {
	if s.cfg.Header != "" {
		if v := h.Get(s.cfg.Header); v != "" {
			return v
		}
	}
	if s.cfg.Cookie != "" {
		for _, line := range h["Cookie"] {
			if v := cookieValue(line, s.cfg.Cookie); v != "" {
				return v
			}
		}
	}
	return ""
}

// arm is the user's arm at the given weights, for one more request. The baseline's
// users are those at the other end of [0, 1): its version is stable's, so its share
// need not be capped.
func (s *stickiness) arm(key string, weight, baseline int) Arm {
	switch weight {
	case 0:
		return Stable
	case 100:
		return Canary
	}
	beside := Stable
	slot := xxhash.Sum64String(key) >> (64 - 16)

	if slot*100 >= uint64(100-baseline)*stickySlots {
		beside = Baseline
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = min(s.tokens+weight, maxTokens)
	if slot*100 >= uint64(weight)*stickySlots {
		s.slots[slot].admitted = false
		return beside
	}
	u := &s.slots[slot]
	needed := oneToken
	switch {
	case u.admitted:
		needed = oneToken - overdraft
	case u.refused > 0:
		needed = min(readmitTokens<<(u.refused-1), maxTokens)
	}
	if s.tokens < needed {
		if (u.admitted || u.refused == 0) && u.refused < 8 {
			u.refused++
		}
		u.admitted = false
		return beside
	}
	u.admitted = true
	s.tokens -= oneToken
	return Canary
}

package proxy

import "net/http"

// stickiness keeps users on their arm.
type stickiness struct {
	cfg Sticky
}

func newStickiness(cfg Sticky) *stickiness { return &stickiness{cfg: cfg} }

func (s *stickiness) setWeight(int) {}

func (s *stickiness) key(r *http.Request) string { return "" }

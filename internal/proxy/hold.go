package proxy

import (
	"context"
	"time"
)

// A stable version that is being started, or started again, can be connected to in
// a moment. A request that nothing could be sent of, and that nobody else can take,
// waits for that moment instead of failing. It is counted as what it would have been.
const (
	// holdFor is how long requests wait, from the first one that was refused: whoever
	// is gone for longer is not about to come.
	holdFor = 1500 * time.Millisecond
	// mostHeld is how many requests wait at the same time.
	mostHeld = 500
	// holdPause is how often it is tried again, by one of those that wait.
	holdPause = 10 * time.Millisecond
)

// hold waits until the request should be tried at stable again. False: that is not
// worth it any more, or too many wait already.
func (x *exchange) hold() bool {
	if x.p.held.Add(1) > mostHeld {
		x.p.held.Add(-1)
		return false
	}
	defer x.p.held.Add(-1)
	client := context.Background() // the direct path looks for its client later
	if x.request != nil {
		client = x.request.Context()
	}
	pause := time.NewTicker(holdPause)
	defer pause.Stop()
	for {
		now := time.Now()
		if now.Sub(x.start) >= holdFor || x.at.up.refusing(now) >= holdFor {
			return false
		}
		select {
		case <-pause.C:
		case <-client.Done():
			return false
		}
		if x.follow() || x.at.up.turn(time.Now()) {
			return true
		}
	}
}

// follow goes where stable is now, and says whether that is somewhere else, and not
// known to refuse as well.
func (x *exchange) follow() bool {
	in := x.p.table.Load().stable.pick(time.Now(), nil, true)
	if in == nil || in.up == x.at.up || in.up.failed.Load() {
		return false
	}
	x.at.up.pending.Add(-1)
	x.at = in
	x.at.up.pending.Add(1)
	return true
}

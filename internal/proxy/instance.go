package proxy

import (
	"sync/atomic"
	"time"
)

// group is the instances of one arm.
type group struct {
	instances []*instance
	turn      atomic.Uint32
}

// instance is a backend in one arm: where its requests go and where they are
// counted.
type instance struct {
	name           string
	up             *upstream
	judged, forced *meter
}

func (g *group) names() []string {
	names := make([]string, len(g.instances))
	for i, in := range g.instances {
		names[i] = in.name
	}
	return names
}

// pick chooses the instance with the fewest pending requests among those that
// are not ejected, leaving out skip (nil for none). Ties go round. With every
// instance ejected it returns nil, unless lastResort: then an ejected one is
// better than none.
func (g *group) pick(now time.Time, skip *instance, lastResort bool) *instance {
	if g == nil || len(g.instances) == 0 {
		return nil
	}
	if in := g.leastPending(func(in *instance) bool { return in != skip && in.up.admit(now) }); in != nil {
		return in
	}
	if !lastResort {
		return nil
	}
	return g.leastPending(func(in *instance) bool { return in != skip })
}

func (g *group) leastPending(usable func(*instance) bool) *instance {
	if len(g.instances) == 1 {
		if in := g.instances[0]; usable(in) {
			return in
		}
		return nil
	}
	var best *instance
	var fewest int64
	first := int(g.turn.Add(1) % uint32(len(g.instances)))
	for i := range g.instances {
		in := g.instances[(first+i)%len(g.instances)]
		if n := in.up.pending.Load(); (best == nil || n < fewest) && usable(in) {
			best, fewest = in, n
		}
	}
	return best
}

// ejection takes a backend that cannot be connected to out of the choice for a
// growing, bounded time. When the time is over one request tries it; the others
// go on avoiding it until that one has succeeded.
type ejection struct {
	after    int32
	base     time.Duration
	longest  time.Duration
	failures atomic.Int32 // connect failures in a row
	until    atomic.Int64 // unix ns; 0: not ejected
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

func (e *ejection) connected() {
	if e.failures.Load() != 0 {
		e.failures.Store(0)
		e.until.Store(0)
	}
}

// failed notes a failure to connect and says whether it ejected the backend.
func (e *ejection) failed(now time.Time) (ejected bool) {
	n := e.failures.Add(1)
	if n < e.after {
		return false
	}
	out := e.base << min(n-e.after, 20)
	if out > e.longest || out <= 0 {
		out = e.longest
	}
	e.until.Store(now.Add(out).UnixNano())
	return n == e.after
}

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

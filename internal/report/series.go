package report

import (
	"fmt"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// maxPoints bounds every plotted series; a longer one is kept at half the
// resolution, again and again.
const maxPoints = 600

// armSum adds up one arm's ticks.
type armSum struct {
	ticks            int
	requests, errors float64
	latency          distribution
}

func (a *armSum) add(s *rollout.Sample) {
	if s == nil {
		return
	}
	a.ticks++
	a.requests += value(s.Requests)
	a.errors += value(s.Errors)
	if a.latency == nil {
		a.latency = distribution{}
	}
	a.latency.add(s.Latency)
}

func (a *armSum) merge(b armSum) {
	a.ticks += b.ticks
	a.requests += b.requests
	a.errors += b.errors
	if a.latency == nil {
		a.latency = distribution{}
	}
	a.latency.merge(b.latency)
}

func (a armSum) figures() Figures {
	f := Figures{Known: a.ticks > 0, Requests: a.requests, Errors: a.errors}
	if q := a.latency.quantiles(0.50, 0.95, 0.99); q != nil {
		f.P50, f.P95, f.P99 = q[0], q[1], q[2]
	}
	return f
}

func value(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

// bin is one or several neighbouring ticks.
type bin struct {
	from, to       time.Time
	stable, canary armSum
}

// trafficSeries holds both arms over time.
type trafficSeries struct {
	bins []bin
	// each bin holds this many ticks, the last one perhaps fewer.
	each, filled int
}

func (s *trafficSeries) add(from, to time.Time, arms rollout.Arms) {
	s.each = max(s.each, 1)
	if len(s.bins) == 0 || s.filled == s.each {
		if len(s.bins) == maxPoints {
			s.halve()
		}
		s.bins = append(s.bins, bin{from: from})
		s.filled = 0
	}
	b := &s.bins[len(s.bins)-1]
	b.to = to
	b.stable.add(arms.Stable)
	b.canary.add(arms.Canary)
	s.filled++
}

func (s *trafficSeries) halve() {
	half := s.bins[:0]
	for i := 0; i+1 < len(s.bins); i += 2 {
		a, b := s.bins[i], s.bins[i+1]
		a.to = b.to
		a.stable.merge(b.stable)
		a.canary.merge(b.canary)
		half = append(half, a)
	}
	s.bins, s.each = half, 2*s.each
}

// checkPoint is one result of one check.
type checkPoint struct {
	at                  time.Time
	ratio, low, high    float64
	evidence, needed    float64
	judged, nonInferior bool
}

// thin keeps of every two neighbours the one with more evidence of harm.
func thin(points []checkPoint) []checkPoint {
	half := points[:0]
	for i := 0; i < len(points); i += 2 {
		p := points[i]
		if i+1 < len(points) && points[i+1].evidence >= p.evidence {
			p = points[i+1]
		}
		half = append(half, p)
	}
	return half
}

// weightPoint is a moment at which the new version's share of the traffic, asked
// for or seen, changed.
type weightPoint struct {
	at          time.Time
	asked, seen int // seen is -1 when it could not be seen
}

// shareOf is the new version's share: everything, once the stable arm reaches
// its instances.
func shareOf(weight int, promoted bool) int {
	if promoted {
		return rollout.Full
	}
	return weight
}

// weigh notes what a decision asked for and what was seen before it.
func (b *builder) weigh(d record.Decision, seen *engine.Weight) {
	p := weightPoint{at: d.At, asked: shareOf(d.Want.Weight, d.Want.Promoted), seen: -1}
	if seen != nil {
		p.seen = shareOf(seen.Percent, seen.Promoted)
	}
	b.putWeight(p)
}

// weighed notes that the router took a weight.
func (b *builder) weighed(e record.Effect) {
	var from, to int
	if n, _ := fmt.Sscanf(e.Detail, "%d -> %d", &from, &to); n != 2 || len(b.r.weights) == 0 {
		return
	}
	p := b.r.weights[len(b.r.weights)-1]
	p.at, p.seen = e.At, shareOf(to, b.lastDecision.Want.Promoted)
	b.putWeight(p)
}

func (b *builder) putWeight(p weightPoint) {
	w := b.r.weights
	if n := len(w); n > 0 && w[n-1].asked == p.asked && w[n-1].seen == p.seen {
		return
	}
	if len(w) >= 2*maxPoints { // a weight that flaps for hours
		kept := w[:0]
		for i := 0; i < len(w); i += 2 {
			kept = append(kept, w[i])
		}
		w = kept
	}
	b.r.weights = append(w, p)
}

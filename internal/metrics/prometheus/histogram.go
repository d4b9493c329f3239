package prometheus

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/prometheus/common/model"

	"serin.dev/serin/internal/rollout"
)

// histogram is a distribution by buckets that do not overlap.
type histogram struct {
	count, sum float64
	buckets    map[interval]float64
}

// interval is what a bucket holds: above lower, up to upper.
type interval struct{ lower, upper float64 }

func (h classicHistogram) histogram() histogram {
	out := histogram{sum: h.sum, buckets: map[interval]float64{}}
	lower, below := 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(h.below)) {
		// Bounds at or below zero hold no response time.
		if bound <= 0 {
			continue
		}
		out.buckets[interval{lower, bound}] = max(0, h.below[bound]-below)
		lower, below = bound, max(below, h.below[bound])
	}
	if !math.IsInf(lower, 1) {
		out.buckets[interval{lower, math.Inf(1)}] = max(0, h.count-below)
	}
	out.count = max(below, h.count)
	return out
}

func fromNative(h *model.SampleHistogram) histogram {
	out := histogram{count: float64(h.Count), sum: float64(h.Sum), buckets: map[interval]float64{}}
	for _, b := range h.Buckets {
		// The bucket around zero reaches below it.
		out.buckets[interval{max(0, float64(b.Lower)), float64(b.Upper)}] += float64(b.Count)
	}
	return out
}

// subtract returns what came between two scrapes; false when the histogram
// began anew in between. All its series belong together: the counts of a
// quicker program may rise in some buckets although it began anew.
func (h histogram) subtract(before histogram) (histogram, bool) {
	if h.count < before.count || h.sum < before.sum {
		return h, false
	}
	out := histogram{count: h.count - before.count, sum: h.sum - before.sum, buckets: map[interval]float64{}}
	maps.Copy(out.buckets, h.buckets)
	for old, n := range before.buckets {
		if n == 0 {
			continue
		}
		// The same bucket, or, where a native histogram has halved its
		// resolution, the one that now holds it.
		into, found := old, false
		if _, found = h.buckets[old]; !found {
			for b := range h.buckets {
				if b.lower <= old.lower && old.upper <= b.upper {
					into, found = b, true
				}
			}
		}
		if out.buckets[into] -= n; !found || out.buckets[into] < 0 {
			return h, false
		}
	}
	return out, true
}

func (h histogram) plus(other histogram) histogram {
	out := histogram{count: h.count + other.count, sum: h.sum + other.sum, buckets: map[interval]float64{}}
	maps.Copy(out.buckets, h.buckets)
	for b, n := range other.buckets {
		out.buckets[b] += n
	}
	return out
}

// sample writes it as a tick does, in seconds. Where instances have different
// buckets, only the bounds remain that cut none of them.
func (h histogram) sample(unit float64) *rollout.Histogram {
	var held []interval
	total := 0.0
	bounds := map[float64]bool{}
	for b, n := range h.buckets {
		for _, bound := range []float64{b.lower, b.upper} {
			if bound > 0 && !math.IsInf(bound, 1) {
				bounds[bound] = true
			}
		}
		if n > 0 {
			held = append(held, b)
			total += n
		}
	}
	if total == 0 {
		return nil
	}
	slices.SortFunc(held, func(a, b interval) int { return cmp.Or(cmp.Compare(a.upper, b.upper), cmp.Compare(a.lower, b.lower)) })
	out := &rollout.Histogram{Sum: new(max(0, h.sum) * unit)}
	for _, bound := range slices.Sorted(maps.Keys(bounds)) {
		cut := slices.ContainsFunc(held, func(b interval) bool { return b.lower < bound && bound < b.upper })
		if !cut {
			out.Bounds = append(out.Bounds, bound)
		}
	}
	out.Counts = make([]float64, len(out.Bounds)+1)
	for _, b := range held {
		i, _ := slices.BinarySearch(out.Bounds, b.upper)
		out.Counts[i] += h.buckets[b]
	}
	for i := range out.Bounds {
		out.Bounds[i] *= unit
	}
	return out
}

package analysis

import (
	"math"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// fineGrowth is the growth from bucket to bucket up to which a histogram
// resolves a margin of ten percent.
const fineGrowth = 1.12

// distribution sums up one histogram. A response time's score is the logarithm
// of the middle of its bucket.
type distribution struct {
	n float64
	// mean and variance are those of the scores.
	mean, variance float64
	// relative is the squared coefficient of variation of the times themselves,
	// where instances are compared by it.
	relative float64
	// fine is how many lie in buckets narrow enough.
	fine float64
	// seconds is the sum of the times; known says whether it was measured.
	seconds float64
	known   bool
}

// bucketLogs returns the logarithms of a bucket's edges. The first bucket is
// taken to be as wide as the second, and the last, open one as wide as the one
// before it.
func bucketLogs(bounds []float64, i int) (lo, hi float64) {
	last := len(bounds) - 1
	switch {
	case i == 0:
		hi = math.Log(bounds[0])
		return hi - edgeGrowth(bounds, 1), hi
	case i > last:
		lo = math.Log(bounds[last])
		return lo, lo + edgeGrowth(bounds, last)
	}
	return math.Log(bounds[i-1]), math.Log(bounds[i])
}

// edgeGrowth is the logarithm of bound i over the one before; for a single
// bound a guess.
func edgeGrowth(bounds []float64, i int) float64 {
	if len(bounds) < 2 {
		return math.Ln2
	}
	return math.Log(bounds[i] / bounds[i-1])
}

// bucketMiddle is exp(g), the geometric middle of bucket i, without the
// exponential where there is a cheaper way.
func bucketMiddle(bounds []float64, i int, g float64) float64 {
	if i == 0 || i == len(bounds) {
		return math.Exp(g)
	}
	return math.Sqrt(bounds[i-1] * bounds[i])
}

// ruler is what a histogram's buckets are by themselves. It is never changed.
type ruler struct {
	bounds  []float64
	buckets []bucket
}

// bucket is one bucket: the score of a time in it, that time in seconds, and
// whether it is narrow.
type bucket struct {
	score, seconds float64
	fine           bool
}

func rulerOf(bounds []float64) *ruler {
	r := &ruler{slices.Clone(bounds), make([]bucket, len(bounds)+1)}
	edge := 0.0
	for i := range r.buckets {
		var lo, hi float64
		if i > 0 && i < len(bounds) {
			lo, hi = edge, math.Log(bounds[i])
		} else {
			lo, hi = bucketLogs(bounds, i)
		}
		edge = hi
		g := (lo + hi) / 2
		r.buckets[i] = bucket{g, bucketMiddle(bounds, i, g), hi-lo <= logFineGrowth}
	}
	return r
}

// rulers are those used last. Buckets seldom change from tick to tick, and their
// logarithms take longer than adding up what is in them.
type rulers [2]*ruler

// of returns the ruler for these bounds, at least one.
func (r *rulers) of(bounds []float64) *ruler {
	for _, known := range r {
		if known != nil && slices.Equal(known.bounds, bounds) {
			return known
		}
	}
	r[0], r[1] = rulerOf(bounds), r[0]
	return r[0]
}

// describe sums up a histogram; ok is false when it has no distribution.
func (r *rulers) describe(h *rollout.Histogram) (d distribution, ok bool) {
	if h == nil || len(h.Bounds) == 0 {
		return d, false
	}
	buckets := r.of(h.Bounds).buckets
	var n, fine, sum, squares float64
	// Empty buckets are added too: to tell them apart takes longer.
	for i, c := range h.Counts {
		b := &buckets[i]
		n += c
		sum += c * b.score
		squares += c * b.score * b.score
		if b.fine {
			fine += c
		}
	}
	if n == 0 {
		return d, true
	}
	mean := sum / n
	d = distribution{n: n, fine: fine, mean: mean, variance: max(0, squares/n-mean*mean)}
	if h.Sum != nil {
		d.seconds, d.known = *h.Sum, true
	} else {
		d.seconds, _ = secondsIn(h, buckets)
	}
	return d, true
}

// secondsIn is the sum of the times in a histogram, each taken at its bucket's
// middle, and of their squares.
func secondsIn(h *rollout.Histogram, buckets []bucket) (sum, squares float64) {
	for i, c := range h.Counts {
		b := &buckets[i]
		sum += c * b.seconds
		squares += c * b.seconds * b.seconds
	}
	return sum, squares
}

// relative is the squared coefficient of variation of n times in a histogram.
func (r *rulers) relative(h *rollout.Histogram, n float64) float64 {
	sum, squares := secondsIn(h, r.of(h.Bounds).buckets)
	return max(0, squares*n/(sum*sum)-1)
}

var logFineGrowth = math.Log(fineGrowth)

// sameBound says whether two bounds are one, written by different hands.
func sameBound(a, b float64) bool { return math.Abs(a-b) <= 1e-6*b }

// above counts the times above an edge. ok is false when the edge cuts through
// a bucket, so that the count would not be comparable.
func above(h *rollout.Histogram, edge float64) (n float64, ok bool) {
	i, _ := slices.BinarySearch(h.Bounds, edge*(1-1e-6))
	switch {
	case i == len(h.Bounds):
		// The grid ends below the edge: a count there may lie on either side.
		return 0, h.Counts[i] == 0
	case sameBound(h.Bounds[i], edge):
		i++
	case i > 0 || h.Counts[0] > 0:
		return 0, false
	}
	for _, c := range h.Counts[i:] {
		n += c
	}
	return n, true
}

// sameGrid says whether two histograms have the same buckets, one possibly a
// part of the other's: whether every bound that lies in both ranges is in both.
func sameGrid(a, b []float64) bool {
	i, j := 0, 0
	if a[0] < b[0] {
		i, _ = slices.BinarySearch(a, b[0]*(1-1e-6))
	} else {
		j, _ = slices.BinarySearch(b, a[0]*(1-1e-6))
	}
	for ; i < len(a) && j < len(b); i, j = i+1, j+1 {
		if !sameBound(a[i], b[j]) {
			return false
		}
	}
	return true
}

package proxy

import (
	"math"
	"sync/atomic"
	"time"
)

// Histogram is a count of durations in fixed log-spaced buckets. Bounds are
// upper bounds in seconds, ascending, and the same for every histogram of this
// package, so that two snapshots can be subtracted; Counts has one entry more,
// the last for what lies above all bounds. Bounds is shared: do not write to it.
type Histogram struct {
	Bounds []float64
	Counts []uint64
	Sum    float64 // seconds
}

// Count is the number of durations recorded.
func (h Histogram) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// The grid: 10 µs to 100 s, 117 buckets a decade, a growth of 10^(1/117) =
// 1.0199 a bucket.
const (
	firstBound       = 1e-5
	decades          = 7
	bucketsPerDecade = 117
	boundCount       = decades*bucketsPerDecade + 1
)

var bounds = func() []float64 {
	b := make([]float64, boundCount)
	for i := range b {
		b[i] = firstBound * math.Pow(10, float64(i)/bucketsPerDecade)
	}
	return b
}()

// bucketOf is the index of the first bound that is not below v, or boundCount.
func bucketOf(v float64) int {
	if v <= firstBound {
		return 0
	}
	i := int(math.Ceil(math.Log10(v/firstBound) * bucketsPerDecade))
	// The logarithm may land one off at an edge; the bounds decide.
	if i > 0 && i <= boundCount && v <= bounds[i-1] {
		i--
	} else if i < boundCount && v > bounds[i] {
		i++
	}
	return min(i, boundCount)
}

// latencies records durations without a lock.
type latencies struct {
	counts [boundCount + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

func (l *latencies) record(d time.Duration) {
	l.counts[bucketOf(d.Seconds())].Add(1)
	l.sum.Add(int64(d))
}

func (l *latencies) snapshot() Histogram {
	h := Histogram{Bounds: bounds, Counts: make([]uint64, boundCount+1)}
	for i := range l.counts {
		h.Counts[i] = l.counts[i].Load()
	}
	h.Sum = time.Duration(l.sum.Load()).Seconds()
	return h
}

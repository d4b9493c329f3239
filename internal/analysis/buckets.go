package analysis

import (
	"fmt"

	"serin.dev/serin/internal/rollout"
)

const (
	// leastShared is how many bounds two grids must share for what lies between
	// them to be compared.
	leastShared = 3
	// blindShare is the part of both arms' response times in one wide bucket
	// from which on the buckets tell nothing of them.
	blindShare = 0.9
)

// alike returns two arms' histograms in a form that can be compared: as they
// are when both are fine or have the same buckets, else on the bounds that they
// share. Where there is no such form, why says so and what would mend it.
func alike(a, b histogram, coarse bool) (x, y histogram, why string) {
	if a.n == 0 || b.n == 0 {
		return a, b, ""
	}
	fine := a.isFine() && b.isFine()
	if fine && !coarse {
		return a, b, ""
	}
	if !sameGrid(a.of.Bounds, b.of.Bounds) {
		bounds := shared(a.of.Bounds, b.of.Bounds)
		if len(bounds) < leastShared {
			return a, b, fmt.Sprintf("the histograms of the canary (%s) and of stable (%s) cannot be compared; give both versions the same buckets",
				describeBounds(a.of.Bounds), describeBounds(b.of.Bounds))
		}
		a, b = onBounds(a.of, bounds), onBounds(b.of, bounds)
	}
	if !fine && (!a.known || !b.known) && a.inOneWith(b) {
		return a, b, "nearly all response times of both versions lie in one wide bucket and there is no sum of them, so they cannot be compared; add buckets there, or the sum"
	}
	return a, b, ""
}

// inOneWith says whether nearly all times of both lie in the same bucket.
func (h histogram) inOneWith(other histogram) bool {
	edge, most := h.fullest()
	otherEdge, otherMost := other.fullest()
	return edge == otherEdge && most >= blindShare*h.n && otherMost >= blindShare*other.n
}

// fullest is the upper edge of the bucket with the most times, on the logarithm,
// and how many they are.
func (h histogram) fullest() (edge, most float64) {
	fullest := 0
	for i, c := range h.of.Counts {
		if c > most {
			fullest, most = i, c
		}
	}
	_, edge = bucketLogs(h.of.Bounds, fullest)
	return edge, most
}

// isFine says whether nearly all times lie in narrow buckets.
func (h histogram) isFine() bool { return h.fine >= 0.9*h.n }

// grid is what tells wide buckets from others: how many bounds there are, the
// first and the last.
type grid struct {
	Bounds int     `json:"bounds"`
	First  float64 `json:"first"`
	Last   float64 `json:"last"`
}

func gridOf(bounds []float64) grid {
	return grid{len(bounds), bounds[0], bounds[len(bounds)-1]}
}

// unlike says why the canary's times cannot be compared with stable's earlier
// ones; empty when they can.
func (v *stableTimes) unlike(canary histogram, coarse bool) string {
	if canary.n == 0 || v.Requests == 0 {
		return ""
	}
	g := gridOf(canary.of.Bounds)
	if !coarse && canary.isFine() || coarse && g.Bounds == v.Wide.Bounds && sameBound(g.First, v.Wide.First) && sameBound(g.Last, v.Wide.Last) {
		return ""
	}
	return fmt.Sprintf("the canary's histogram (%s) cannot be compared with what stable's was before; keep the buckets that it had", describeBounds(canary.of.Bounds))
}

func describeBounds(bounds []float64) string {
	return plural(len(bounds), "bound") + " up to " + seconds(bounds[len(bounds)-1])
}

// shared are the bounds that two grids have in common.
func shared(a, b []float64) []float64 {
	var both []float64
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case sameBound(a[i], b[j]):
			both = append(both, a[i])
			i, j = i+1, j+1
		case a[i] < b[j]:
			i++
		default:
			j++
		}
	}
	return both
}

// onBounds is a histogram with some of its bounds only.
func onBounds(h *rollout.Histogram, bounds []float64) histogram {
	counts := make([]float64, len(bounds)+1)
	k := 0
	for i, c := range h.Counts {
		// Bucket i ends at bound i, so it belongs to the first one not below.
		for k < len(bounds) && (i == len(h.Bounds) || bounds[k] < h.Bounds[i] && !sameBound(bounds[k], h.Bounds[i])) {
			k++
		}
		counts[k] += c
	}
	less := &rollout.Histogram{Bounds: bounds, Counts: counts, Sum: h.Sum, Count: h.Count}
	var r rulers
	d, _ := r.describe(less)
	return histogram{d, less}
}

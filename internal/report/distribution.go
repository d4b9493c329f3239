package report

import (
	"math"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// distribution counts response times in buckets 2 % apart, so that histograms
// with different bounds can be added.
type distribution map[int]float64

const growth = 1.02

// add takes in a histogram; a bucket's counts go to its middle.
func (d distribution) add(h *rollout.Histogram) {
	if h == nil || len(h.Counts) != len(h.Bounds)+1 {
		return
	}
	for i, n := range h.Counts {
		if n <= 0 || math.IsNaN(n) || math.IsInf(n, 0) {
			continue
		}
		if v := middle(h.Bounds, i); v > 0 && !math.IsInf(v, 0) {
			d[int(math.Round(math.Log(v)/math.Log(growth)))] += n
		}
	}
}

// middle is a typical value of bucket i; of the first and the last only one
// bound is known.
func middle(bounds []float64, i int) float64 {
	switch {
	case len(bounds) == 0:
		return 0
	case i == 0:
		return bounds[0]
	case i == len(bounds):
		return bounds[i-1]
	case bounds[i-1] <= 0:
		return bounds[i]
	}
	return math.Sqrt(bounds[i-1] * bounds[i])
}

func (d distribution) merge(o distribution) {
	for k, n := range o {
		d[k] += n
	}
}

// quantiles returns the values at each q, ascending; nil when nothing was
// counted.
func (d distribution) quantiles(qs ...float64) []float64 {
	keys := make([]int, 0, len(d))
	total := 0.0
	for k, n := range d {
		keys = append(keys, k)
		total += n
	}
	if total == 0 {
		return nil
	}
	slices.Sort(keys)
	out := make([]float64, 0, len(qs))
	sum, i := 0.0, 0
	for _, q := range qs {
		for i < len(keys)-1 && sum+d[keys[i]] < q*total {
			sum += d[keys[i]]
			i++
		}
		out = append(out, math.Pow(growth, float64(keys[i])))
	}
	return out
}

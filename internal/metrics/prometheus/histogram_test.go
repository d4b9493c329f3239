package prometheus

import (
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/common/model"
)

func classicOf(sum float64, below map[float64]float64) histogram {
	return classicHistogram{sum: sum, count: below[math.Inf(1)], below: below}.histogram()
}

var inf = math.Inf(1)

func TestAHistogramBeginsAnewAsAWhole(t *testing.T) {
	before := classicOf(10, map[float64]float64{0.1: 2, 1: 10, inf: 20})
	for _, c := range []struct {
		name  string
		now   histogram
		whole bool
		count float64
		want  string
	}{
		{"goes on", classicOf(14, map[float64]float64{0.1: 3, 1: 12, inf: 24}), true, 4, "[0.1 1] [1 1 2]"},
		{"began anew, quicker than before", classicOf(0.5, map[float64]float64{0.1: 9, 1: 11, inf: 11}), false, 11, "[0.1 1] [9 2 0]"},
		{"began anew and passed its old count", classicOf(3, map[float64]float64{0.1: 21, 1: 21, inf: 21}), false, 21, "[0.1 1] [21 0 0]"},
		{"has other buckets", classicOf(30, map[float64]float64{0.5: 9, inf: 40}), false, 40, "[0.5] [9 31]"},
	} {
		by, whole := c.now.subtract(before)
		s := by.sample(1)
		if got := fmt.Sprint(s.Bounds, s.Counts); whole != c.whole || by.count != c.count || got != c.want {
			t.Errorf("%s: %v, count %v, %s; want %v, %v, %s", c.name, whole, by.count, got, c.whole, c.count, c.want)
		}
	}
}

func TestInstancesWithOtherBucketsKeepTheBoundsTheyShare(t *testing.T) {
	a := classicOf(1, map[float64]float64{0.1: 1, 0.5: 3, 1: 4, inf: 5})
	b := classicOf(2, map[float64]float64{0.2: 10, 1: 20, inf: 20})
	s := a.plus(b).sample(1)
	if got := fmt.Sprint(s.Bounds, s.Counts, *s.Sum); got != "[1] [24 1] 3" {
		t.Errorf("%s", got)
	}
	// A bucket that holds nothing cuts nothing.
	c := classicOf(2, map[float64]float64{0.2: 10, 1: 10, inf: 10})
	s = classicOf(1, map[float64]float64{0.2: 1, 0.5: 3, 1: 4, inf: 5}).plus(c).sample(0.001)
	if got := fmt.Sprint(s.Bounds, s.Counts, *s.Sum); got != "[0.0002 0.0005 0.001] [11 2 1 1] 0.003" {
		t.Errorf("%s", got)
	}
	if s := classicOf(0, map[float64]float64{1: 0, inf: 0}).sample(1); s != nil {
		t.Errorf("nothing happened, and there is %+v", s)
	}
}

func TestNativeHistogramsAreCountedThroughAChangeOfResolution(t *testing.T) {
	native := func(count, sum float64, buckets ...model.HistogramBucket) histogram {
		h := &model.SampleHistogram{Count: model.FloatString(count), Sum: model.FloatString(sum)}
		for i := range buckets {
			h.Buckets = append(h.Buckets, &buckets[i])
		}
		return fromNative(h)
	}
	before := native(5, 10, model.HistogramBucket{Boundaries: 3, Lower: -0.001, Upper: 0.001, Count: 1},
		model.HistogramBucket{Lower: 1, Upper: 2, Count: 3}, model.HistogramBucket{Lower: 2, Upper: 4, Count: 1})
	coarser := native(9, 20, model.HistogramBucket{Boundaries: 3, Lower: -0.001, Upper: 0.001, Count: 1}, model.HistogramBucket{Lower: 1, Upper: 4, Count: 8})
	by, whole := coarser.subtract(before)
	s := by.sample(1)
	if got := fmt.Sprint(s.Bounds, s.Counts, *s.Sum); !whole || got != "[0.001 1 4] [0 0 4 0] 10" {
		t.Errorf("%v, %s", whole, got)
	}
	if _, whole := native(9, 20, model.HistogramBucket{Lower: 8, Upper: 16, Count: 9}).subtract(before); whole {
		t.Error("a histogram whose observations vanished was taken as going on")
	}
}

package view

import (
	"slices"
	"sort"
	"time"

	"serin.dev/serin/internal/rollout"
)

// sum adds up what one arm did in several ticks.
type sum struct {
	requests, errors *float64
	// bounds are the upper bounds of the buckets seen, counts what is in each.
	counts map[float64]float64
	above  float64
	total  float64
}

func (s *sum) add(a *rollout.Sample) {
	if a == nil {
		return
	}
	plus := func(to **float64, v *float64) {
		if v == nil {
			return
		}
		if *to == nil {
			*to = new(float64)
		}
		**to += *v
	}
	plus(&s.requests, a.Requests)
	plus(&s.errors, a.Errors)
	if h := a.Latency; h != nil && len(h.Counts) == len(h.Bounds)+1 {
		if s.counts == nil {
			s.counts = map[float64]float64{}
		}
		for i, n := range h.Counts {
			if i < len(h.Bounds) && n > 0 {
				s.counts[h.Bounds[i]] += n
			} else {
				s.above += n
			}
			s.total += n
		}
	}
}

// fill writes the figures of the ticks, which lasted length together.
func (s *sum) fill(a *Arm, length time.Duration) {
	if s.requests != nil && length > 0 {
		rate := *s.requests / length.Seconds()
		a.PerSecond = &rate
	}
	if s.requests != nil && s.errors != nil && *s.requests > 0 {
		rate := *s.errors / *s.requests
		a.ErrorRate = &rate
	}
	bounds := make([]float64, 0, len(s.counts))
	for b := range s.counts {
		bounds = append(bounds, b)
	}
	slices.Sort(bounds)
	a.P50, a.P95, a.P99 = s.quantile(bounds, 0.50), s.quantile(bounds, 0.95), s.quantile(bounds, 0.99)
}

// quantile is the upper bound of the bucket that holds it; nil without
// observations, or when it is above every bound.
func (s *sum) quantile(bounds []float64, q float64) *time.Duration {
	if s.total == 0 {
		return nil
	}
	cumulated := make([]float64, len(bounds))
	n := 0.0
	for i, b := range bounds {
		n += s.counts[b]
		cumulated[i] = n
	}
	i := sort.SearchFloat64s(cumulated, q*s.total)
	if i >= len(bounds) {
		return nil
	}
	d := time.Duration(bounds[i] * float64(time.Second))
	return &d
}

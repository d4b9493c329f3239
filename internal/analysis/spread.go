package analysis

import (
	"math"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// spread learns how much instances of the same version differ from each other
// (τ²), from stable's. One canary instance that is slower by no more than that
// says nothing about its version.
type spread struct {
	// Instances are stable's, in the order of first sight, at most spreadLimit.
	Instances []instanceScore `json:"instances,omitempty"`
	// Canary and Stable are how many instances each arm has.
	Canary int `json:"canary,omitempty"`
	Stable int `json:"stable,omitempty"`
	// Baseline is how many the arm had that the canary was compared with, where
	// that was a baseline.
	Baseline int `json:"baseline,omitempty"`
}

// instanceScore is the sum of an instance's deviations from its arm, each
// weighted by its requests, and the noise that requests alone put in it.
type instanceScore struct {
	Name      string  `json:"name"`
	Requests  float64 `json:"n"`
	Deviation float64 `json:"d"`
	Noise     float64 `json:"v"`
}

const (
	spreadLimit = 32
	// spreadName is the longest name remembered, so that the state stays small.
	spreadName = 100
	// spreadRequests is how many requests make an instance's score.
	spreadRequests = 30
	// Before anything is seen, instances are taken to differ by 5 %, which
	// weighs as much as three instances' figures do.
	priorSpread  = 0.05
	priorFreedom = 2
)

func (s spread) clone() spread {
	s.Instances = slices.Clone(s.Instances)
	return s
}

// add takes in how many instances there are and how stable's fared in a tick
// in which the arm as a whole had the given distribution.
func (s *spread) add(stable, canary *rollout.Sample, arm distribution) {
	if n := instanceCount(canary); n > 0 {
		s.Canary = n
	}
	if n := instanceCount(stable); n > 0 {
		s.Stable = n
	}
	if stable == nil || arm.n == 0 || arm.seconds <= 0 {
		return
	}
	s.meet(stable.ByInstance)
	for i := range s.Instances {
		score := &s.Instances[i]
		in := stable.ByInstance[score.Name]
		if in == nil || in.Latency == nil {
			continue
		}
		if n, deviation, noise := deviationOf(in.Latency, arm); n > 0 {
			score.Requests += n
			score.Deviation += n * deviation
			score.Noise += n * noise
		}
	}
}

// meet adds the instances that are new, in the order of their names.
func (s *spread) meet(instances map[string]*rollout.InstanceSample) {
	known := 0
	for _, in := range s.Instances {
		if _, ok := instances[in.Name]; ok {
			known++
		}
	}
	if known == len(instances) || len(s.Instances) == spreadLimit {
		return
	}
	for _, name := range sortedKeys(instances) {
		same := func(in instanceScore) bool { return in.Name == name }
		if len(s.Instances) < spreadLimit && len(name) <= spreadName && !slices.ContainsFunc(s.Instances, same) {
			s.Instances = append(s.Instances, instanceScore{Name: name})
		}
	}
}

func instanceCount(s *rollout.Sample) int {
	switch {
	case s == nil:
		return 0
	case s.Instances != nil:
		return *s.Instances
	}
	return len(s.ByInstance)
}

// deviationOf is by what part an instance was slower than its arm, and the
// variance that one request's figure has.
func deviationOf(h *rollout.Histogram, arm distribution) (n, deviation, noise float64) {
	if h.Sum != nil {
		switch {
		case h.Count != nil:
			n = *h.Count
		default:
			for _, c := range h.Counts {
				n += c
			}
		}
		if n > 0 {
			return n, *h.Sum/n/(arm.seconds/arm.n) - 1, arm.relative
		}
		return 0, 0, 0
	}
	var r rulers // instances may be many, each with buckets of its own
	d, _ := r.describe(h)
	return d.n, d.mean - arm.mean, arm.variance
}

// between is ω²: the variance that differences between instances put in the
// comparison of the arms, which more requests do not reduce. known is false
// when stable's instances were not seen one by one, or it has just one.
func (s *spread) between() (variance float64, known bool) {
	tau, ok := s.tau()
	if !ok {
		return 0, false
	}
	return tau * (1/float64(max(1, s.Canary)) + 1/float64(max(1, s.against()))), true
}

// against is how many instances the canary's are compared with; the fewer of
// both when it was a baseline for part of the time.
func (s *spread) against() int {
	if s.Baseline > 0 {
		return min(s.Baseline, max(1, s.Stable))
	}
	return s.Stable
}

// tau is τ², the variance between instances less that of their requests.
func (s *spread) tau() (float64, bool) {
	var n, sum, squares, noise float64
	for _, in := range s.Instances {
		if in.Requests < spreadRequests {
			continue
		}
		d := in.Deviation / in.Requests
		n++
		sum += d
		squares += d * d
		noise += in.Noise / (in.Requests * in.Requests)
	}
	switch {
	case len(s.Instances) < 2:
		return 0, false
	case n < 2:
		return priorSpread * priorSpread, true
	}
	seen := max(0, (squares-sum*sum/n)/(n-1)-noise/n)
	return (priorFreedom*priorSpread*priorSpread + (n-1)*seen) / (priorFreedom + n - 1), true
}

// podsNeeded is how many canary instances it would take to attribute a shift of
// that size, given at most so much variance; 0 when no number would do.
func (s *spread) podsNeeded(variance float64) int {
	tau, ok := s.tau()
	if !ok {
		return 0
	}
	if s.Baseline > 0 {
		// The baseline grows with the canary.
		return int(math.Ceil(2 * tau / variance))
	}
	left := variance - tau/float64(max(1, s.Stable))
	if left <= 0 {
		return 0
	}
	return int(math.Ceil(tau / left))
}

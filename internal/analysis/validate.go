package analysis

import (
	"fmt"
	"math"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// maxCount bounds what one tick may count, far above any real service and far
// below where arithmetic loses whole numbers.
const maxCount = 1e12

// maxSeconds bounds a histogram's bounds and the mean of its sum.
const maxSeconds = 1e9

// Validate says what is wrong with a tick: the path of the first wrong field
// and what would mend it. A tick that Validate refuses must not be judged; Step
// treats it as one whose scrapes failed.
func Validate(t rollout.Tick) error {
	if t.At.IsZero() {
		return fmt.Errorf("tick: has no time; write the end of the interval, such as 2026-01-01T00:00:10Z")
	}
	if t.Weight < 0 || t.Weight > rollout.Full {
		return fmt.Errorf("weight: %d is not a share in percent; write 0 to 100", t.Weight)
	}
	if err := validateSample("arms.stable", t.Arms.Stable); err != nil {
		return err
	}
	return validateSample("arms.canary", t.Arms.Canary)
}

func validateSample(path string, s *rollout.Sample) error {
	if s == nil {
		return nil
	}
	if s.Instances != nil && *s.Instances < 0 {
		return fmt.Errorf("%s.instances: %d is negative; write how many instances reported", path, *s.Instances)
	}
	if err := validateTraffic(path, s.Requests, s.Errors, s.Latency); err != nil {
		return err
	}
	if err := validateCount(path+".complaints", s.Complaints); err != nil {
		return err
	}
	for _, e := range s.Exceptions {
		if err := validateCount(path+".exceptions["+e.Class+"].count", &e.Count); err != nil {
			return err
		}
	}
	// In the order of the names, so that the same tick gives the same error.
	for _, name := range sortedKeys(s.ByInstance) {
		if in := s.ByInstance[name]; in != nil {
			if err := validateTraffic(path+".byInstance."+name, in.Requests, in.Errors, in.Latency); err != nil {
				return err
			}
		}
	}
	return nil
}

func validateTraffic(path string, requests, errors *float64, latency *rollout.Histogram) error {
	if err := validateCount(path+".requests", requests); err != nil {
		return err
	}
	if err := validateCount(path+".errors", errors); err != nil {
		return err
	}
	if requests != nil && errors != nil && *errors > *requests {
		return fmt.Errorf("%s.errors: %v is more than the %v requests; count an errored request in both", path, *errors, *requests)
	}
	return validateHistogram(path+".latency", latency)
}

func validateCount(path string, v *float64) error {
	switch {
	case v == nil:
		return nil
	case math.IsNaN(*v) || math.IsInf(*v, 0):
		return fmt.Errorf("%s: %v is no number; leave the key out when it was not measured", path, *v)
	case *v < 0:
		return fmt.Errorf("%s: %v is negative; write the increment within the tick, and the new value when a counter was reset", path, *v)
	case *v > maxCount:
		return fmt.Errorf("%s: %v is beyond belief for one tick; write the increment within the tick", path, *v)
	}
	return nil
}

func validateHistogram(path string, h *rollout.Histogram) error {
	if h == nil {
		return nil
	}
	if err := validateCount(path+".count", h.Count); err != nil {
		return err
	}
	if h.Sum != nil && (math.IsNaN(*h.Sum) || *h.Sum < 0 || *h.Sum > maxCount*maxSeconds) {
		return fmt.Errorf("%s.sum: %v is no sum of response times; write seconds, 0 or more", path, *h.Sum)
	}
	if len(h.Counts) == 0 {
		if len(h.Bounds) > 0 {
			return fmt.Errorf("%s.counts: missing although there are %d bounds; write %d counts", path, len(h.Bounds), len(h.Bounds)+1)
		}
		return nil
	}
	if len(h.Counts) != len(h.Bounds)+1 {
		return fmt.Errorf("%s.counts: has %d entries for %d bounds; write one more than bounds, the last for everything above", path, len(h.Counts), len(h.Bounds))
	}
	last := 0.0
	for i, b := range h.Bounds {
		if math.IsNaN(b) || b <= last || b > maxSeconds {
			return fmt.Errorf("%s.bounds[%d]: %v does not continue the bounds; write upper bounds in seconds, above 0 and ascending", path, i, b)
		}
		last = b
	}
	for i := range h.Counts {
		if c := h.Counts[i]; !(c >= 0 && c <= maxCount) {
			return fmt.Errorf("%s.counts[%d]: %v is no count; write the increment within the tick, 0 or more", path, i, c)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

package analysis

import (
	"fmt"
	"math"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// What one tick may count, when not nothing, lies between these: far above any
// real service and far below where arithmetic loses whole numbers, and far below
// the fractions that an interpolated increment may have.
const (
	minCount = 1e-9
	maxCount = 1e12
)

// A histogram's bounds and the mean of its sum lie between these.
const (
	minSeconds = 1e-12
	maxSeconds = 1e9
)

const maxInstances = 1e6

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
	for _, arm := range t.Unsplit {
		if arm != rollout.Stable && arm != rollout.Canary {
			return fmt.Errorf("unsplit: %.60q is no arm whose share is looked at; write stable or canary", arm)
		}
	}
	if err := validateSample(t.Arms.Stable); err != nil {
		return fmt.Errorf("arms.stable.%w", err)
	}
	if err := validateSample(t.Arms.Canary); err != nil {
		return fmt.Errorf("arms.canary.%w", err)
	}
	if err := validateSample(t.Arms.Baseline); err != nil {
		return fmt.Errorf("arms.baseline.%w", err)
	}
	if err := validateHistory(t.History); err != nil {
		return fmt.Errorf("history.%w", err)
	}
	return nil
}

func validateHistory(h *rollout.History) error {
	if h == nil {
		return nil
	}
	if h.Interval <= 0 {
		return fmt.Errorf("interval: is missing; write how far its figures are apart, such as 10s")
	}
	for _, c := range []struct {
		field string
		use   map[string][]float64
		most  float64
	}{{"cpu", h.CPU, maxCores}, {"memory", h.Memory, maxBytes}} {
		for _, name := range sortedKeys(c.use) {
			if n := len(c.use[name]); n > rollout.HistoryTicks {
				return fmt.Errorf("%s.%s: has %d figures; write the latest %d at most", c.field, name, n, rollout.HistoryTicks)
			}
			for i, v := range c.use[name] {
				if !(v >= 0 && v <= c.most) || v == 0 && c.field == "memory" {
					return fmt.Errorf("%s.%s[%d]: %v is not what an instance can use; write what it used, the oldest first", c.field, name, i, v)
				}
			}
		}
	}
	return nil
}

// The errors below begin with the path of the field; each caller puts its own
// part in front, so that a path costs nothing while all is well.

func validateSample(s *rollout.Sample) error {
	if s == nil {
		return nil
	}
	if s.Instances != nil && (*s.Instances < 0 || *s.Instances > maxInstances) {
		return fmt.Errorf("instances: %d is no number of instances; write how many reported", *s.Instances)
	}
	if err := validateTraffic(s.Requests, s.Errors, s.Latency); err != nil {
		return err
	}
	if err := validateCount("complaints", s.Complaints); err != nil {
		return err
	}
	if err := validateUse("cpu", s.CPU, maxCores); err != nil {
		return err
	}
	if err := validateUse("memory", s.Memory, maxBytes); err != nil {
		return err
	}
	if err := validateUse("memoryLimit", s.MemoryLimit, maxBytes); err != nil {
		return err
	}
	for _, name := range sortedKeys(s.Business) {
		if err := validateBusiness(s.Business[name]); err != nil {
			return fmt.Errorf("business.%s.%w", name, err)
		}
	}
	for i := range s.Exceptions {
		if s.Exceptions[i].Class == "" {
			return fmt.Errorf("exceptions[%d].class: is missing; write the type and where it was thrown, such as TimeoutError@cart.add", i)
		}
		if err := validateCount("count", &s.Exceptions[i].Count); err != nil {
			return fmt.Errorf("exceptions[%d].%w", i, err)
		}
	}
	if len(s.ByInstance) == 0 {
		return nil
	}
	wrong := ""
	for name, in := range s.ByInstance {
		// The first by name, so that the same tick gives the same error.
		if in != nil && validateTraffic(in.Requests, in.Errors, in.Latency) != nil && (wrong == "" || name < wrong) {
			wrong = name
		}
	}
	if in := s.ByInstance[wrong]; in != nil {
		if err := validateTraffic(in.Requests, in.Errors, in.Latency); err != nil {
			return fmt.Errorf("byInstance.%s.%w", wrong, err)
		}
	}
	return nil
}

// What an instance may use: cores, and bytes.
const (
	maxCores = 1e6
	maxBytes = 1e18
)

func validateUse(field string, use map[string]float64, most float64) error {
	if len(use) == 0 {
		return nil
	}
	wrong, found := "", false
	for name, v := range use {
		if !(v >= 0 && v <= most) && (!found || name < wrong) {
			wrong, found = name, true
		}
	}
	if !found {
		return nil
	}
	unit := "cores"
	if most == maxBytes {
		unit = "bytes"
	}
	return fmt.Errorf("%s.%s: %v is not what an instance can use; write %s, 0 to %v", field, wrong, use[wrong], unit, most)
}

// maxValue is the largest that a sum of business values may be, either way.
const maxValue = 1e18

func validateBusiness(b rollout.BusinessSample) error {
	for _, c := range []struct {
		field string
		v     *float64
	}{{"trials", b.Trials}, {"successes", b.Successes}, {"count", b.Count}} {
		if err := validateCount(c.field, c.v); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		field string
		v     *float64
		least float64
	}{{"sum", b.Sum, -maxValue}, {"sumSquares", b.SumSquares, 0}} {
		if c.v != nil && !(*c.v >= c.least && *c.v <= maxValue) {
			return fmt.Errorf("%s: %v is no sum of values; leave the key out when it was not measured", c.field, *c.v)
		}
	}
	switch {
	case b.Trials != nil && b.Successes != nil && *b.Successes > *b.Trials:
		return fmt.Errorf("successes: %v is more than the %v trials; count a success in both", *b.Successes, *b.Trials)
	case b.Max == nil:
		return nil
	case !(*b.Max >= minCount && *b.Max <= maxCount):
		return fmt.Errorf("max: %v is no largest score; write a number above 0", *b.Max)
	case b.Count != nil && b.Sum != nil && (*b.Sum < 0 || *b.Sum > *b.Max**b.Count*(1+1e-9)):
		return fmt.Errorf("sum: %v is not that of %v scores from 0 to %v", *b.Sum, *b.Count, *b.Max)
	}
	return nil
}

func validateTraffic(requests, errors *float64, latency *rollout.Histogram) error {
	if err := validateCount("requests", requests); err != nil {
		return err
	}
	if err := validateCount("errors", errors); err != nil {
		return err
	}
	if requests != nil && errors != nil && *errors > *requests {
		return fmt.Errorf("errors: %v is more than the %v requests; count an errored request in both", *errors, *requests)
	}
	if err := validateHistogram(latency); err != nil {
		return fmt.Errorf("latency.%w", err)
	}
	return nil
}

func validateCount(field string, v *float64) error {
	switch {
	case v == nil:
		return nil
	case math.IsNaN(*v) || math.IsInf(*v, 0):
		return fmt.Errorf("%s: %v is no number; leave the key out when it was not measured", field, *v)
	case *v < 0:
		return fmt.Errorf("%s: %v is negative; write the increment within the tick, and the new value when a counter was reset", field, *v)
	case *v > 0 && *v < minCount:
		return fmt.Errorf("%s: %v is no count; write 0 when there was nothing", field, *v)
	case *v > maxCount:
		return fmt.Errorf("%s: %v is beyond belief for one tick; write the increment within the tick", field, *v)
	}
	return nil
}

func validateHistogram(h *rollout.Histogram) error {
	if h == nil {
		return nil
	}
	if err := validateCount("count", h.Count); err != nil {
		return err
	}
	if h.Sum != nil && !(*h.Sum == 0 || *h.Sum >= minCount*minSeconds && *h.Sum <= maxCount*maxSeconds) {
		return fmt.Errorf("sum: %v is no sum of response times; write seconds, 0 or more", *h.Sum)
	}
	if len(h.Counts) == 0 {
		if len(h.Bounds) > 0 {
			return fmt.Errorf("counts: missing although there are %d bounds; write %d counts", len(h.Bounds), len(h.Bounds)+1)
		}
		return nil
	}
	if len(h.Counts) != len(h.Bounds)+1 {
		return fmt.Errorf("counts: has %d entries for %d bounds; write one more than bounds, the last for everything above", len(h.Counts), len(h.Bounds))
	}
	last := 0.0
	for i, b := range h.Bounds {
		if !(b > last && b >= minSeconds && b <= maxSeconds) {
			return fmt.Errorf("bounds[%d]: %v does not continue the bounds; write upper bounds in seconds, above 0 and ascending", i, b)
		}
		last = b
	}
	for i, c := range h.Counts {
		if !(c == 0 || c >= minCount && c <= maxCount) {
			return fmt.Errorf("counts[%d]: %v is no count; write the increment within the tick, 0 or more", i, c)
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

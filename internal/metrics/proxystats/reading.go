package proxystats

import (
	"serin.dev/serin/internal/proxy"
	"serin.dev/serin/internal/rollout"
)

// reading is how far the counters of one arm have been turned into samples.
type reading struct {
	requests, errors uint64
	latency          proxy.Histogram
	instances        map[string]*counts
}

// counts is the same for one instance, less its distribution.
type counts struct {
	requests, errors, timed uint64
	sum                     float64
}

// next returns what the arm did since the last call.
func (r *reading) next(now proxy.ArmStats) *rollout.Sample {
	requests, errors := advance(&r.requests, &r.errors, now.Requests, now.Errors)
	sample := &rollout.Sample{
		Requests: new(float64(requests)),
		Errors:   new(float64(errors)),
		Latency:  subtract(now.Latency, r.latency),
	}
	r.latency = now.Latency

	before := r.instances
	r.instances = make(map[string]*counts, len(now.Instances))
	for name, instance := range now.Instances {
		c := before[name]
		timed := instance.Latency.Count()
		if c == nil || instance.Requests < c.requests || timed < c.timed {
			c = &counts{} // new here, or it left and came back
		}
		requests, errors := advance(&c.requests, &c.errors, instance.Requests, instance.Errors)
		newTimed, newSum := timed-c.timed, max(0, instance.Latency.Sum-c.sum)
		c.timed, c.sum = timed, instance.Latency.Sum
		r.instances[name] = c
		if requests == 0 && newTimed == 0 {
			continue // it did nothing
		}
		if sample.ByInstance == nil {
			sample.ByInstance = map[string]*rollout.InstanceSample{}
		}
		sample.ByInstance[name] = &rollout.InstanceSample{
			Requests: new(float64(requests)),
			Errors:   new(float64(errors)),
			Latency:  &rollout.Histogram{Count: new(float64(newTimed)), Sum: new(newSum)},
		}
	}
	return sample
}

// advance moves two counters on and returns by how much. The proxy counts a
// request just before its error, so that a snapshot between the two would give a
// tick with more errors than requests: such an error comes with the next tick.
func advance(requests, errors *uint64, nowRequests, nowErrors uint64) (newRequests, newErrors uint64) {
	newRequests = nowRequests - *requests
	newErrors = min(nowErrors-*errors, newRequests)
	*requests = nowRequests
	*errors += newErrors
	return newRequests, newErrors
}

// subtract returns the distribution of what came between two snapshots, without
// the empty ends of the grid; nil when nothing came.
func subtract(now, before proxy.Histogram) *rollout.Histogram {
	since := func(i int) uint64 {
		if i < len(before.Counts) {
			return now.Counts[i] - before.Counts[i]
		}
		return now.Counts[i]
	}
	first, last := -1, -1
	for i := range now.Counts {
		if since(i) > 0 {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return nil
	}
	// The bound below the first bucket is kept as well: without it the bucket
	// would reach down to zero.
	low, high := max(0, first-1), min(last, len(now.Bounds)-1)
	h := &rollout.Histogram{
		Bounds: now.Bounds[low : high+1 : high+1],
		Counts: make([]float64, 0, high-low+2),
		Sum:    new(max(0, now.Sum-before.Sum)),
	}
	for i := low; i <= high; i++ {
		h.Counts = append(h.Counts, float64(since(i)))
	}
	var above uint64
	for i := high + 1; i < len(now.Counts); i++ {
		above += since(i)
	}
	h.Counts = append(h.Counts, float64(above))
	return h
}

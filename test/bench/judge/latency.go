package main

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"serin.dev/serin/internal/rollout"
)

// latencyTraffic describes the response times of a run: lognormal, median
// 100 ms, the logarithm's standard deviation 1.
type latencyTraffic struct {
	rps float64
	// diurnal is the amplitude of load and of both arms' median over the run.
	diurnal float64
	// wander is the standard deviation of the canary's own slow noise, which
	// forgets in a minute.
	wander float64
	// podSpread is the spread of instances, on the logarithm; it comes with
	// nineteen stable instances and one of the canary.
	podSpread float64
	// slowMode is the fraction of requests that take ten times as long.
	slowMode float64
	// shift is added to the logarithm of the canary's times, and slowest to
	// those in its slowest twentieth.
	shift, slowest float64
	// cold is added to the logarithm of the canary's times at the beginning, and
	// shrinks to nothing within five minutes.
	cold float64
	// baseline gives the canary one: fresh, as cold, with an equal share.
	baseline bool
	buckets  buckets
}

// buckets is a histogram's grid.
type buckets struct {
	bounds []float64
	logs   []float64
	// step is the logarithm of the growth of a geometric grid.
	step float64
}

// native is the grid of native histograms of schema 3, 1 ms to 64 s.
var native = geometricBuckets(0.001, math.Pow(2, 0.125), 129)

// fine is a grid of two percent, 1 ms to 60 s.
var fine = geometricBuckets(0.001, 1.02, 556)

// classic is a client library's default grid.
var classic = bucketsOf(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)

// wide is a grid of which nearly all times lie in the first bucket, as they do in
// Traefik's (0.1, 0.3, 1.2 and 5 s) when half of them are below 10 ms.
var wide = bucketsOf(1, 3, 12, 50)

func geometricBuckets(first, growth float64, n int) buckets {
	bounds := make([]float64, n)
	for i := range bounds {
		bounds[i] = first * math.Pow(growth, float64(i))
	}
	b := bucketsOf(bounds...)
	b.step = math.Log(growth)
	return b
}

func bucketsOf(bounds ...float64) buckets {
	b := buckets{bounds: bounds}
	for _, v := range bounds {
		b.logs = append(b.logs, math.Log(v))
	}
	return b
}

// index is the bucket of a time given by its logarithm.
func (b buckets) index(log float64) int {
	if b.step > 0 {
		return max(0, min(len(b.logs), int(math.Ceil((log-b.logs[0])/b.step))))
	}
	lo, hi := 0, len(b.logs)
	for lo < hi {
		if mid := (lo + hi) / 2; b.logs[mid] < log {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (l latencyTraffic) source(rng *rand.Rand) func(at) rollout.Arms {
	stablePods := make([]float64, 1)
	if l.podSpread > 0 {
		stablePods = make([]float64, 19)
		for i := range stablePods {
			stablePods[i] = l.podSpread * rng.NormFloat64()
		}
	}
	canaryPod := l.podSpread * rng.NormFloat64()
	wander := l.wander * rng.NormFloat64()
	var baselinePod float64
	if l.baseline {
		baselinePod = l.podSpread * rng.NormFloat64()
	}
	forget := math.Exp(-interval.Seconds() / 60)
	return func(a at) rollout.Arms {
		day := l.diurnal * math.Sin(2*math.Pi*a.since.Hours())
		load := l.rps * (1 + day) * a.length.Seconds()
		share := float64(a.weight) / 100
		wander = forget*wander + l.wander*math.Sqrt(1-forget*forget)*rng.NormFloat64()
		cold := l.cold * max(0, 1-a.since.Minutes()/5)
		beside := float64(rollout.Plan{Baseline: l.baseline}.BaselineWeight(a.weight)) / 100
		arms := rollout.Arms{
			Stable: l.arm(rng, load*(1-share-beside), day, stablePods, false),
			Canary: l.arm(rng, load*share, day+canaryPod+wander+l.shift+cold, []float64{0}, true),
		}
		if l.baseline {
			arms.Baseline = l.arm(rng, load*beside, day+baselinePod+cold, []float64{0}, false)
		}
		return arms
	}
}

// arm draws an arm's times request by request, spread over its instances.
func (l latencyTraffic) arm(rng *rand.Rand, mean, shift float64, pods []float64, canary bool) *rollout.Sample {
	const slowestFrom = 1.6448536269514722 // the normal's 95th percentile
	counts := make([]float64, len(l.buckets.bounds)+1)
	s := &rollout.Sample{Latency: &rollout.Histogram{Bounds: l.buckets.bounds, Counts: counts}}
	var requests, sum float64
	for i, pod := range pods {
		n := poisson(rng, mean/float64(len(pods)))
		var podSum float64
		middle := math.Log(0.1) + shift + pod
		for range int(n) {
			z := rng.NormFloat64()
			log := middle + z
			if canary && z > slowestFrom {
				log += l.slowest
			}
			if l.slowMode > 0 && rng.Float64() < l.slowMode {
				log += math.Ln10
			}
			counts[l.buckets.index(log)]++
			podSum += math.Exp(log)
		}
		requests += n
		sum += podSum
		if len(pods) > 1 {
			if s.ByInstance == nil {
				s.ByInstance = map[string]*rollout.InstanceSample{}
			}
			s.ByInstance["stable-"+strconv.Itoa(i)] = &rollout.InstanceSample{
				Requests: &n, Latency: &rollout.Histogram{Count: &n, Sum: &podSum},
			}
		}
	}
	instances := len(pods)
	s.Instances, s.Requests, s.Latency.Sum = &instances, &requests, &sum
	return s
}

const latencyAlpha = 0.002

func latencyScenarios() []scenario {
	checks := []rollout.Check{{Name: "latency", Type: rollout.ResponseTime, Rollback: rollout.Margin{Increase: .10}}}
	cfg := config(latencyAlpha, checks, halfHours(5, 10, 25, 50)...)
	make := func(name string, k kind, l latencyTraffic, note string, median, rate float64) scenario {
		if l.buckets.bounds == nil {
			l.buckets = native
		}
		s := scenario{
			name: name, kind: k, length: 30 * time.Minute, warmup: time.Minute, config: cfg, source: l.source,
			note: note, noteMedian: median, noteRate: rate, rules: latencyRules,
		}
		if l.baseline {
			s.config.Baseline, s.warmup = true, 0
		}
		switch {
		case l.baseline:
		case l.shift > 0 && l.buckets.step == native.step:
			// (The same fault in other buckets counts once.)
			// Each second compares 5 % of the requests with the others, by the
			// logarithm of their times, whose standard deviation is 1.
			s.bound = math.Log(1/latencyAlpha) / (l.shift * l.shift / 2 * l.rps * .05 * .95)
		case l.slowest > 0:
			// Five times as many are above stable's p99: no clearer edge is there.
			s.bound = waldCounts(errorTraffic{rps: l.rps, rate: .01}, 5, .05, latencyAlpha)
		}
		return s
	}
	return append([]scenario{
		make("L1 null, diurnal", null, latencyTraffic{rps: 100, diurnal: .3}, "0", 0, 0),
		make("L2 null, wandering 5% in 60 s", null, latencyTraffic{rps: 100, wander: .05}, ".5%", 0, 0),
		make("L3 null, instance spread 5%", null, latencyTraffic{rps: 100, podSpread: .05}, "0", 0, 0),
		make("L4 null, 2% slow mode", null, latencyTraffic{rps: 100, slowMode: .02}, "0", 0, 0),
		make("L5 null, 2 rps", null, latencyTraffic{rps: 2}, "0", 0, 0),
		make("L10 null, 10 rps, 2% slow mode", null, latencyTraffic{rps: 10, slowMode: .02}, "not in it", 0, 0),
		make("L6 1.2x, native buckets", fault, latencyTraffic{rps: 100, shift: math.Log(1.2)}, "180 s", 180, 0),
		make("L6 1.2x, two-percent buckets", fault, latencyTraffic{rps: 100, shift: math.Log(1.2), buckets: fine}, "180 s", 180, 0),
		make("L6 1.2x, classic buckets", fault, latencyTraffic{rps: 100, shift: math.Log(1.2), buckets: classic}, "190 s", 190, 0),
		make("L7 1.5x", fault, latencyTraffic{rps: 100, shift: math.Log(1.5)}, "40 s", 40, 0),
		make("L11 null, one wide bucket", null, latencyTraffic{rps: 100, buckets: wide}, "not in it", 0, 0),
		make("L12 null, one wide bucket, 2% slow mode", null, latencyTraffic{rps: 100, slowMode: .02, buckets: wide}, "not in it", 0, 0),
		make("L13 null, one wide bucket, 10 rps", null, latencyTraffic{rps: 10, buckets: wide}, "not in it", 0, 0),
		make("L14 null, one wide bucket, wandering 5% in 60 s", null, latencyTraffic{rps: 100, wander: .05, buckets: wide}, "not in it", 0, 0),
		make("L15 1.5x, one wide bucket", fault, latencyTraffic{rps: 100, shift: math.Log(1.5), buckets: wide}, "not in it", 0, 0),
		make("L16 1.2x, one wide bucket", fault, latencyTraffic{rps: 100, shift: math.Log(1.2), buckets: wide}, "not in it", 0, 0),
		make("L8 1.2x, 10 rps", fault, latencyTraffic{rps: 10, shift: math.Log(1.2)}, "81%, 1110 s", 1110, .81),
		make("C1 cold, 1.4x healing in 5 min", tolerated, latencyTraffic{rps: 100, cold: math.Log(1.4)}, "not in it", 0, 0),
		make("C2 cold, 1.4x healing in 5 min, 500 rps", tolerated, latencyTraffic{rps: 500, cold: math.Log(1.4)}, "not in it", 0, 0),
		make("C3 null, C1 with a baseline", null, latencyTraffic{rps: 100, cold: math.Log(1.4), baseline: true}, "~0", 0, 0),
		make("C4 null, C2 with a baseline", null, latencyTraffic{rps: 500, cold: math.Log(1.4), baseline: true}, "~0", 0, 0),
		make("C5 null, C1 with a baseline, instance spread 5%", null, latencyTraffic{rps: 100, cold: math.Log(1.4), podSpread: .05, baseline: true}, "not in it", 0, 0),
		make("C6 1.2x and as cold as its baseline", fault, latencyTraffic{rps: 100, cold: math.Log(1.4), shift: math.Log(1.2), baseline: true}, "not in it", 0, 0),
		make("C7 1.5x and as cold as its baseline", fault, latencyTraffic{rps: 100, cold: math.Log(1.4), shift: math.Log(1.5), baseline: true}, "not in it", 0, 0),
		make("L9 slowest 5% twice as slow", fault, latencyTraffic{rps: 100, slowest: math.Ln2}, "bound 34 s", 0, .99),
	}, wanderingTimes(checks)...)
}

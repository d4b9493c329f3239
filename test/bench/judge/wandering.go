package main

import (
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"serin.dev/serin/internal/rollout"
)

// wanderer is a level that comes and goes: its logarithm is normal, and a tick
// of ten seconds keeps a part of the one before (AR 1).
type wanderer struct {
	rng              *rand.Rand
	size, keeps, now float64
}

func newWanderer(rng *rand.Rand, size, keeps float64) *wanderer {
	return &wanderer{rng: rng, size: size, keeps: keeps, now: size * rng.NormFloat64()}
}

// next is the level in a tick of some length.
func (w *wanderer) next(length time.Duration) float64 {
	keeps := math.Pow(w.keeps, length.Seconds()/interval.Seconds())
	w.now = keeps*w.now + math.Sqrt(1-keeps*keeps)*w.size*w.rng.NormFloat64()
	return w.now
}

// wanderingTraffic describes response times of two arms of one instance each,
// lognormal as latencyTraffic's, of which each arm's level wanders by itself.
type wanderingTraffic struct {
	rps         float64
	size, keeps float64
	// shared is by how much both arms wander together, as slowly.
	shared float64
	// shift is added to the logarithm of the canary's times.
	shift float64
}

// fivePercent is a classic histogram's grid, from 1 ms to 17 s.
var fivePercent = geometricBuckets(0.001, 1.05, 200)

func (w wanderingTraffic) source(rng *rand.Rand) func(at) rollout.Arms {
	canary, stable := newWanderer(rng, w.size, w.keeps), newWanderer(rng, w.size, w.keeps)
	both := newWanderer(rng, w.shared, w.keeps)
	return func(a at) rollout.Arms {
		n, share, together := w.rps*a.length.Seconds(), float64(a.weight)/100, both.next(a.length)
		return rollout.Arms{
			Canary: lognormalArm(rng, n*share, together+canary.next(a.length)+w.shift),
			Stable: lognormalArm(rng, n*(1-share), together+stable.next(a.length)),
		}
	}
}

// lognormalArm draws an arm's times bucket by bucket: as many in each as a
// Poisson variable, which is what a Poisson number of requests is.
func lognormalArm(rng *rand.Rand, mean, shift float64) *rollout.Sample {
	b := fivePercent
	counts := make([]float64, len(b.bounds)+1)
	var requests, sum, below float64
	median, middle := math.Log(0.1)+shift, math.Exp(-b.step/2)
	for i := range counts {
		upTo := 1.0
		if i < len(b.logs) {
			upTo = normalBelow(b.logs[i] - median)
		}
		if expected := mean * (upTo - below); expected < few {
			counts[i] = poissonFew(rng, expected)
		} else {
			counts[i] = poisson(rng, expected)
		}
		requests += counts[i]
		sum += counts[i] * b.bounds[min(i, len(b.bounds)-1)] * middle
		below = upTo
	}
	return &rollout.Sample{
		Instances: new(1), Requests: &requests,
		Latency: &rollout.Histogram{Bounds: b.bounds, Counts: counts, Sum: &sum},
	}
}

// The normal distribution function, at every cell of a fine grid.
const (
	normalEdge  = 8
	normalCells = 4096 // in one standard deviation
)

var normalTable = func() []float64 {
	table := make([]float64, 2*normalEdge*normalCells+2)
	for i := range table {
		table[i] = math.Erfc(-(float64(i)/normalCells-normalEdge)/math.Sqrt2) / 2
	}
	return table
}()

// normalBelow is the standard normal distribution function, read off the table
// to within 2e-9: a run needs it a quarter of a million times.
func normalBelow(z float64) float64 {
	at := (min(max(z, -normalEdge), normalEdge) + normalEdge) * normalCells
	cell := int(at)
	low := normalTable[cell]
	return low + (at-float64(cell))*(normalTable[cell+1]-low)
}

// few is below how many expected events they are drawn by inversion.
const few = 12

// poissonFew draws a number of events of which few are expected: the first at
// which the distribution function is above a uniform number.
func poissonFew(rng *rand.Rand, mean float64) float64 {
	u := rng.Float64()
	if u < 1-mean { // which is no more than exp(-mean)
		return 0
	}
	p := math.Exp(-mean)
	left, k := u-p, 0.0
	for left >= 0 && k < 128 {
		k++
		p *= mean / k
		left -= p
	}
	return k
}

// wanderingTimes are response times whose noise goes on over ticks.
func wanderingTimes(checks []rollout.Check) []scenario {
	one := func(name string, k kind, w wanderingTraffic, weights ...int) scenario {
		if len(weights) == 0 {
			weights = []int{5, 10, 25, 50}
		}
		return scenario{
			name: name, kind: k, length: time.Duration(len(weights)) * 30 * time.Minute, warmup: time.Minute,
			config: config(latencyAlpha, checks, halfHours(weights...)...), source: w.source, note: "not in it",
		}
	}
	return []scenario{
		// (At 100 requests a second it may be a little above alpha in the first minutes.)
		one("H16a each arm wanders by 5%, keeping .9, 100 rps", limit, wanderingTraffic{rps: 100, size: .05, keeps: .9}),
		one("H16b the same, 1000 rps", null, wanderingTraffic{rps: 1000, size: .05, keeps: .9}),
		one("H16c the same, 10 rps", null, wanderingTraffic{rps: 10, size: .05, keeps: .9}),
		one("H16d by 3%, keeping .97, 100 rps", null, wanderingTraffic{rps: 100, size: .03, keeps: .97}),
		one("H16e by 5%, keeping .7, 100 rps", null, wanderingTraffic{rps: 100, size: .05, keeps: .7}),
		one("H16f by 10%, keeping .9, 100 rps", limit, wanderingTraffic{rps: 100, size: .10, keeps: .9}),
		one("H16g by 10%, keeping .7, 1000 rps, from 25% on", null, wanderingTraffic{rps: 1000, size: .10, keeps: .7}, 25, 50),
		// What lasts as long as a decision takes, and is as large as a fault.
		one("H16h by 10%, keeping .97, 100 rps", limit, wanderingTraffic{rps: 100, size: .10, keeps: .97}),
		one("H16i by 5%, keeping .97, 100 rps", limit, wanderingTraffic{rps: 100, size: .05, keeps: .97}),
		one("H16j by 10%, keeping .97, 10 rps", limit, wanderingTraffic{rps: 10, size: .10, keeps: .97}),
		one("H16k 1.2x, both arms wander together by 5%, keeping .9, 100 rps", fault, wanderingTraffic{rps: 100, shared: .05, keeps: .9, shift: math.Log(1.2)}),
		one("H16l 1.2x, each arm wanders by 3%, keeping .7, 1000 rps", fault, wanderingTraffic{rps: 1000, size: .03, keeps: .7, shift: math.Log(1.2)}),
		one("H16m 1.5x, each arm wanders by 5%, keeping .9, 100 rps", fault, wanderingTraffic{rps: 100, size: .05, keeps: .9, shift: math.Log(1.5)}),
	}
}

// wanderingEvents are errors, or conversions, whose rate wanders in each arm by
// itself.
type wanderingEvents struct {
	rps, rate   float64
	size, keeps float64
	conversion  bool
}

func (w wanderingEvents) source(rng *rand.Rand) func(at) rollout.Arms {
	canary, stable := newWanderer(rng, w.size, w.keeps), newWanderer(rng, w.size, w.keeps)
	arm := func(mean, rate float64) *rollout.Sample {
		n, x := poisson(rng, mean), 0.0
		if n > 0 {
			x = distuv.Binomial{N: n, P: min(1, rate), Src: rng}.Rand()
		}
		if w.conversion {
			return &rollout.Sample{Requests: &n, Errors: new(0.), Business: map[string]rollout.BusinessSample{"conversion": {Trials: &n, Successes: &x}}}
		}
		return &rollout.Sample{Requests: &n, Errors: &x}
	}
	return func(a at) rollout.Arms {
		n, share := w.rps*a.length.Seconds(), float64(a.weight)/100
		return rollout.Arms{
			Canary: arm(n*share, w.rate*math.Exp(canary.next(a.length))),
			Stable: arm(n*(1-share), w.rate*math.Exp(stable.next(a.length))),
		}
	}
}

// wanderingRates are rates whose noise goes on over ticks.
func wanderingRates() []scenario {
	errors := []rollout.Check{{Name: "errors", Type: rollout.ErrorRate, Rollback: rollout.Margin{Ratio: 2}}}
	conversion := []rollout.Check{{Name: "conversion", Type: rollout.Business, Rollback: rollout.DefaultMargin(rollout.Business)}}
	one := func(name string, k kind, w wanderingEvents) scenario {
		checks, alpha := errors, errorAlpha
		if w.conversion {
			checks, alpha = conversion, gaugeAlpha
		}
		return scenario{
			name: name, kind: k, length: 2 * time.Hour, config: config(alpha, checks, halfHours(5, 10, 25, 50)...),
			source: w.source, note: "not in it",
		}
	}
	// What doubles an arm's errors for minutes is a fault's very picture for as long.
	return []scenario{
		one("H17a each arm's errors wander by 30%, keeping .9, 100 rps 1%", limit, wanderingEvents{rps: 100, rate: .01, size: .3, keeps: .9}),
		one("H17b the same, 1000 rps 1%", limit, wanderingEvents{rps: 1000, rate: .01, size: .3, keeps: .9}),
		one("H17c by 30%, keeping .97, 1000 rps 1%", limit, wanderingEvents{rps: 1000, rate: .01, size: .3, keeps: .97}),
		one("H18a each arm's conversion of 3% wanders by 10%, keeping .9, 100 rps", null, wanderingEvents{rps: 100, rate: .03, size: .1, keeps: .9, conversion: true}),
		one("H18b the same, 1000 rps", null, wanderingEvents{rps: 1000, rate: .03, size: .1, keeps: .9, conversion: true}),
	}
}

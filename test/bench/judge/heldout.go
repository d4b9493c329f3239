package main

import (
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"serin.dev/serin/internal/rollout"
)

// heldOut are scenarios that no figure of the analysis was chosen by: other
// generators, and traffic at its edges.
func heldOut() []scenario {
	checks := []rollout.Check{{Name: "errors", Type: rollout.ErrorRate, Rollback: rollout.Margin{Ratio: 2}}}
	nulls := func(name string, source func(*rand.Rand) func(at) rollout.Arms, weights ...int) scenario {
		if len(weights) == 0 {
			weights = []int{5, 10, 25, 50}
		}
		cfg := config(errorAlpha, checks, halfHours(weights...)...)
		return scenario{name: name, kind: null, length: time.Duration(len(weights)) * 30 * time.Minute, config: cfg, source: source, note: "not in it"}
	}
	clumps := func(rps, rate, clump float64) func(*rand.Rand) func(at) rollout.Arms {
		return errorTraffic{rps: rps, rate: rate, clump: clump}.source
	}
	return []scenario{
		nulls("H1 clumps of 50, 100 rps 1%", clumps(100, .01, 50)),
		nulls("H2 clumps of 50, 1000 rps 1%", clumps(1000, .01, 50)),
		nulls("H3 clumps of 20, 1000 rps .01%", clumps(1000, .0001, 20)),
		nulls("H4 clumps of 20, from 50% on", clumps(100, .01, 20), 50),
		nulls("H5 clumps of 20, from 25% on", clumps(100, .01, 20), 25, 50),
		nulls("H6 clumps of 3, 10 rps 2%", clumps(10, .02, 3)),
		nulls("H7 retry storms in both arms", storms(100, .01)),
		nulls("H8 each arm's rate wanders, shared", wanderingRate(100, .01)),
		nulls("H9 100 rps 30%", errorTraffic{rps: 100, rate: .3}.source),
		nulls("H10 100 rps 50%", errorTraffic{rps: 100, rate: .5}.source),
		nulls("H11 .1 rps 5%", errorTraffic{rps: .1, rate: .05}.source),
		nulls("H12 split swings 1-20%, 100 rps 1%", swinging(100, .01)),
		nulls("H13 clumps of 10, from 1% on", clumps(300, .003, 10), 1, 2, 5),
	}
}

// storms are errors that are tried again at once, each with probability 0.8:
// a retry is routed anew.
func storms(rps, rate float64) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		return func(a at) rollout.Arms {
			share := float64(a.weight) / 100
			requests := poisson(rng, rps*interval.Seconds())
			first := distuv.Binomial{N: max(1, requests), P: rate, Src: rng}.Rand()
			errors := first
			for range int(first) {
				errors += math.Floor(math.Log(1-rng.Float64()) / math.Log(0.8))
			}
			requests += errors
			canary := distuv.Binomial{N: max(1, requests), P: share, Src: rng}.Rand()
			bad := distuv.Binomial{N: max(1, errors), P: share, Src: rng}.Rand()
			if errors == 0 {
				bad = 0
			}
			bad = min(bad, canary)
			return arms(canary, bad, requests-canary, min(errors-bad, requests-canary))
		}
	}
}

// wanderingRate is a rate that both arms share and that goes up and down by a
// factor two and a half, forgetting within two minutes.
func wanderingRate(rps, rate float64) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		level := rng.NormFloat64()
		forget := math.Exp(-interval.Seconds() / 120)
		return func(a at) rollout.Arms {
			level = forget*level + math.Sqrt(1-forget*forget)*rng.NormFloat64()
			now := min(1, rate*math.Exp(0.9*level))
			share := float64(a.weight) / 100
			draw := func(n float64) (float64, float64) {
				requests := poisson(rng, n)
				if requests == 0 {
					return 0, 0
				}
				return requests, distuv.Binomial{N: requests, P: now, Src: rng}.Rand()
			}
			c, x := draw(rps * interval.Seconds() * share)
			s, y := draw(rps * interval.Seconds() * (1 - share))
			return arms(c, x, s, y)
		}
	}
}

// swinging changes the split at every tick.
func swinging(rps, rate float64) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		return func(a at) rollout.Arms {
			share := 0.01 * math.Exp(rng.Float64()*math.Log(20))
			draw := func(n float64) (float64, float64) {
				requests := poisson(rng, n)
				if requests == 0 {
					return 0, 0
				}
				return requests, distuv.Binomial{N: requests, P: rate, Src: rng}.Rand()
			}
			c, x := draw(rps * interval.Seconds() * share)
			s, y := draw(rps * interval.Seconds() * (1 - share))
			return arms(c, x, s, y)
		}
	}
}

func arms(requests, errors, stableRequests, stableErrors float64) rollout.Arms {
	return rollout.Arms{
		Canary: &rollout.Sample{Requests: &requests, Errors: &errors},
		Stable: &rollout.Sample{Requests: &stableRequests, Errors: &stableErrors},
	}
}

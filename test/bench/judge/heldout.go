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
		return scenario{name: name, kind: null, length: time.Duration(len(weights)) * 30 * time.Minute, config: cfg, source: source, note: "not in it", rules: errorRules}
	}
	clumps := func(rps, rate, clump float64) func(*rand.Rand) func(at) rollout.Arms {
		return errorTraffic{rps: rps, rate: rate, clump: clump}.source
	}
	faults := func(name string, source func(*rand.Rand) func(at) rollout.Arms) scenario {
		s := nulls(name, source)
		s.kind = fault
		return s
	}
	usual := errorTraffic{rps: 100, rate: .01}
	ejected := faults("E1 canary fails and is ejected after a minute", ejected(usual))
	ejected.onset, ejected.holds = time.Minute, true
	// Errors and response times go wrong together: two checks share alpha.
	both := faults("S5 2x errors and 1.2x as slow", together(2, math.Log(1.2)))
	both.config.Analysis.Alpha = .005
	both.config.Analysis.Checks = append(checks, rollout.Check{Name: "latency", Type: rollout.ResponseTime, Rollback: rollout.Margin{Increase: .10}})
	// Noise that goes on over ticks on one arm: no test that decides in two
	// ticks is fair to it.
	limits := func(s scenario) scenario {
		s.kind = limit
		return s
	}
	return []scenario{
		nulls("S1 counters of an arm reset now and then", resetting(usual)),
		nulls("S2 a tenth of the scrapes missing", missing(usual)),
		limits(nulls("S3 a user's errors, 12 within a minute", users(100, .01))),
		faults("S4 3x, retries of the canary's errors", stormOfCanary(100, .01, 3)),
		ejected,
		both,
		limits(nulls("H1 clumps of 50, 100 rps 1%", clumps(100, .01, 50))),
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
		nulls("H14 ups and downs of each arm's own, 100 rps 1%", ownWeather(100, .01, 2)),
		nulls("H15 the same, 1000 rps 1%", ownWeather(1000, .01, 5)),
	}
}

// ownWeather multiplies each arm's rate in each tick by a gamma of its own, of
// mean 1 and the shape given.
func ownWeather(rps, rate, shape float64) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		weather := distuv.Gamma{Alpha: shape, Beta: shape, Src: rng}
		return func(a at) rollout.Arms {
			share := float64(a.weight) / 100
			draw := func(n float64) (float64, float64) {
				requests := max(1, poisson(rng, n))
				return requests, distuv.Binomial{N: requests, P: min(1, rate*weather.Rand()), Src: rng}.Rand()
			}
			c, x := draw(rps * a.length.Seconds() * share)
			s, y := draw(rps * a.length.Seconds() * (1 - share))
			return arms(c, x, s, y)
		}
	}
}

// storms are errors that are tried again at once, each with probability 0.8:
// a retry is routed anew.
func storms(rps, rate float64) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		return func(a at) rollout.Arms {
			share := float64(a.weight) / 100
			requests := poisson(rng, rps*a.length.Seconds())
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
			c, x := draw(rps * a.length.Seconds() * share)
			s, y := draw(rps * a.length.Seconds() * (1 - share))
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
			c, x := draw(rps * a.length.Seconds() * share)
			s, y := draw(rps * a.length.Seconds() * (1 - share))
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

// resetting loses a part of what an arm counted in a tick, once in ten minutes:
// its counters began again inside it.
func resetting(e errorTraffic) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		draw := e.source(rng)
		return func(a at) rollout.Arms {
			drawn := draw(a)
			for _, s := range []*rollout.Sample{drawn.Canary, drawn.Stable} {
				if rng.Float64() < 1.0/60 {
					kept := rng.Float64()
					requests := math.Floor(kept * *s.Requests)
					errors := 0.0
					if *s.Errors > 0 {
						errors = distuv.Binomial{N: *s.Errors, P: kept, Src: rng}.Rand()
					}
					requests = max(requests, errors)
					s.Requests, s.Errors = &requests, &errors
				}
			}
			return drawn
		}
	}
}

// missing leaves out an arm now and then; what it did is in its next tick.
func missing(e errorTraffic) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		draw := e.source(rng)
		var owedStable, owedCanary [2]float64
		late := func(s *rollout.Sample, owed *[2]float64) *rollout.Sample {
			requests, errors := *s.Requests+owed[0], *s.Errors+owed[1]
			if rng.Float64() < .1 {
				*owed = [2]float64{requests, errors}
				return nil
			}
			*owed = [2]float64{}
			return &rollout.Sample{Requests: &requests, Errors: &errors}
		}
		return func(a at) rollout.Arms {
			drawn := draw(a)
			return rollout.Arms{Stable: late(drawn.Stable, &owedStable), Canary: late(drawn.Canary, &owedCanary)}
		}
	}
}

// users are errors of single users who try again: twelve within a minute, all
// on the arm that the user is on.
func users(rps, rate float64) func(*rand.Rand) func(at) rollout.Arms {
	const tries, ticks = 12, 6
	return func(rng *rand.Rand) func(at) rollout.Arms {
		var trying [2][ticks]float64
		return func(a at) rollout.Arms {
			share := float64(a.weight) / 100
			var requests, errors [2]float64
			for arm, part := range []float64{share, 1 - share} {
				requests[arm] = poisson(rng, rps*a.length.Seconds()*part)
				began := poisson(rng, rps*a.length.Seconds()*part*rate/tries)
				copy(trying[arm][1:], trying[arm][:])
				trying[arm][0] = began
				for _, n := range trying[arm] {
					errors[arm] += n * tries / ticks * a.length.Seconds() / interval.Seconds()
				}
				requests[arm] = max(requests[arm], errors[arm])
			}
			return arms(requests[0], errors[0], requests[1], errors[1])
		}
	}
}

// stormOfCanary is a canary with so many times stable's rate whose errors are
// tried again there, each with probability one half, and fail again as often.
func stormOfCanary(rps, rate, ratio float64) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		draw := errorTraffic{rps: rps, rate: rate, ratio: always(ratio)}.source(rng)
		return func(a at) rollout.Arms {
			drawn := draw(a)
			requests, errors := *drawn.Canary.Requests, *drawn.Canary.Errors
			for failed := errors; failed > 0; {
				again := distuv.Binomial{N: failed, P: .5, Src: rng}.Rand()
				requests += again
				failed = 0
				if again > 0 {
					failed = distuv.Binomial{N: again, P: .5, Src: rng}.Rand()
				}
				errors += failed
			}
			drawn.Canary = &rollout.Sample{Requests: &requests, Errors: &errors}
			return drawn
		}
	}
}

// ejected is a canary that fails so often from the first minute on that a mesh
// takes nine tenths of its requests away, the failing ones.
func ejected(e errorTraffic) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		draw := e.source(rng)
		return func(a at) rollout.Arms {
			drawn := draw(a)
			if a.since < time.Minute {
				return drawn
			}
			left, none := math.Floor(*drawn.Canary.Requests/10), 0.0
			moved := *drawn.Stable.Requests + *drawn.Canary.Requests - left
			drawn.Canary = &rollout.Sample{Requests: &left, Errors: &none}
			drawn.Stable = &rollout.Sample{Requests: &moved, Errors: drawn.Stable.Errors}
			return drawn
		}
	}
}

// together is a canary with more errors that is slower too.
func together(ratio, shift float64) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		failing := errorTraffic{rps: 100, rate: .01, ratio: always(ratio)}.source(rng)
		slow := latencyTraffic{rps: 100, shift: shift, buckets: native}.source(rng)
		return func(a at) rollout.Arms {
			drawn := slow(a)
			wrong := failing(a)
			for _, arm := range [][2]*rollout.Sample{{drawn.Canary, wrong.Canary}, {drawn.Stable, wrong.Stable}} {
				errors := min(*arm[1].Errors, *arm[0].Requests)
				arm[0].Errors = &errors
			}
			return drawn
		}
	}
}

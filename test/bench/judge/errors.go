package main

import (
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/stats"
)

// errorTraffic describes requests and errors of a run.
type errorTraffic struct {
	rps, rate float64
	// diurnal is the relative amplitude of the load over the run.
	diurnal float64
	// clump is the mean size of a clump of errors, geometric; 1 for none.
	clump float64
	// incidents multiplies both arms' rate by 20 now and then.
	incidents bool
	// podSpread is the spread of instances' rates, on the logarithm.
	podSpread float64
	// ratio is the canary's rate to stable's.
	ratio func(at) float64
}

func always(r float64) func(at) float64 { return func(at) float64 { return r } }

func (e errorTraffic) source(rng *rand.Rand) func(at) rollout.Arms {
	ratio := e.ratio
	if ratio == nil {
		ratio = always(1)
	}
	pods := 1.0
	if e.podSpread > 0 {
		// One canary instance against nineteen of stable.
		var stable float64
		for range 19 {
			stable += math.Exp(e.podSpread*rng.NormFloat64()) / 19
		}
		pods = math.Exp(e.podSpread*rng.NormFloat64()) / stable
	}
	incidentLeft := 0
	var stableOwed, canaryOwed float64
	return func(a at) rollout.Arms {
		load := e.rps * (1 + e.diurnal*math.Sin(2*math.Pi*a.since.Hours()/2))
		share := float64(a.weight) / 100
		n := load * a.length.Seconds()
		stable, canary := poisson(rng, n*(1-share)), poisson(rng, n*share)
		rate := e.rate
		if e.incidents {
			if incidentLeft == 0 && rng.Float64() < 1.0/60 {
				incidentLeft = 3 + rng.IntN(4)
			}
			if incidentLeft > 0 {
				incidentLeft--
				rate *= 20
			}
		}
		return rollout.Arms{
			Stable: e.arm(rng, stable, rate, &stableOwed),
			Canary: e.arm(rng, canary, rate*pods*ratio(a), &canaryOwed),
		}
	}
}

// arm draws an arm's errors. A clump larger than the tick's requests goes on in
// the next tick.
func (e errorTraffic) arm(rng *rand.Rand, requests, rate float64, owed *float64) *rollout.Sample {
	var errors float64
	if e.clump > 1 {
		errors = *owed
		for range int(poisson(rng, requests*rate/e.clump)) {
			errors += 1 + math.Floor(math.Log(1-rng.Float64())/math.Log(1-1/e.clump))
		}
		*owed = max(0, errors-requests)
		errors -= *owed
	} else if requests > 0 {
		errors = distuv.Binomial{N: requests, P: min(1, rate), Src: rng}.Rand()
	}
	return &rollout.Sample{Requests: &requests, Errors: &errors}
}

// suddenly is a canary as good as stable until a moment in the tick after five
// minutes, and bad from then on.
func suddenly(rps, good, bad float64) func(*rand.Rand) func(at) rollout.Arms {
	return func(rng *rand.Rand) func(at) rollout.Arms {
		turns := 5*time.Minute + time.Duration(rng.Float64()*float64(interval))
		return errorTraffic{rps: rps, rate: good, ratio: func(a at) float64 {
			part := min(max((a.since+a.length-turns).Seconds()/a.length.Seconds(), 0), 1)
			return (good*(1-part) + bad*part) / good
		}}.source(rng)
	}
}

func poisson(rng *rand.Rand, mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	return distuv.Poisson{Lambda: mean, Src: rng}.Rand()
}

const errorAlpha = 0.003

// grossAlpha is what errors have of alpha beside response times.
const grossAlpha = 0.006

func errorScenarios() []scenario {
	checks := []rollout.Check{{Name: "errors", Type: rollout.ErrorRate, Rollback: rollout.Margin{Ratio: 2}}}
	cfg := config(errorAlpha, checks, halfHours(5, 10, 25, 50)...)
	make := func(name string, k kind, e errorTraffic, note string) scenario {
		return scenario{name: name, kind: k, length: 2 * time.Hour, config: cfg, source: e.source, note: note, rules: errorRules}
	}
	nulls := func(name string, e errorTraffic, note string) scenario { return make(name, null, e, note) }
	faults := func(name string, e errorTraffic, note string, median, rate float64) scenario {
		s := make(name, fault, e, note)
		s.noteMedian, s.noteRate = median, rate
		s.bound = waldCounts(e, e.ratio(at{}), .05, errorAlpha)
		s.escape = e.rps >= 10
		return s
	}
	late := faults("R9 3x from minute 20, 100 rps 1%", errorTraffic{rps: 100, rate: .01, ratio: func(a at) float64 {
		if a.since < 20*time.Minute {
			return 1
		}
		return 3
	}}, "240 s", 240, 0)
	late.onset = 20 * time.Minute
	late.bound = waldCounts(errorTraffic{rps: 100, rate: .01}, 3, .05, errorAlpha)
	big := faults("R8 4x only at >= 25%, 100 rps 1%", errorTraffic{rps: 100, rate: .01, ratio: func(a at) float64 {
		if a.weight < 25 {
			return 1
		}
		return 4
	}}, "50 s", 50, 0)
	big.onset = time.Hour
	big.bound = waldCounts(errorTraffic{rps: 100, rate: .01}, 4, .25, errorAlpha)
	// As many requests a tick as 100 a second are in ticks of 5 s.
	gross := func(name string, stable, canary float64) scenario {
		rate := max(stable, 1e-9)
		s := faults(name, errorTraffic{rps: 50, rate: rate, ratio: always(canary / rate)}, "not in it", 0, 0)
		s.config.Analysis.Alpha, s.bound, s.two = grossAlpha, 0, true
		return s
	}
	sudden := gross("T4 half fail from within minute 6, 100 rps .1%", 0, 0)
	sudden.source, sudden.onset, sudden.two = suddenly(100, .001, .5), 5*time.Minute+interval/2, false
	return []scenario{
		nulls("N1 100 rps 1%", errorTraffic{rps: 100, rate: .01}, "0"),
		nulls("N2 10 rps .1%", errorTraffic{rps: 10, rate: .001}, ".1%"),
		nulls("N3 1000 rps .5%, diurnal 60%", errorTraffic{rps: 1000, rate: .005, diurnal: .6}, "0"),
		nulls("N4 shared incidents x20, 100 rps 1%", errorTraffic{rps: 100, rate: .01, incidents: true}, "0"),
		nulls("N5 clumps of 5, 100 rps 1%", errorTraffic{rps: 100, rate: .01, clump: 5}, ".1%"),
		nulls("N6 clumps of 20, 100 rps 1%", errorTraffic{rps: 100, rate: .01, clump: 20}, ".2%"),
		nulls("N7 instance spread 15%, 1000 rps 1%", errorTraffic{rps: 1000, rate: .01, podSpread: .15}, ".1%"),
		nulls("N8 1 rps 1%", errorTraffic{rps: 1, rate: .01}, ".1%"),
		nulls("N9 100 rps .1%", errorTraffic{rps: 100, rate: .001}, ".1%"),
		nulls("N10 1000 rps 1%", errorTraffic{rps: 1000, rate: .01}, "0"),
		make("G1 1.5x (tolerated), 100 rps 1%", tolerated, errorTraffic{rps: 100, rate: .01, ratio: always(1.5)}, "6.8%"),
		make("G2 1.2x (tolerated), 1000 rps 1%", tolerated, errorTraffic{rps: 1000, rate: .01, ratio: always(1.2)}, "0"),
		faults("R1 2.5x, 100 rps 1%", errorTraffic{rps: 100, rate: .01, ratio: always(2.5)}, "270 s", 270, 0),
		faults("R2 2.5x, 1000 rps 1%", errorTraffic{rps: 1000, rate: .01, ratio: always(2.5)}, "60 s", 60, 0),
		faults("R3 2.5x, 10 rps .1%", errorTraffic{rps: 10, rate: .001, ratio: always(2.5)}, "46%", 0, .46),
		faults("R4 10x, 100 rps .1%", errorTraffic{rps: 100, rate: .001, ratio: always(10)}, "150 s", 150, 0),
		faults("R5 20x, 100 rps 1%", errorTraffic{rps: 100, rate: .01, ratio: always(20)}, "40 s", 40, 0),
		faults("R6 5x, 1 rps 1%", errorTraffic{rps: 1, rate: .01, ratio: always(5)}, "3850 s", 3850, 0),
		faults("R7 2.5x, clumps of 5, 100 rps 1%", errorTraffic{rps: 100, rate: .01, clump: 5, ratio: always(2.5)}, "1380 s", 1380, 0),
		big,
		late,
		gross("T1 half fail, 50 rps .5%", .005, .5),
		gross("T2 half fail, 50 rps, stable none", 0, .5),
		gross("T3 a tenth fails, 50 rps .5%", .005, .1),
		sudden,
	}
}

// waldCounts is the bound for a rate that is so many times stable's at a share
// of the traffic: ln(1/alpha) over the evidence that a second carries, times
// what clumps take away.
func waldCounts(e errorTraffic, ratio, share, alpha float64) float64 {
	if ratio <= 1 {
		return 0
	}
	a := share / (1 - share)
	perSecond := e.rps * e.rate * (1 - share + ratio*share)
	gain := stats.Divergence(stats.CanaryShare(ratio, a), stats.CanaryShare(1, a)) * perSecond
	return math.Log(1/alpha) / gain * max(1, 2*e.clump-1)
}

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"serin.dev/serin/internal/rollout"
)

// gaugeTraffic describes what instances use: twenty instances at 5 % of the
// traffic, one of them the canary, each with a level of its own and a noise that
// comes and goes slowly.
type gaugeTraffic struct {
	kind rollout.CheckType
	// stable is how many instances stable has; 19 when 0.
	stable int
	// spread is that of the instances' levels, on the logarithm.
	spread float64
	// noise is the noise's standard deviation, memory what a tick keeps of the
	// noise of the one before (AR 1).
	noise, memory float64
	// diurnal is the relative amplitude of what all instances use over the run.
	diurnal float64
	// ratio is what the canary uses to what it would.
	ratio func(at) float64
}

func (g gaugeTraffic) source(rng *rand.Rand) func(at) rollout.Arms {
	stable := g.stable
	if stable == 0 {
		stable = 19
	}
	usual := 0.5 // cores
	if g.kind == rollout.Memory {
		usual = 400 << 20
	}
	level := make([]float64, stable+1)
	noise := make([]float64, stable+1)
	names := make([]string, stable+1)
	for i := range level {
		level[i] = usual * math.Exp(g.spread*rng.NormFloat64())
		noise[i] = g.noise * rng.NormFloat64()
		names[i] = fmt.Sprintf("shop-%d", i)
	}
	return func(a at) rollout.Arms {
		use := make(map[string]float64, stable)
		shared := 1 + g.diurnal*math.Sin(2*math.Pi*a.since.Hours()/2)
		now := func(i int) float64 {
			noise[i] = g.memory*noise[i] + math.Sqrt(1-g.memory*g.memory)*g.noise*rng.NormFloat64()
			return shared * level[i] * math.Exp(noise[i])
		}
		for i := range stable {
			use[names[i]] = now(i)
		}
		ratio := 1.0
		if g.ratio != nil {
			ratio = g.ratio(a)
		}
		canary := map[string]float64{names[stable]: now(stable) * ratio}
		each := 50 * a.length.Seconds() / 10
		arms := rollout.Arms{
			Stable: &rollout.Sample{Requests: new(each * float64(stable)), Errors: new(0.), Instances: &stable},
			Canary: &rollout.Sample{Requests: new(each), Errors: new(0.), Instances: new(1)},
		}
		if g.kind == rollout.Memory {
			arms.Stable.Memory, arms.Canary.Memory = use, canary
		} else {
			arms.Stable.CPU, arms.Canary.CPU = use, canary
		}
		return arms
	}
}

const gaugeAlpha = 0.001

func gaugeScenarios() []scenario {
	one := func(name string, k kind, g gaugeTraffic, note string, median, rate float64) scenario {
		if g.kind == "" {
			g.kind = rollout.CPU
		}
		checks := []rollout.Check{{Name: string(g.kind), Type: g.kind, Rollback: rollout.DefaultMargin(g.kind)}}
		return scenario{
			name: name, kind: k, length: 30 * time.Minute, warmup: time.Minute,
			config: config(gaugeAlpha, checks, halfHours(5)...), source: g.source,
			note: note, noteMedian: median, noteRate: rate,
		}
	}
	// leak grows by so much a minute, on the logarithm.
	leak := func(rate float64) func(at) float64 {
		return func(a at) float64 { return math.Exp(rate * (a.since - time.Minute).Minutes()) }
	}
	mem := func(g gaugeTraffic) gaugeTraffic { g.kind = rollout.Memory; return g }
	usual := gaugeTraffic{spread: .05, noise: .03, memory: .9}
	quiet := gaugeTraffic{spread: .03, noise: .01, memory: .9}
	with := func(ratio func(at) float64) gaugeTraffic { g := usual; g.ratio = ratio; return g }
	grown := func(ratio func(at) float64) gaugeTraffic { g := quiet; g.ratio = ratio; return g }
	late := one("U9 CPU +50% from minute 15", fault, with(func(a at) float64 {
		if a.since < 15*time.Minute {
			return 1
		}
		return 1.5
	}), "not in it", 0, 0)
	late.onset, late.warmup = 15*time.Minute, 0
	return []scenario{
		one("U1 CPU, noise .7 from tick to tick", null, gaugeTraffic{spread: .05, noise: .03, memory: .7}, "0", 0, 0),
		one("U2 CPU, noise .9", null, gaugeTraffic{spread: .05, noise: .03, memory: .9}, "0", 0, 0),
		one("U3 CPU, noise .97", null, gaugeTraffic{spread: .05, noise: .03, memory: .97}, ".1%", 0, 0),
		one("U4 CPU, noise .97 of 15%, load +-60%", null, gaugeTraffic{spread: .05, noise: .15, memory: .97, diurnal: .6}, "not in it", 0, 0),
		one("U5 CPU, instances differ by 20%", null, gaugeTraffic{spread: .2, noise: .05, memory: .9}, "not in it", 0, 0),
		one("U6 CPU, three stable instances, 10%", null, gaugeTraffic{stable: 3, spread: .1, noise: .05, memory: .9}, "not in it", 0, 0),
		one("U7 CPU +30%", fault, with(always(1.3)), "345 s, 75%", 345, .75),
		one("U8 CPU +50%", fault, with(always(1.5)), "120 s, 99.7%", 120, .997),
		late,
		one("U10 CPU 2.5x, three stable instances", fault, gaugeTraffic{stable: 3, spread: .05, noise: .03, memory: .9, ratio: always(2.5)}, "not in it", 0, 0),
		one("M1 memory, noise .9", null, mem(usual), "0", 0, 0),
		one("M2 memory, noise .97 of 10%", null, mem(gaugeTraffic{spread: .05, noise: .1, memory: .97}), "not in it", 0, 0),
		one("M3 memory, the canary fills up", null, mem(with(func(a at) float64 { return 1 - .5*math.Exp(-a.since.Minutes()/10) })), "not in it", 0, 0),
		one("M4 memory grows by 1% a minute", fault, mem(grown(leak(.01))), "945 s", 945, 0),
		one("M5 memory grows by 3% a minute", fault, mem(grown(leak(.03))), "435 s", 435, 0),
	}
}

// businessTraffic describes a conversion and complaints.
type businessTraffic struct {
	rps float64
	// rate is stable's conversion, complaints its complaints a request.
	rate, complaints float64
	// conversion and complaining are the canary's rates to stable's.
	conversion, complaining float64
}

func (b businessTraffic) source(rng *rand.Rand) func(at) rollout.Arms {
	arm := func(requests, rate, complaints float64) *rollout.Sample {
		n := poisson(rng, requests)
		won := 0.0
		if n > 0 {
			won = distuv.Binomial{N: n, P: rate, Src: rng}.Rand()
		}
		return &rollout.Sample{
			Requests: &n, Errors: new(0.), Complaints: new(poisson(rng, n*complaints)),
			Business: map[string]rollout.BusinessSample{"conversion": {Trials: &n, Successes: &won}},
		}
	}
	return func(a at) rollout.Arms {
		all, share := b.rps*a.length.Seconds(), float64(a.weight)/100
		return rollout.Arms{
			Stable: arm(all*(1-share), b.rate, b.complaints),
			Canary: arm(all*share, b.rate*b.conversion, b.complaints*b.complaining),
		}
	}
}

func businessScenarios() []scenario {
	one := func(name string, k kind, check rollout.Check, b businessTraffic) scenario {
		return scenario{
			name: name, kind: k, length: 2 * time.Hour, note: "not in it", source: b.source,
			config: config(gaugeAlpha, []rollout.Check{check}, halfHours(5, 10, 25, 50)...),
		}
	}
	conversion := rollout.Check{Name: "conversion", Type: rollout.Business, Rollback: rollout.DefaultMargin(rollout.Business)}
	complaints := rollout.Check{Name: "complaints", Type: rollout.Complaints}
	return []scenario{
		one("B1 conversion 3%, 100 rps", null, conversion, businessTraffic{rps: 100, rate: .03, conversion: 1, complaining: 1}),
		one("B2 conversion 30%, 10 rps", null, conversion, businessTraffic{rps: 10, rate: .3, conversion: 1, complaining: 1}),
		one("B3 conversion 3% -10%, 100 rps", fault, conversion, businessTraffic{rps: 100, rate: .03, conversion: .9, complaining: 1}),
		one("B4 conversion 30% -10%, 10 rps", fault, conversion, businessTraffic{rps: 10, rate: .3, conversion: .9, complaining: 1}),
		one("B5 complaints 1 in 10,000, 100 rps", null, complaints, businessTraffic{rps: 100, rate: .03, complaints: 1e-4, conversion: 1, complaining: 1}),
		one("B6 complaints 1 in 10,000 x10, 100 rps", fault, complaints, businessTraffic{rps: 100, rate: .03, complaints: 1e-4, conversion: 1, complaining: 10}),
	}
}

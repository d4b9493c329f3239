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
	// loads is by how much the instances' loads differ, on the logarithm; what
	// they use is in proportion, and their requests are told one by one.
	loads float64
	// louder is how many times the noise is of that before the run; 1 when 0.
	louder float64
	// limit is what an instance of memory may use to what it usually does; none
	// when 0.
	limit float64
}

func (g gaugeTraffic) source(rng *rand.Rand) func(at) rollout.Arms {
	_, draw := g.begin(rng, 0)
	return draw
}

// past draws a run and the hour before it.
func (g gaugeTraffic) past(rng *rand.Rand) (*rollout.History, func(at) rollout.Arms) {
	return g.begin(rng, rollout.HistoryTicks)
}

func (g gaugeTraffic) begin(rng *rand.Rand, ticks int) (*rollout.History, func(at) rollout.Arms) {
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
	load := make([]float64, stable+1)
	for i := range level {
		level[i] = usual * math.Exp(g.spread*rng.NormFloat64())
		if load[i] = 1; g.loads > 0 && i < stable {
			load[i] = math.Exp(g.loads * rng.NormFloat64())
			level[i] *= load[i]
		}
		noise[i] = g.noise * rng.NormFloat64()
		names[i] = fmt.Sprintf("shop-%d", i)
	}
	loud, shared := 1.0, 1.0
	now := func(i int) float64 {
		noise[i] = g.memory*noise[i] + math.Sqrt(1-g.memory*g.memory)*g.noise*rng.NormFloat64()
		return shared * level[i] * math.Exp(loud*noise[i])
	}
	var history *rollout.History
	if ticks > 0 {
		before := map[string][]float64{}
		for range ticks {
			for i := range stable {
				before[names[i]] = append(before[names[i]], now(i))
			}
		}
		history = &rollout.History{Interval: rollout.Duration(interval), CPU: before}
		if g.kind == rollout.Memory {
			history.CPU, history.Memory = nil, before
		}
		if g.louder > 0 {
			loud = g.louder
		}
	}
	return history, func(a at) rollout.Arms {
		use := make(map[string]float64, stable)
		shared = 1 + g.diurnal*math.Sin(2*math.Pi*a.since.Hours()/2)
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
			if g.limit > 0 {
				arms.Canary.MemoryLimit = map[string]float64{names[stable]: g.limit * usual}
			}
		} else {
			arms.Stable.CPU, arms.Canary.CPU = use, canary
			if g.loads > 0 {
				arms.Stable.ByInstance = map[string]*rollout.InstanceSample{}
				total := 0.0
				for i := range stable {
					arms.Stable.ByInstance[names[i]] = &rollout.InstanceSample{Requests: new(each * load[i])}
					total += each * load[i]
				}
				arms.Stable.Requests = &total
			}
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
	// hour has the history of an hour as well.
	hour := func(name string, k kind, g gaugeTraffic) scenario {
		s := one(name, k, g, "not in it", 0, 0)
		if g.kind == "" {
			g.kind = rollout.CPU
		}
		s.past = g.past
		return s
	}
	limited := func(g gaugeTraffic, limit float64) gaugeTraffic { g.limit = limit; return mem(g) }
	hours := func(s scenario) scenario {
		s.length, s.config.Phases = 2*time.Hour, halfHours(5, 10, 25, 50)
		return s
	}
	// later begins to leak after an hour.
	later := func(name string, rate float64) scenario {
		s := hours(one(name, fault, mem(grown(func(a at) float64 { return math.Exp(rate * max(0, (a.since-time.Hour).Minutes())) })), "not in it", 0, 0))
		s.onset, s.warmup = time.Hour, 0
		return s
	}
	alike := func(g gaugeTraffic) gaugeTraffic { g.loads = .01; return g }
	loaded := func(g gaugeTraffic) gaugeTraffic { g.loads = .3; return g }
	few := gaugeTraffic{stable: 3, spread: .02, noise: .1, memory: .7}
	loud, twice := few, few
	loud.louder = 2
	twice.ratio = always(1.6)
	three := gaugeTraffic{stable: 3, spread: .1, noise: .05, memory: .9}
	fills := func(a at) float64 { return 1 - .5*math.Exp(-a.since.Minutes()/10) }
	return []scenario{
		hour("UH1 U1 with the hour before", null, gaugeTraffic{spread: .05, noise: .03, memory: .7}),
		hour("UH3 U3 with the hour before", null, gaugeTraffic{spread: .05, noise: .03, memory: .97}),
		hour("UH4 U4 with the hour before", null, gaugeTraffic{spread: .05, noise: .15, memory: .97, diurnal: .6}),
		hour("UH6 U6 with the hour before", null, three),
		hour("UH7 U7 with the hour before", fault, with(always(1.3))),
		hour("UH8 U8 with the hour before", fault, with(always(1.5))),
		hour("UH10 U10 with the hour before", fault, gaugeTraffic{stable: 3, spread: .05, noise: .03, memory: .9, ratio: always(2.5)}),
		one("U14 U7, and loads that differ by 30%", fault, loaded(with(always(1.3))), "not in it", 0, 0),
		hour("UH14 U14 with the hour before", fault, loaded(with(always(1.3)))),
		one("U15 U1, and loads that differ by 30%", null, loaded(usual), "not in it", 0, 0),
		hour("UH15 U15 with the hour before", null, loaded(usual)),
		one("U16 U10, and loads that differ by 30%", fault, loaded(gaugeTraffic{stable: 3, spread: .05, noise: .03, memory: .9, ratio: always(2.5)}), "not in it", 0, 0),
		hour("UH16 U16 with the hour before", fault, loaded(gaugeTraffic{stable: 3, spread: .05, noise: .03, memory: .9, ratio: always(2.5)})),
		one("U17 U6, and loads that differ by 30%", null, loaded(three), "not in it", 0, 0),
		hour("UH17 U17 with the hour before", null, loaded(three)),
		hour("UH18 U6 with the hour before, requests told one by one", null, alike(three)),
		hour("UH19 U11 with the hour before, requests told one by one", null, alike(few)),
		hour("UH20 the same, twice as much as in the hour before", null, alike(loud)),
		hour("UH21 U10 with the hour before, requests told one by one", fault, alike(gaugeTraffic{stable: 3, spread: .05, noise: .03, memory: .9, ratio: always(2.5)})),
		one("U11 CPU, three alike that move by 10%", null, few, "not in it", 0, 0),
		hour("UH11 U11 with the hour before", null, few),
		hour("UH12 U11, twice as much as in the hour before", null, loud),
		one("U13 U11 +60%", fault, twice, "not in it", 0, 0),
		hour("UH13 U13 with the hour before", fault, twice),
		hour("MH1 M1 with the hour before", null, mem(usual)),
		hour("MH2 M2 with the hour before", null, mem(gaugeTraffic{spread: .05, noise: .1, memory: .97})),
		hour("MH3 M3 with the hour before", null, mem(with(fills))),
		hour("MH4 M4 with the hour before", fault, mem(grown(leak(.01)))),
		hour("MH5 M5 with the hour before", fault, mem(grown(leak(.03)))),
		hours(one("M6 grows by 6% a phase, no limit", tolerated, mem(grown(leak(.002))), "not in it", 0, 0)),
		hours(one("M7 grows by 6% a phase, limit 1.5x its use", fault, limited(grown(leak(.002)), 1.5), "not in it", 0, 0)),
		hours(one("M8 M3 for two hours", null, mem(with(fills)), "not in it", 0, 0)),
		hours(one("M9 M8 with a limit of 1.25x its use", null, limited(with(fills), 1.25), "not in it", 0, 0)),
		hours(one("M10 M1 for two hours, limit 1.25x its use", null, limited(usual, 1.25), "not in it", 0, 0)),
		later("M11 1% a minute from minute 60", .01),
		later("M12 3% a minute from minute 60", .03),
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

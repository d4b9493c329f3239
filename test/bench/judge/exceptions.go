package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"serin.dev/serin/internal/rollout"
)

// exceptionTraffic describes the exceptions of a run. Every exception belongs
// to a request unless Timer says otherwise, and both versions throw alike but
// for what is the canary's own.
type exceptionTraffic struct {
	rps float64
	// classes is how many classes both versions have, perHour how often each is
	// thrown in both arms together.
	classes int
	perHour float64
	// unique makes a class of its own of every exception.
	unique bool
	// burst is how often the user who met an exception tries again, about, and
	// pause how long after; the user stays in one arm.
	burst float64
	pause time.Duration
	// timer: the exceptions come by the instance, and each arm has one.
	timer bool
	// own is how often per hour the canary's own class is thrown at a share of
	// 100 %: by the request, so a tenth of it at 10 %.
	own float64
}

// due is an exception that is still to come.
type due struct {
	at     time.Duration
	class  string
	canary bool
}

func (e exceptionTraffic) source(rng *rand.Rand) func(at) rollout.Arms {
	var waiting []due
	n := 0
	return func(a at) rollout.Arms {
		share := float64(a.weight) / 100
		requests := e.rps * a.length.Seconds()
		stable, canary := exceptionArm(poisson(rng, requests*(1-share)), 19), exceptionArm(poisson(rng, requests*share), 1)
		hit := share
		if e.timer {
			hit, *stable.Instances = 0.5, 1
		}
		begin := func(class string, canary bool) {
			n++
			if e.unique {
				class = fmt.Sprintf("%s%d", class, n)
			}
			when := a.since + time.Duration(rng.Float64()*float64(a.length))
			waiting = append(waiting, due{when, class, canary})
			for e.burst > 0 && rng.Float64() < 1-1/e.burst {
				when += time.Duration(rng.ExpFloat64() * float64(e.pause))
				waiting = append(waiting, due{when, class, canary})
			}
		}
		for class := range e.classes {
			for range int(poisson(rng, e.perHour*a.length.Hours())) {
				begin(fmt.Sprintf("E%d@shop.serve", class), rng.Float64() < hit)
			}
		}
		for range int(poisson(rng, e.own*share*a.length.Hours())) {
			begin("OwnError@cart.add", true)
		}
		later := waiting[:0]
		for _, d := range waiting {
			arm := stable
			if d.canary {
				arm = canary
			}
			if d.at >= a.since+a.length {
				later = append(later, d)
				continue
			}
			arm.Exceptions = append(arm.Exceptions, rollout.Exception{Class: d.class, Count: 1})
		}
		waiting = later
		return rollout.Arms{Stable: stable, Canary: canary}
	}
}

func exceptionArm(requests float64, instances int) *rollout.Sample {
	errors := 0.0
	return &rollout.Sample{Requests: &requests, Errors: &errors, Instances: &instances, Exceptions: []rollout.Exception{}}
}

func exceptionScenarios() []scenario {
	const alpha = 0.002
	checks := []rollout.Check{{Name: "exceptions", Type: rollout.Exceptions}}
	plan := config(alpha, checks, halfHours(5, 10, 25, 50)...)
	nulls := []struct {
		name string
		exceptionTraffic
	}{
		{"X1 rare classes in both arms", exceptionTraffic{rps: 100, classes: 40, perHour: 2}},
		{"X2 frequent classes in both arms", exceptionTraffic{rps: 100, classes: 40, perHour: 60}},
		{"X3 every exception its own class", exceptionTraffic{rps: 100, classes: 1, perHour: 60, unique: true}},
		{"X4 a user meets one 5 times in 10 s", exceptionTraffic{rps: 100, classes: 40, perHour: 2, burst: 5, pause: 2 * time.Second}},
		{"X5 the same, every user another class", exceptionTraffic{rps: 100, classes: 1, perHour: 20, unique: true, burst: 5, pause: 2 * time.Second}},
		{"X6 by timers, one instance an arm", exceptionTraffic{rps: 100, classes: 10, perHour: 12, timer: true}},
		{"X7 new class in both arms at 1 request/s", exceptionTraffic{rps: 1, classes: 3, perHour: 20}},
	}
	var all []scenario
	for _, n := range nulls {
		all = append(all, scenario{name: n.name, kind: null, length: 2 * time.Hour, config: plan, source: n.source})
	}
	for _, f := range []struct {
		weight int
		name   string
		own    float64
	}{
		{5, "X11 own class, 1 request in 100, 5 %", 3600},
		{5, "X12 own class, 4 times in 10 minutes, 5 %", 480},
		{25, "X13 own class, 1 request in 100, 25 %", 3600},
		{50, "X14 own class, 1 request in 100, 50 %", 3600},
	} {
		e := exceptionTraffic{rps: 100, classes: 40, perHour: 10, own: f.own}
		if f.own >= 3600 {
			e.own = 3600 // one a second at all traffic
		}
		all = append(all, scenario{name: f.name, kind: fault, length: 30 * time.Minute, config: config(alpha, checks, halfHours(f.weight)...), source: e.source})
	}
	return all
}

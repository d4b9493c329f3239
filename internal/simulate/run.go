package simulate

import (
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// End is what became of a simulated run.
type End string

// The ends of a run: promoted, rolled back, or waiting for a person.
const (
	Promoted   End = "promoted"
	RolledBack End = "rolledBack"
	Paused     End = "paused"
)

// run is what one simulated run came to.
type run struct {
	end End
	// lasted is from the first phase's beginning to the end; sinceFault from the
	// moment at which a fault first showed, negative when none did.
	lasted, sinceFault time.Duration
	// requests is how many the canary got, affected how many of them were worse
	// off for it.
	requests, affected float64
	ticks              int
	// failed names the check that rolled back, "" when a rule of the engine did.
	failed string
}

// player plays runs of one plan.
type player struct {
	plan engine.Plan
	// decider makes what decides a run.
	decider func() func(engine.Plan, engine.State, engine.Observation) engine.Decision
}

// newPlayer plays a plan whose tests pass and whose approvals are given at once.
func newPlayer(p engine.Plan) player {
	p.Tests, p.Hooks = nil, nil
	return player{p, func() func(engine.Plan, engine.State, engine.Observation) engine.Decision {
		return new(engine.Player).Decide
	}}
}

// start is when every simulated run begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// play plays one run from its first phase to its end. A run that comes to wait
// for a person has ended: what that person does is not simulated.
func (p player) play(src *source) run {
	interval := time.Duration(p.plan.Analysis.Interval)
	longest := 3*p.plan.Watched() + time.Hour
	state := engine.StartWatching(p.plan, start)
	weight := p.plan.Phases[0].Weight
	decide := p.decider()
	var seen sight
	out := run{end: Paused, sinceFault: -1}
	onset := time.Duration(-1)
	for since := time.Duration(0); since < longest; since += interval {
		arms, e := src.tick(since, weight)
		if e.any && onset < 0 {
			onset = since
		}
		out.count(src, e)
		t := rollout.Tick{At: start.Add(since + interval), Weight: weight, Arms: arms}
		d := decide(p.plan, state, seen.observe(src, t, e))
		state = d.Next
		out.ticks++
		out.lasted = since + interval
		switch {
		case d.Kind == engine.Rollback:
			out.end = RolledBack
			if len(d.Because) > 0 && d.Because[0].Result != nil {
				out.failed = d.Because[0].Check
			}
		case d.Kind == engine.Complete:
			out.end = Promoted
		case !state.Waiting():
			weight = d.Share()
			continue
		}
		if onset >= 0 {
			out.sinceFault = out.lasted - onset
		}
		return out
	}
	return out
}

// sight is what the engine is shown in one look.
type sight struct {
	tick           rollout.Tick
	weight         engine.Weight
	stable, canary engine.Group
}

// observe shows the engine, besides the figures, instances that run and a weight
// that is in effect. It is good until the next.
func (s *sight) observe(src *source, t rollout.Tick, e effect) engine.Observation {
	*s = sight{
		tick:   t,
		weight: engine.Weight{Known: true, Percent: t.Weight, InEffect: true},
		stable: engine.Group{Instances: src.stable.count, Ready: src.stable.count, Capacity: rollout.Full},
		canary: engine.Group{Instances: src.canary.count, Ready: src.canary.count, Capacity: rollout.Full, Restarts: e.crashed},
	}
	if e.down {
		s.canary.Ready, s.canary.Capacity = 0, 0
	}
	return engine.Observation{At: t.At, Weight: &s.weight, Stable: &s.stable, Canary: &s.canary, Tick: &s.tick}
}

// slower is the least slowdown of requests that counts as harm.
const slower = 0.01

// count adds up what users noticed of the canary in a tick: requests that failed
// and would not have failed, or, where they are slower, those that are.
func (r *run) count(src *source, e effect) {
	m := &src.canary
	r.requests += m.requests
	if !e.any {
		return
	}
	var harmed float64
	if src.plan.errors && e.errors > 1 {
		harmed = m.errors * (1 - 1/e.errors)
	}
	slow := 0.0
	switch {
	case e.times > slower:
		slow = m.requests
	case e.slowest > slower:
		slow = m.requests * slowestPart
	}
	harmed = max(harmed, slow, m.requests*min(1, e.exceptions), m.requests*conversion*max(0, 1-e.conversion))
	if e.canaryMissing && !e.stableMissing {
		harmed = m.requests // nobody knows what became of them
	}
	r.affected += harmed
}

package dialogue

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// moment is how long after the look before one looks again when a line says
// nothing of time.
const moment = time.Second

// player plays one scene.
type player struct {
	plan  engine.Plan
	see   func(Look)
	world world
	meter meter

	began, now time.Time
	state      engine.State
	// wants is what the latest decision wanted; before the first, nothing.
	wants engine.Want
	// What the next look is told once.
	tick    *rollout.Tick
	intents []rollout.Intent
	jobs    []engine.JobResult
	resumed bool

	asked int // intents so far
	said  []string
	words words
}

func newPlayer(p engine.Plan, see func(Look)) *player {
	if see == nil {
		see = func(Look) {}
	}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pl := &player{plan: p, see: see, world: newWorld(), began: began, now: began, state: engine.Start(p)}
	pl.world.fresh = p.Baseline
	pl.meter.times = slices.ContainsFunc(p.Analysis.Checks, func(c rollout.Check) bool { return c.Type == rollout.ResponseTime })
	return pl
}

// step plays one line: what it sets, then its look or looks.
func (p *player) step(st step) error {
	for _, set := range st.set {
		if err := set(p); err != nil {
			return err
		}
	}
	if st.pass != nil {
		return st.pass(p)
	}
	p.now = p.now.Add(moment)
	d, err := p.look()
	p.say(d)
	return err
}

// look observes, decides, and lets the world follow. Between two looks the
// state goes through JSON, as it does when it is saved.
func (p *player) look() (engine.Decision, error) {
	o := engine.Observation{At: p.now, Tick: p.tick, Intents: p.intents, Resumed: p.resumed}
	o.Jobs = append(p.jobs, p.choreResults()...)
	p.tick, p.intents, p.jobs, p.resumed = nil, nil, nil, false
	p.world.observe(&o)
	d := engine.Decide(p.plan, p.state, o)
	p.see(Look{Was: p.state, Observation: o, Decision: d})

	next, err := saved(d.Next)
	if err != nil {
		return d, err
	}
	if p.plan.Want(d.Next).Weight != d.Want.Weight || !reflect.DeepEqual(p.plan.Want(next), d.Want) {
		return d, fmt.Errorf("what is wanted does not follow from the state that is saved: %+v", d.Want)
	}
	if next.Status != p.state.Status || next.Phase != p.state.Phase {
		p.world.tests = nil
	}
	p.state, p.wants = next, d.Want
	p.world.obey(d)
	if p.world.testsPass {
		p.world.tests = nil
		for _, t := range p.plan.Tests {
			p.world.tests = append(p.world.tests, engine.TestResult{Name: t.Name, Passes: 1})
		}
	}
	return d, nil
}

// saved is the state as the store gives it back.
func saved(s engine.State) (engine.State, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return s, fmt.Errorf("the state cannot be saved: %w", err)
	}
	var back engine.State
	err = json.Unmarshal(data, &back)
	return back, err
}

// choreResults are the results of Serin's own jobs that were asked for.
func (p *player) choreResults() []engine.JobResult {
	var done []engine.JobResult
	for _, j := range p.wants.Jobs {
		if j.Kind != engine.JobHook && p.world.chores {
			done = append(done, engine.JobResult{Key: j.Key, Passed: true})
		}
	}
	return done
}

// answer gives a hook's result to the next look.
func (p *player) answer(name string, passed bool, message string) error {
	for _, j := range p.wants.Jobs {
		if j.Hook == name {
			p.jobs = append(p.jobs, engine.JobResult{Key: j.Key, Passed: passed, Message: message})
			return nil
		}
	}
	return fmt.Errorf("hook %q was not asked for, so it cannot answer", name)
}

// ask adds an intent to the next look.
func (p *player) ask(kind rollout.IntentKind, full bool, by, reason string) {
	p.asked++
	p.intents = append(p.intents, rollout.Intent{
		ID: fmt.Sprint(p.asked), Kind: kind, Full: full, At: p.now, Actor: by, Reason: reason,
	})
}

func (p *player) interval() time.Duration { return p.plan.Tick(p.state) }

// tickOf looks an interval later at a tick's figures.
func (p *player) tickOf(arms rollout.Arms) (engine.Decision, error) {
	p.now = p.now.Add(p.interval())
	p.tick = &rollout.Tick{At: p.now, Weight: p.world.router.seen.Percent, Arms: arms}
	return p.look()
}

// healthy is the traffic of a scene that says nothing of it.
func healthy(rps int) traffic {
	return traffic{rps: rps, stableErrors: usualErrors, canaryErrors: usualErrors}
}

// pass looks once: at the next tick while a phase is watched, else a moment
// later.
func (p *player) pass(t traffic) (engine.Decision, error) {
	if p.state.Status == engine.Progressing {
		return p.tickOf(p.meter.arms(t, p.interval().Seconds(), p.world.router.seen.Percent, p.wants.BaselineWeight))
	}
	p.now = p.now.Add(moment)
	return p.look()
}

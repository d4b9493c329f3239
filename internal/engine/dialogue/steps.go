package dialogue

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// timeForms let time go by. A line has at most one; without one, the look is a
// moment later.
var timeForms = []form[action]{
	{"look after <duration>", readAfter(+1)},
	{"look before <duration>", readAfter(-1)},
	{"tick stable <requests/errors> canary <requests/errors>", readTick},
	{"tick stable <requests/errors>", readTick},
	{"tick canary <requests/errors>", func(f fields) (action, error) {
		f.values = []string{"", f.values[0]}
		return readTick(f)
	}},
	{"wait <duration>", readSilence},
	{"wait <duration> of healthy ticks at <count> rps", waiting(func(fields, *traffic) error { return nil })},
	{"wait <duration> of ticks at <count> rps with <percent> errors", waiting(func(f fields, t *traffic) (err error) {
		t.canaryErrors, err = f.percent(2)
		t.stableErrors = t.canaryErrors
		return err
	})},
	{"wait <duration> of ticks at <count> rps with <percent> canary errors", waiting(func(f fields, t *traffic) (err error) {
		t.canaryErrors, err = f.percent(2)
		return err
	})},
	{"wait <duration> of ticks at <count> rps with a canary <percent> slower", waiting(func(f fields, t *traffic) (err error) {
		t.slower, err = f.percent(2)
		return err
	})},
	{"wait <duration> of ticks at <count> rps without canary", waiting(func(_ fields, t *traffic) error {
		t.canaryLost = true
		return nil
	})},
	{"wait <duration> of ticks at <count> rps without stable", waiting(func(_ fields, t *traffic) error {
		t.stableLost = true
		return nil
	})},
	{"wait <duration> of ticks at <count> rps without figures", waiting(func(_ fields, t *traffic) error {
		t.stableLost, t.canaryLost = true, true
		return nil
	})},
	{"reach phase <number>", func(f fields) (action, error) {
		n, err := f.whole(0)
		return reach(fmt.Sprintf("%s %d", engine.Progressing, n)), err
	}},
	{"reach phase <number> <stage>", func(f fields) (action, error) {
		n, err := f.whole(0)
		return reach(fmt.Sprintf("%s %d %s", engine.Progressing, n, f.text(1))), err
	}},
	{"reach <position>", func(f fields) (action, error) { return reach(f.text(0)), nil }},
	{"reach <position> <stage>", func(f fields) (action, error) { return reach(f.text(0) + " " + f.text(1)), nil }},
}

func readAfter(sign time.Duration) func(fields) (action, error) {
	return func(f fields) (action, error) {
		d, err := f.duration()
		return func(p *player) error {
			p.now = p.now.Add(sign * d)
			said, err := p.look()
			p.say(said)
			return err
		}, err
	}
}

// readTick reads each arm's requests and errors; an arm left out has none.
func readTick(f fields) (action, error) {
	var samples [2]*rollout.Sample
	for i, v := range f.values {
		if v == "" {
			continue
		}
		requests, errors, err := f.ratio(i)
		if err != nil {
			return nil, err
		}
		r, e := float64(requests), float64(errors)
		samples[i] = &rollout.Sample{Requests: &r, Errors: &e}
	}
	return func(p *player) error {
		d, err := p.tickOf(rollout.Arms{Stable: samples[0], Canary: samples[1]})
		p.say(d)
		return err
	}, nil
}

// lasting looks again and again until the time has passed or the run is over,
// and says what changed and how it ended.
func lasting(length time.Duration, next func(*player) (engine.Decision, error)) action {
	return func(p *player) error {
		for until := p.now.Add(length); ; {
			d, err := next(p)
			if err != nil {
				return err
			}
			said := p.sayChange(d)
			if d.Next.Ended() || !p.now.Before(until) {
				if !said {
					p.say(d)
				}
				return nil
			}
		}
	}
}

// readSilence waits without figures and without ticks.
func readSilence(f fields) (action, error) {
	d, err := f.duration()
	return lasting(d, func(p *player) (engine.Decision, error) {
		if p.state.Status == engine.Progressing {
			p.now = p.now.Add(min(p.interval(), d))
		} else {
			p.now = p.now.Add(moment)
		}
		return p.look()
	}), err
}

// waiting reads a duration, a rate, and what is special about the traffic.
func waiting(special func(fields, *traffic) error) func(fields) (action, error) {
	return func(f fields) (action, error) {
		d, err := f.duration()
		if err != nil {
			return nil, err
		}
		rps, err := f.whole(1)
		if err != nil {
			return nil, err
		}
		t := healthy(rps)
		if err := special(f, &t); err != nil {
			return nil, err
		}
		return lasting(d, func(p *player) (engine.Decision, error) { return p.pass(t) }), nil
	}
}

// reachLooks bounds how long a run is awaited.
const reachLooks = 20000

// reach goes on in good health, every hook and test passing and everybody
// approving, until the run is
// at a position, and says only that.
func reach(position string) action {
	return func(p *player) error {
		if before := p.world.testsPass; !before {
			p.world.testsPass = true
			defer func() { p.world.testsPass, p.world.tests = false, nil }()
		}
		for range reachLooks {
			for _, j := range p.wants.Jobs {
				if j.Kind == engine.JobHook {
					p.jobs = append(p.jobs, engine.JobResult{Key: j.Key, Passed: true})
				}
			}
			d, err := p.pass(healthy(100))
			if err != nil {
				return err
			}
			at := d.Next.Position()
			if strings.HasPrefix(at+" ", position+" ") {
				p.say(d)
				return nil
			}
			if h := d.Next.Hold; h != nil && h.Rule == "approval" {
				p.ask(rollout.Promote, false, "everybody", "")
				continue
			}
			if d.Next.Ended() || d.Next.Waiting() {
				return fmt.Errorf("%q is not reached: the run is at %q", position, at)
			}
		}
		return fmt.Errorf("%q is not reached: the run stays at %q", position, p.state.Position())
	}
}

// worldForms change the world, or what the next look is told.
var worldForms = slices.Concat([]form[action]{
	{"look", set(func(*player) {})},
	{"restart", set(func(p *player) { p.resumed = true })},
	{"superseded <text>", setText(func(p *player, s string) { p.world.superseded = s })},
	{"unsaved <text>", setText(func(p *player, s string) { p.world.unsaved = s })},
	{"saved", set(func(p *player) { p.world.unsaved = "" })},
	{"nothing seen", set(func(p *player) {
		p.world.router.unknown, p.world.stable.unknown, p.world.canary.unknown = true, true, true
	})},
	{"all seen", set(func(p *player) {
		p.world.router.unknown, p.world.stable.unknown, p.world.canary.unknown = false, false, false
	})},
	{"chores stuck", set(func(p *player) { p.world.chores = false })},
	{"chores done", set(func(p *player) { p.world.chores = true })},
	{"tests pass", set(func(p *player) {
		p.world.testsPass, p.world.tests = true, nil
		for _, t := range p.plan.Tests {
			p.world.tests = append(p.world.tests, engine.TestResult{Name: t.Name, Passes: 1})
		}
	})},
	{"test passed <name>", func(f fields) (action, error) {
		return func(p *player) error { return p.test(engine.TestResult{Name: f.text(0), Passes: 1}) }, nil
	}},
	{"test failed <name> <count> times <text>", func(f fields) (action, error) {
		n, err := f.whole(1)
		return func(p *player) error {
			return p.test(engine.TestResult{Name: f.text(0), Failures: n, Message: f.text(2)})
		}, err
	}},
	{"hook passed <name>", func(f fields) (action, error) {
		return func(p *player) error { return p.answer(f.text(0), true, "") }, nil
	}},
	{"hook failed <name> <text>", func(f fields) (action, error) {
		return func(p *player) error { return p.answer(f.text(0), false, f.text(1)) }, nil
	}},

	{"router unknown", set(func(p *player) { p.world.router.unknown = true })},
	{"router seen", set(func(p *player) { p.world.router.unknown = false })},
	{"router empty", set(func(p *player) { p.world.router.seen = engine.Weight{}; p.world.router.stuck = true })},
	{"router stuck", set(func(p *player) { p.world.router.stuck = true })},
	{"router obeys", set((*player).routerObeys)},
	{"router pending", set(func(p *player) { p.world.router.seen.InEffect = false; p.world.router.stuck = true })},
	{"router at <weight>", func(f fields) (action, error) {
		w, err := f.weight(0)
		return set1(func(p *player) { p.world.router.seen.Percent = w; p.world.router.changes++ }), err
	}},
	{"router unpromoted", set(func(p *player) { p.world.router.seen.Promoted = false })},
	{"router moved to <weight> by <name>", func(f fields) (action, error) {
		w, err := f.weight(0)
		return set1(func(p *player) {
			r := &p.world.router
			r.seen.Percent, r.seen.ChangedBy = w, f.text(1)
		}), err
	}},
	{"router carries <count> canary requests", func(f fields) (action, error) {
		n, err := f.whole(0)
		return set1(func(p *player) { p.world.router.seen.CanaryInflight = n }), err
	}},
	{"router carries <count> draining requests", func(f fields) (action, error) {
		n, err := f.whole(0)
		return set1(func(p *player) { p.world.router.seen.DrainingInflight = n }), err
	}},
},
	groupForms("stable", func(w *world) *group { return &w.stable }, func(engine.Want) int { return rollout.Full }),
	groupForms("canary", func(w *world) *group { return &w.canary }, func(w engine.Want) int { return w.Canary }),
	groupForms("baseline", func(w *world) *group { return &w.baseline }, func(w engine.Want) int { return w.Baseline }),
	intentForms("promote", rollout.Promote, false),
	intentForms("promote full", rollout.Promote, true),
	intentForms("pause", rollout.Pause, false),
	intentForms("resume", rollout.Resume, false),
	intentForms("rollback", rollout.Rollback, false),
)

// groupForms are the lines about one group of instances.
func groupForms(name string, of func(*world) *group, wanted func(engine.Want) int) []form[action] {
	change := func(f func(*player, *group)) action {
		return set1(func(p *player) { f(p, of(&p.world)) })
	}
	return []form[action]{
		{name + " obeys", func(fields) (action, error) {
			return change(func(p *player, g *group) {
				*g = group{}
				g.follow(wanted(p.wants))
			}), nil
		}},
		{name + " unknown", func(fields) (action, error) {
			return change(func(_ *player, g *group) { g.unknown = true }), nil
		}},
		{name + " seen", func(fields) (action, error) {
			return change(func(_ *player, g *group) { g.unknown = false }), nil
		}},
		{name + " ready <ready/instances>", func(f fields) (action, error) {
			ready, instances, err := f.ratio(0)
			if err == nil && ready > instances {
				err = fmt.Errorf("%d of %d cannot be ready", ready, instances)
			}
			return change(func(p *player, g *group) {
				g.own = true
				g.seen.Instances, g.seen.Ready, g.seen.Capacity = instances, ready, 0
				if instances > 0 {
					g.seen.Capacity = wanted(p.wants) * ready / instances
				}
			}), err
		}},
		{name + " capacity <weight>", func(f fields) (action, error) {
			c, err := f.weight(0)
			return change(func(_ *player, g *group) { g.own, g.seen.Capacity = true, c }), err
		}},
		{name + " detail <text>", func(f fields) (action, error) {
			return change(func(_ *player, g *group) { g.seen.Detail = f.text(0) }), nil
		}},
		{name + " failed <text>", func(f fields) (action, error) {
			return change(func(_ *player, g *group) { g.seen.Failed = f.text(0) }), nil
		}},
		{name + " ended <count> times", func(f fields) (action, error) {
			n, err := f.whole(0)
			return change(func(_ *player, g *group) { g.seen.Restarts = n }), err
		}},
	}
}

// intentForms are the lines about what a person asks.
func intentForms(name string, kind rollout.IntentKind, full bool) []form[action] {
	return []form[action]{
		{"intent " + name + " by <name>", func(f fields) (action, error) {
			return set1(func(p *player) { p.ask(kind, full, f.text(0), "") }), nil
		}},
		{"intent " + name + " by <name> <text>", func(f fields) (action, error) {
			return set1(func(p *player) { p.ask(kind, full, f.text(0), f.text(1)) }), nil
		}},
	}
}

// routerObeys lets the router take what is wanted again.
func (p *player) routerObeys() {
	r := &p.world.router
	r.unknown, r.stuck = false, false
	r.seen = engine.Weight{Known: true, InEffect: true, Percent: p.wants.Weight, Promoted: p.wants.Promoted}
}

// test sets a test's standing in the current phase.
func (p *player) test(standing engine.TestResult) error {
	if !slices.ContainsFunc(p.plan.Tests, func(t engine.Test) bool { return t.Name == standing.Name }) {
		return fmt.Errorf("the plan has no test %q", standing.Name)
	}
	p.world.testsPass = false
	p.world.tests = slices.DeleteFunc(p.world.tests, func(t engine.TestResult) bool { return t.Name == standing.Name })
	p.world.tests = append(p.world.tests, standing)
	return nil
}

func set(f func(*player)) func(fields) (action, error) {
	return func(fields) (action, error) { return set1(f), nil }
}

func setText(f func(*player, string)) func(fields) (action, error) {
	return func(fs fields) (action, error) {
		return set1(func(p *player) { f(p, fs.text(0)) }), nil
	}
}

func set1(f func(*player)) action {
	return func(p *player) error {
		f(p)
		return nil
	}
}

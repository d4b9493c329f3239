package dialogue

import (
	"strconv"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// world is everything outside of the engine. Left alone it does at once what
// is wanted of it.
type world struct {
	router     router
	stable     group
	canary     group
	baseline   group
	unsaved    string
	superseded string
	tests      []engine.TestResult
	// testsPass: every test passes in every phase; chores: evidence and logs
	// are gathered.
	testsPass, chores bool
	// fresh: the plan has a baseline.
	fresh bool
}

// router is the split in effect.
type router struct {
	seen engine.Weight
	// unknown: it cannot be observed; stuck: it takes no new split.
	unknown, stuck bool
	// changes is how often the weight has changed, by whomever.
	changes int
}

// group is one group of instances.
type group struct {
	seen engine.Group
	// unknown: it cannot be observed; own: it does not follow what is wanted.
	unknown, own bool
}

func newWorld() world {
	w := world{chores: true}
	w.router.seen = engine.Weight{Known: true, InEffect: true}
	w.stable.follow(rollout.Full)
	return w
}

// observe is what an observer sees now.
func (w *world) observe(o *engine.Observation) {
	o.Unsaved, o.Superseded = w.unsaved, w.superseded
	if !w.router.unknown {
		seen := w.router.seen
		seen.Revision = strconv.Itoa(w.router.changes)
		o.Weight = &seen
	}
	o.Stable, o.Canary = w.stable.look(), w.canary.look()
	if w.fresh {
		o.Baseline = w.baseline.look()
	}
	o.Tests = append(o.Tests, w.tests...)
}

func (g *group) look() *engine.Group {
	if g.unknown {
		return nil
	}
	seen := g.seen
	return &seen
}

// follow makes the group as large as wanted: one instance that carries it all.
func (g *group) follow(capacity int) {
	if g.own {
		return
	}
	g.seen.Instances, g.seen.Ready, g.seen.Capacity = 0, 0, capacity
	if capacity > 0 {
		g.seen.Instances, g.seen.Ready = 1, 1
	}
}

// obey does what a decision wants. What raises the weight is not done while
// the decision cannot be saved, as the runner has it.
func (w *world) obey(d engine.Decision) {
	raises := d.Want.Weight >= w.router.seen.Percent
	if w.unsaved != "" && raises && d.Kind != engine.Rollback {
		return
	}
	if r := &w.router; !r.stuck {
		if r.seen.Percent != d.Want.Weight || r.seen.Promoted != d.Want.Promoted {
			r.changes++
		}
		r.seen.Percent, r.seen.Promoted = d.Want.Weight, d.Want.Promoted
		r.seen.Known, r.seen.InEffect, r.seen.ChangedBy = true, true, ""
	}
	w.stable.follow(d.Want.Stable)
	w.canary.follow(d.Want.Canary)
	w.baseline.follow(d.Want.Baseline)
}

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// violation is a broken invariant; it is raised as a panic and caught by the
// driver.
type violation struct{ text string }

// checker holds what the invariants need to remember.
type checker struct {
	// floor: the weight must not rise above it any more (-1: no floor).
	rolledBack string
	// lowered: the weight went from above 0 to 0 and nothing was saved since. At
	// the end of a promotion the tested instances are both arms: that is no
	// rollback.
	lowered bool
	// fresh counts the ticks with figures in the durable phase.
	fresh int
	// metricsDown is the boundary until which there are no metrics.
	metricsDown int
	saves       int
}

func (c *checker) broken(invariant, format string, args ...any) {
	panic(violation{invariant + ": " + fmt.Sprintf(format, args...)})
}

// routed is called before the router takes a split.
func (c *checker) routed(w *world, s traffic.Split) {
	durable := w.store.durable()
	if s.Weight > w.weight {
		allowed := 0
		switch durable.Status {
		case engine.Progressing:
			allowed = w.plan.Phases[durable.Phase].Weight
		case engine.Promoting:
			if durable.Stage == engine.Switching {
				allowed = w.plan.Phases[durable.Phase].Weight
			}
		}
		if s.Weight > allowed {
			c.broken("S1", "weight raised to %d while what is saved (%s) allows %d", s.Weight, durable.Position(), allowed)
		}
		if c.rolledBack != "" {
			c.broken("S4", "weight raised to %d after a rollback (%s)", s.Weight, c.rolledBack)
		}
	}
	if s.BaselineWeight > w.plan.BaselineWeight(s.Weight) || s.Weight+s.BaselineWeight > rollout.Full {
		c.broken("S1", "a baseline of %d %% beside a weight of %d", s.BaselineWeight, s.Weight)
	}
	if s.BaselineWeight > w.baselineWeight && durable.Baseline.Lost != "" {
		c.broken("S2", "%d %% to a baseline that was given up: %s", s.BaselineWeight, durable.Baseline.Lost)
	}
	enough := s.Weight
	if w.byInstances && w.weight > 0 {
		enough = min(enough, durable.Seen) // the others come once the weight is theirs
	}
	if s.Weight > 0 && w.told && enough > w.toldCapacity && s.Weight >= w.weight {
		c.broken("S2", "weight %d while the canary was last seen with capacity %d", s.Weight, w.toldCapacity)
	}
	if s.Promoted && durable.Status != engine.Promoting && durable.Status != engine.Promoted {
		c.broken("S3", "the stable arm moved to the canary in %s", durable.Position())
	}
	if w.weight > 0 && s.Weight == 0 && !s.Promoted {
		c.lowered = true
	}
}

// sized is called before the workload takes a size.
func (c *checker) sized(w *world, want workload.Want) {
	durable := w.store.durable()
	if want.Stable < rollout.Full {
		removing := durable.Status == engine.Promoting && (durable.Stage == engine.Removing || durable.Stage == engine.Finishing)
		if !removing && durable.Status != engine.Promoted {
			c.broken("S3", "stable reduced to %d %% in %s", want.Stable, durable.Position())
		}
		if !w.promoted || w.weight != 0 {
			c.broken("S3", "stable reduced to %d %% while the router still sends it traffic", want.Stable)
		}
	}
	if w.byInstances && w.weight > 0 && durable.Status == engine.Progressing && want.Canary > w.plan.Phases[durable.Phase].Weight {
		c.broken("S1", "a canary of %d %% is in the traffic in %s", want.Canary, durable.Position())
	}
	if want.Canary < w.weight && !w.byInstances {
		c.broken("S2", "canary reduced to %d %% while it gets %d %%", want.Canary, w.weight)
	}
}

// measured is called when figures of both arms were delivered.
func (c *checker) measured(w *world) {
	if w.weight > 0 {
		c.fresh++
	}
}

// saved is called when a state has become durable.
func (c *checker) saved(w *world, was, now engine.State) {
	c.saves++
	c.lowered = false
	if was.Status == engine.RollingBack && now.Status != engine.RollingBack && now.Status != engine.RolledBack {
		c.broken("S4", "%s after %s", now.Position(), was.Position())
	}
	if now.Status == engine.RollingBack || now.Status == engine.RolledBack {
		c.rolledBack = "saved"
	}
	if now.Status == engine.Progressing && now.Phase > was.Phase || now.Status == engine.Promoting && was.Status == engine.Progressing {
		if now.Status == engine.Progressing && now.Phase != was.Phase+1 {
			c.broken("S5", "phase %d follows phase %d", now.Phase+1, was.Phase+1)
		}
		passed, person := false, false
		for _, p := range now.Passes {
			if p.Phase == was.Phase {
				passed, person = true, p.By != ""
			}
		}
		if !passed {
			c.broken("S5", "phase %d ended without a pass", was.Phase+1)
		}
		if !person && c.fresh == 0 {
			c.broken("S5", "phase %d passed without figures", was.Phase+1)
		}
		c.fresh = 0
	}
}

// stepped is called after a step that returned. A decision that somebody
// else's save has overtaken is not one of the run: what it did to the weight
// counts, what it said does not.
func (c *checker) stepped(w *world, look runner.Look, err error, faulty bool) {
	switch {
	case errors.Is(err, store.ErrConflict):
		c.unsaved("somebody else's save came first")
	case look.Decision.Decision == engine.Rollback && c.rolledBack == "":
		c.rolledBack = "decided"
	}
	if look.Decision.Decision == engine.Rollback && !faulty && w.weight != 0 {
		c.broken("L2", "the step that decided to roll back left weight %d", w.weight)
	}
}

// unsaved is called when what a step did will never be saved, and says why.
func (c *checker) unsaved(why string) {
	if c.lowered && c.rolledBack == "" {
		c.rolledBack = "the weight was lowered to 0 and that was not saved: " + why
	}
	c.lowered = false
}

// ended is called once nothing is broken any more and the run has come to rest.
func (c *checker) ended(w *world) {
	s := w.store.durable()
	want := w.plan.Want(s)
	if w.weight != want.Weight || w.promoted != want.Promoted && s.Ended() && s.Status == engine.Promoted {
		c.broken("L3", "%s wants weight %d, the router has %d", s.Position(), want.Weight, w.weight)
	}
	if s.Ended() && (w.stable.capacity != want.Stable || w.canary.capacity != want.Canary) {
		c.broken("L3", "%s wants stable %d and canary %d, there are %d and %d", s.Position(), want.Stable, want.Canary, w.stable.capacity, w.canary.capacity)
	}
	if s.Ended() && (w.baseline.capacity != 0 || w.baselineWeight != 0) {
		c.broken("L3", "%s and a baseline of %d %% with %d %% of the traffic is left", s.Position(), w.baseline.capacity, w.baselineWeight)
	}
	lines, err := w.store.Lines(context.Background(), runID, 0, 0)
	if err != nil {
		panic(err)
	}
	var rec bytes.Buffer
	decisions := 0
	for _, l := range lines {
		rec.Write(l)
		rec.WriteByte('\n')
		if bytes.Contains(l, []byte(`"decision":`)) {
			decisions++
		}
	}
	replayed, err := record.Replay(&rec)
	if err != nil {
		c.broken("S9", "the record does not replay: %v", err)
	}
	if len(replayed.Differences) > 0 {
		d := replayed.Differences[0]
		c.broken("S9", "line %d replays differently:\nrecorded %s\ndecided  %s", d.Line, d.Recorded, d.Decided)
	}
	if replayed.Decisions != decisions {
		c.broken("S6", "%d decisions recorded, %d replayed", decisions, replayed.Decisions)
	}
	a, errA := json.Marshal(replayed.State)
	b, errB := json.Marshal(s)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		c.broken("S6", "the record ends in %s, the store in %s", replayed.State.Position(), s.Position())
	}
}

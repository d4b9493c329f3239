package runner

import (
	"context"
	"fmt"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// route asks the router for the wanted split.
func (r *Runner) route(ctx context.Context, w engine.Want) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	split := traffic.Split{
		Weight: w.Weight, Promoted: w.Promoted,
		Stable: r.status.Stable.Endpoints(), Canary: r.status.Canary.Endpoints(),
		StableID: r.status.Stable.ID, CanaryID: r.status.Canary.ID,
	}
	_, compares := r.ports.Router.(traffic.Comparer)
	if b := r.status.Baseline; compares && b != nil {
		split.BaselineID = b.ID
		if w.BaselineWeight > 0 {
			split.BaselineWeight, split.Baseline = w.BaselineWeight, b.Endpoints()
		}
	}
	if w.Promoted {
		split.Stable, split.StableID = split.Canary, split.CanaryID
	}
	err := r.ports.Router.Apply(ctx, split)
	if err != nil {
		err = fmt.Errorf("set weight %d: %w", w.Weight, err)
	}
	if w.Weight != r.router.Weight || w.Promoted != r.router.Promoted || err != nil {
		r.effects.add("weight", r.opts.Now(), fmt.Sprintf("%d -> %d%s", r.router.Weight, w.Weight, promoted(w.Promoted)), err)
	}
	// A router may give it less for a while, and is asked again.
	if was := r.router.Baseline; was != split.BaselineWeight && r.effects.compared != split.BaselineWeight && err == nil {
		r.effects.compared = split.BaselineWeight
		r.effects.add("baseline weight", r.opts.Now(), fmt.Sprintf("%d -> %d", was, split.BaselineWeight), nil)
	}
	if err == nil {
		r.effects.worked("weight")
		r.router.Baseline = split.BaselineWeight
		r.router.Weight, r.router.Promoted, r.router.Known = w.Weight, w.Promoted, true
	}
	return err
}

func promoted(p bool) string {
	if p {
		return ", stable arm on the tested instances"
	}
	return ""
}

// act moves everything but the weight towards want.
func (r *Runner) act(ctx context.Context, w engine.Want) error {
	err := r.size(ctx, workload.Want{Stable: w.Stable, Canary: w.Canary, Baseline: w.Baseline, Promoted: w.Promoted})
	for _, j := range w.Jobs {
		r.ports.Jobs.Start(j, r.run, r.status)
	}
	phase := 0
	if w.Tests {
		phase = r.run.State.Phase + 1
	}
	r.ports.Tests.Watch(phase, w.Weight, r.run, r.status)
	return err
}

func (r *Runner) size(ctx context.Context, w workload.Want) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	err := r.ports.Workload.Apply(ctx, w)
	if err != nil {
		err = fmt.Errorf("size the workload: %w", err)
	}
	if w != r.effects.sized || err != nil {
		baseline := ""
		if w.Baseline > 0 {
			baseline = fmt.Sprintf(", baseline %d %%", w.Baseline)
		}
		r.effects.add("workload", r.opts.Now(), fmt.Sprintf("stable %d %%, canary %d %%%s%s", w.Stable, w.Canary, baseline, promoted(w.Promoted)), err)
	}
	if err == nil {
		r.effects.worked("workload")
		r.effects.sized = w
	}
	return err
}

// effects collects what was done outside until the next save records it. A
// failure that repeats is recorded once, until it works again.
type effects struct {
	lines []record.Line
	sized workload.Want
	// compared is the baseline's weight that was asked for last.
	compared int
	// failing is what does not work now, and why.
	failing map[string]string
}

// maxEffects bounds what is kept while nothing can be saved.
const maxEffects = 1000

func (e *effects) add(effect string, at time.Time, detail string, err error) {
	entry := record.Effect{Effect: effect, At: at.UTC().Round(0), Actor: record.Serin, Detail: detail}
	if err != nil {
		entry.Error = err.Error()
		if e.failing[effect] == entry.Error {
			return
		}
		if e.failing == nil {
			e.failing = map[string]string{}
		}
		e.failing[effect] = entry.Error
	} else {
		e.worked(effect)
	}
	if line, err := record.Encode(entry); err == nil && len(e.lines) < maxEffects {
		e.lines = append(e.lines, line)
	}
}

func (e *effects) failed(effect string, at time.Time, err error) { e.add(effect, at, "", err) }

// worked forgets a failure: the next one is news again.
func (e *effects) worked(effect string) { delete(e.failing, effect) }

// any reports that something was done that is not recorded yet.
func (e *effects) any() bool { return len(e.lines) > 0 }

func (e *effects) take() []record.Line {
	lines := e.lines
	e.lines = nil
	return lines
}

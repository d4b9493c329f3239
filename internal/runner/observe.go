package runner

import (
	"context"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// observe looks at everything outside. What cannot be read in time is left
// out; the engine knows what that means.
func (r *Runner) observe(ctx context.Context) engine.Observation {
	o := engine.Observation{Resumed: r.resumed}
	if r.unsaved != nil {
		o.Unsaved = r.unsaved.Error()
	}
	r.observeRouter(ctx, &o)
	r.observeWorkload(ctx, &o)
	o.At = r.opts.Now().UTC().Round(0)
	r.observeTick(ctx, &o)
	o.Tests = r.ports.Tests.Results()
	for _, res := range r.ports.Jobs.Results() {
		if st, asked := r.run.State.Jobs[res.Key]; asked && !st.Done {
			o.Jobs = append(o.Jobs, res)
		}
	}
	return o
}

func (r *Runner) observeRouter(ctx context.Context, o *engine.Observation) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	seen, err := r.ports.Router.Observe(ctx)
	if err != nil {
		r.opts.Logger.Warn("the router cannot be observed", "run", r.id, "error", err)
		r.effects.failed("observe router", r.opts.Now(), err)
		return
	}
	r.effects.worked("observe router")
	r.router = seen
	o.Weight = &engine.Weight{
		Known: seen.Known, Percent: seen.Weight, InEffect: seen.InEffect, Promoted: seen.Promoted, ByInstances: seen.ByInstances, Revision: seen.Revision,
		CanaryInflight: seen.CanaryInflight, DrainingInflight: seen.DrainingInflight, ChangedBy: seen.ChangedBy,
	}
}

func (r *Runner) observeWorkload(ctx context.Context, o *engine.Observation) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	seen, err := r.ports.Workload.Observe(ctx)
	if err != nil {
		r.opts.Logger.Warn("the workload cannot be observed", "run", r.id, "error", err)
		r.effects.failed("observe workload", r.opts.Now(), err)
		return
	}
	r.effects.worked("observe workload")
	r.status = seen
	o.Stable, o.Canary, o.Superseded = group(seen.Stable), group(seen.Canary), seen.Superseded
	if seen.Baseline != nil {
		o.Baseline = group(*seen.Baseline)
		if why := r.router.NoBaseline; why != "" && o.Baseline.Failed == "" {
			o.Baseline.Failed = why
		}
	}
}

func group(g workload.Group) *engine.Group {
	return &engine.Group{
		Instances: len(g.Instances) + g.Leaving, Ready: g.Ready(), Capacity: g.Capacity,
		Restarts: g.Restarts, Failed: g.Failed, Detail: g.Detail,
	}
}

// observeTick takes the tick that has closed, if one has, and closes the next
// one when it is due.
func (r *Runner) observeTick(ctx context.Context, o *engine.Observation) {
	if r.run.State.Status != engine.Progressing {
		r.ticks.stop()
		return
	}
	r.recall(ctx)
	share := r.router.Weight
	if r.router.ByInstances {
		share = r.router.Share
	}
	arms, at, weight, ok := r.ticks.poll(ctx, o.At, time.Duration(r.run.Plan.Analysis.Interval), share)
	if !ok {
		return
	}
	if r.ticks.read.known {
		r.measure(r.ticks.read, &arms)
		r.listen(r.ticks.read, &arms)
	}
	instances := func(s *rollout.Sample, g workload.Group) {
		if s != nil && s.Instances == nil {
			n := len(g.Instances)
			s.Instances = &n
		}
	}
	instances(arms.Stable, r.status.Stable)
	instances(arms.Canary, r.status.Canary)
	o.Tick = &rollout.Tick{At: at, Weight: weight, Arms: arms, Unsplit: r.router.Unsplit, History: r.recalled()}
}

// aside asks the workload what it knows of a tick beside its figures. It is asked
// beside the steps, as the figures are: logs that are slow to read delay no
// decision, and what they tell is in a later tick.
func (r *Runner) aside(ctx context.Context) (out aside) {
	out.known = true
	within := func(ask func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
		defer cancel()
		return ask(ctx)
	}
	if meter, ok := r.ports.Workload.(workload.Meter); ok {
		out.usageFailed = within(func(ctx context.Context) (err error) {
			out.usage, err = meter.Usage(ctx)
			return err
		})
	}
	if thrower, ok := r.ports.Workload.(workload.Thrower); ok {
		out.thrownFailed = within(func(ctx context.Context) (err error) {
			out.thrown, err = thrower.Exceptions(ctx)
			return err
		})
	}
	return out
}

// measure adds what the workload knows of its instances' use of the machine.
func (r *Runner) measure(known aside, arms *rollout.Arms) {
	if known.usageFailed != nil {
		r.effects.failed("measure processes", r.opts.Now(), known.usageFailed)
		return
	}
	r.effects.worked("measure processes")
	for arm, s := range map[rollout.Arm]*rollout.Sample{rollout.Stable: arms.Stable, rollout.Canary: arms.Canary, rollout.Baseline: arms.Baseline} {
		if s != nil && s.CPU == nil && s.Memory == nil {
			s.CPU, s.Memory, s.MemoryLimit = known.usage[arm].CPU, known.usage[arm].Memory, known.usage[arm].MemoryLimit
		}
	}
}

// mostHeld is how many exceptions are held for an arm without a sample.
const mostHeld = 1000

// listen adds the exceptions that the workload's logs tell of, where the source
// of the figures gives none. Those of an arm without a sample come with the next
// one.
func (r *Runner) listen(known aside, arms *rollout.Arms) {
	if known.thrownFailed != nil {
		r.effects.failed("read logs", r.opts.Now(), known.thrownFailed)
		return
	}
	r.effects.worked("read logs")
	thrown := known.thrown
	if _, ok := r.ports.Workload.(workload.Thrower); !ok {
		return
	}
	for arm, s := range map[rollout.Arm]*rollout.Sample{rollout.Stable: arms.Stable, rollout.Canary: arms.Canary, rollout.Baseline: arms.Baseline} {
		if arm == rollout.Baseline && s == nil {
			continue // there is none
		}
		list, read := thrown[arm]
		list = append(append([]rollout.Exception{}, r.thrown[arm]...), list...)
		delete(r.thrown, arm)
		switch {
		case s == nil:
			r.thrown[arm] = list[:min(len(list), mostHeld)]
		case s.Exceptions == nil && read:
			s.Exceptions = list
		}
	}
}

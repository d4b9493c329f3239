// Package runner is the one loop: load, observe, decide, save, act, record.
// It carries one run from its creation to its end over the ports, and decides
// nothing itself. It knows no adapter, no command line and no cluster.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// Ports is everything outside that a run needs.
type Ports struct {
	Store    store.Store
	Router   traffic.Router
	Workload workload.Workload
	Metrics  metrics.Source
	// Jobs carries out hooks and chores, Tests the continuous tests; both work
	// on their own and are only asked for results here.
	Jobs  Jobs
	Tests Tests
}

// Jobs carries out jobs in the background.
type Jobs interface {
	// Start begins a job unless it has begun or has a result. It returns at
	// once.
	Start(j engine.Job, run store.Run, status workload.Status)
	// Results returns every result so far.
	Results() []engine.JobResult
}

// Tests carries out the continuous tests in the background.
type Tests interface {
	// Watch starts the tests of a phase (from 1), or stops them (0), and tells
	// them where the canary is. It returns at once.
	Watch(phase, weight int, run store.Run, status workload.Status)
	// Results returns each test's standing in the phase being watched.
	Results() []engine.TestResult
}

// Options tune a Runner. Zero values mean the defaults.
type Options struct {
	// Now is the clock.
	Now func() time.Time
	// Timeout bounds one call of a port.
	Timeout time.Duration
	Logger  *slog.Logger
	// Synchronous collects metrics and calls the store inside Step, for a world
	// without goroutines.
	Synchronous bool
	// Link returns where people can read about the run.
	Link func(store.Run) string
	// Known is the run as its store was just found to hold it. It is gone on with
	// if the store cannot be read by the first step.
	Known *store.Run
	// Wake is called when figures have arrived between two steps.
	Wake func()
}

// Runner carries one run.
type Runner struct {
	ports Ports
	opts  Options
	id    string

	// run is the state in force. It is ahead of the store while saving fails;
	// then unsaved says why, backlog holds what is still to be stored with it, and
	// sent what a Save was given that has not been answered.
	run     store.Run
	loaded  bool
	unsaved error
	backlog store.Change
	sent    store.Change
	// roomy is how long the backlog may be when it cannot be made shorter than
	// maxBacklog.
	roomy int

	loads calls[store.Run]
	asks  calls[[]rollout.Intent]
	saves calls[int64]

	resumed bool
	// owed is a rollback that was decided and never saved, when the run turned
	// out to be somebody else's meanwhile, or to be where a save had brought it that
	// was thought to have failed. It is asked for again of the state that is stored.
	owed *rollout.Intent
	// status and router are the latest that was seen of both, to go on with
	// when one cannot be read.
	status workload.Status
	router traffic.Observed
	// thrown are exceptions that wait for a sample of their arm.
	thrown  map[rollout.Arm][]rollout.Exception
	ticks   *collector
	past    past
	effects effects

	last Look
}

// Look is what the latest step saw and decided.
type Look struct {
	Run      store.Run
	Input    record.Input
	Decision record.Decision
	// Tick is the latest input that held a tick.
	Tick record.Input
}

// Outcome says what a step came to.
type Outcome struct {
	// Ended: the run is over and saved as such.
	Ended bool
	// WakeAt is when to step again at the latest.
	WakeAt time.Time
}

// New returns a runner for a stored run.
func New(id string, ports Ports, opts Options) *Runner {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Link == nil {
		opts.Link = func(store.Run) string { return "" }
	}
	r := &Runner{
		ports: ports, opts: opts, id: id, resumed: true,
		thrown: map[rollout.Arm][]rollout.Exception{},
		ticks:  newCollector(ports.Metrics, opts), effects: effects{compared: -1},
	}
	r.ticks.aside = r.aside
	return r
}

// Step looks once, decides and acts. An error means that something outside did
// not work this time; the runner is as usable as before and Step is to be
// called again.
//
// The order is the engine's contract: what lowers the canary's weight is done
// before anything is waited for, a rollback under way before the store is asked;
// what raises it is done after it was saved. A store that hangs is waited for
// once, for Options.Timeout; the looks go on without it.
func (r *Runner) Step(ctx context.Context) (Outcome, error) {
	if err := r.load(ctx); err != nil {
		return Outcome{WakeAt: r.opts.Now().Add(time.Second)}, err
	}
	var errUrgent error
	returning := r.run.State.Status == engine.RollingBack && r.run.State.Stage == engine.Returning
	if returning {
		errUrgent = r.route(ctx, engine.Want{Weight: 0})
	}
	intents, errIntents := r.intents(ctx)
	if !returning && r.mustReturn(intents) {
		errUrgent = r.route(ctx, engine.Want{Weight: 0})
	}

	o := r.observe(ctx)
	o.Intents = intents
	d := engine.Decide(r.run.Plan, r.run.State, o)
	if o.Tick != nil {
		r.ticks.hasten(r.run.Plan.Tick(d.Next))
	}

	var errs []error
	errs = append(errs, errIntents, errUrgent)
	lower := d.Want.Weight < r.router.Weight || o.Weight == nil && d.Kind == engine.Rollback ||
		d.Want.Weight == r.router.Weight && d.Want.BaselineWeight < r.router.Baseline
	if lower {
		errs = append(errs, r.route(ctx, d.Want))
	}
	if !lower && r.learntNothing(o, d) {
		r.last.Input, r.last.Decision = record.InputOf(o), record.DecisionOf(o, d)
		errs = append(errs, r.route(ctx, d.Want), r.act(ctx, d.Want))
		return Outcome{WakeAt: r.wakeAt(d, errIntents)}, errors.Join(errs...)
	}
	owed := r.unsaved != nil && d.Kind == engine.Rollback
	saved := r.save(ctx, o, d)
	if errors.Is(saved, store.ErrConflict) {
		// Somebody else carries the run, or a save that was not answered in time has
		// been stored after all: what is stored counts.
		r.loaded = false
		if owed && r.owed == nil {
			r.owed = &rollout.Intent{
				ID: "owed-" + o.At.Format(time.RFC3339Nano), Kind: rollout.Rollback, At: o.At, Actor: "serin",
				Reason: "a rollback had been decided and could not be saved: " + firstMessage(d),
			}
		}
		return Outcome{WakeAt: r.opts.Now().Add(100 * time.Millisecond)}, saved
	}
	errs = append(errs, saved)
	// What could not be saved is not done, but for a rollback.
	if !lower && (saved == nil || d.Kind == engine.Rollback) {
		errs = append(errs, r.route(ctx, d.Want))
	}
	if saved == nil || d.Kind == engine.Rollback {
		errs = append(errs, r.act(ctx, d.Want))
	}
	if saved == nil {
		r.owed = nil
	}
	r.resumed = false
	return Outcome{Ended: d.Next.Ended() && saved == nil, WakeAt: r.wakeAt(d, errIntents)}, errors.Join(errs...)
}

// learntNothing reports that a look found all as the last one did and decided
// the same, so that it need not be written down: the next one goes on from the
// state that is saved. What was done outside meanwhile was done before. Once an
// interval a look is saved all the same, as the run's clock leaps no further.
func (r *Runner) learntNothing(o engine.Observation, d engine.Decision) bool {
	was, now, last := r.run.State, d.Next, r.last.Decision
	passed := o.At.Sub(was.At)
	switch {
	case r.unsaved != nil, r.effects.any(), o.Resumed, o.Tick != nil, len(d.Answered) > 0:
		return false
	case passed < 0 || passed >= time.Duration(r.run.Plan.Analysis.Interval):
		return false
	case d.Kind != last.Decision || !reflect.DeepEqual(d.Want, last.Want) || !sameWords(d.Because, last.Because):
		return false
	}
	now.At, now.Elapsed, now.Watched = was.At, was.Elapsed, was.Watched
	return reflect.DeepEqual(was, now)
}

// sameWords reports that two decisions have the same first reason. How long a
// phase has been watched is none of it.
func sameWords(a, b []engine.Reason) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return a[0].Rule == b[0].Rule && (a[0].Message == b[0].Message || a[0].Rule == "watching")
}

// Last returns what the latest step saw and decided.
func (r *Runner) Last() Look { return r.last }

// load reads the run from the store, once, and again after a conflict.
func (r *Runner) load(ctx context.Context) error {
	if r.loaded {
		return nil
	}
	run, err := call(ctx, r, &r.loads, func(ctx context.Context) (store.Run, error) { return r.ports.Store.Load(ctx, r.id) })
	switch {
	case err == nil:
	case errors.Is(err, store.ErrNotFound) || r.opts.Known == nil:
		return fmt.Errorf("load run %s: %w", r.id, err)
	default:
		r.opts.Logger.Warn("the store cannot be read; the run goes on as it was read before", "run", r.id, "error", err)
		run = *r.opts.Known
	}
	r.opts.Known = nil // another load is about what somebody else has stored
	r.run, r.loaded = run, true
	r.unsaved, r.backlog, r.sent = nil, store.Change{}, store.Change{}
	r.resumed = true
	return nil
}

func (r *Runner) intents(ctx context.Context) ([]rollout.Intent, error) {
	intents, err := call(ctx, r, &r.asks, func(ctx context.Context) ([]rollout.Intent, error) { return r.ports.Store.Intents(ctx, r.id) })
	if err != nil {
		return nil, fmt.Errorf("read intents: %w", err)
	}
	answered := map[string]bool{}
	for _, a := range slices.Concat(r.sent.Answered, r.backlog.Answered) {
		answered[a.ID] = true
	}
	if r.owed != nil {
		intents = append(slices.Clip(intents), *r.owed)
	}
	var open []rollout.Intent
	for _, i := range intents {
		if !answered[i.ID] {
			open = append(open, i)
		}
	}
	return open, nil
}

// mustReturn reports that it is certain, before anything is looked at, that the
// weight goes to 0: somebody asks for a rollback that will not be refused.
func (r *Runner) mustReturn(intents []rollout.Intent) bool {
	s := r.run.State.Status
	return (s == engine.Preparing || s == engine.Progressing) &&
		slices.ContainsFunc(intents, func(i rollout.Intent) bool { return i.Kind == rollout.Rollback })
}

func (r *Runner) keep(o engine.Observation, d engine.Decision) {
	r.last.Run = r.run
	r.last.Input = record.InputOf(o)
	r.last.Decision = record.DecisionOf(o, d)
	if o.Tick != nil {
		r.last.Tick = r.last.Input
	}
}

// change is what is written together with a state.
func (r *Runner) change(was engine.State, run store.Run, o engine.Observation, d engine.Decision) (store.Change, error) {
	c := store.Change{Answered: d.Answered}
	for _, v := range []any{record.InputOf(o), record.DecisionOf(o, d)} {
		line, err := record.Encode(v)
		if err != nil {
			return c, fmt.Errorf("write the record: %w", err)
		}
		c.Lines = append(c.Lines, line)
	}
	c.Lines = append(c.Lines, r.effects.take()...)
	if was.Position() != d.Next.Position() {
		r.opts.Logger.Info("run moved", "rollout", run.Rollout, "run", run.ID,
			"from", was.Position(), "to", d.Next.Position(), "decision", d.Kind, "weight", d.Share(), "because", firstMessage(d))
	}
	c.Messages = Messages(was, run, d, r.opts.Link(run))
	return c, nil
}

// wakeAt is the earlier of the engine's wish and the next tick. What people ask for
// and could not be heard, as the store had not answered before, is asked for soon.
func (r *Runner) wakeAt(d engine.Decision, errIntents error) time.Time {
	wake := d.WakeAt
	if soon := r.opts.Now().Add(briefly); errors.Is(errIntents, errUnanswered) && soon.Before(wake) {
		wake = soon
	}
	if d.Next.Status == engine.Progressing {
		if due := r.ticks.due(); !due.IsZero() && due.Before(wake) {
			wake = due
		}
	}
	return wake
}

func firstMessage(d engine.Decision) string {
	if len(d.Because) == 0 {
		return ""
	}
	return d.Because[0].Message
}

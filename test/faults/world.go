// Package faults runs the real runner and engine against a simulated world and
// breaks it: between any two effects a seeded schedule injects crashes, lost
// writes, conflicts, errors, slow calls, clock jumps, deaths, changes of mind.
// The invariants of docs/design are asserted at every effect and every step.
//
// The world is a fake because what it does cannot be asked of real things at
// will; everything that decides is the program's own.
package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// effect names one call of a port, the boundaries between which faults happen.
type effect string

const (
	storeLoad       effect = "store.Load"
	storeSave       effect = "store.Save"
	storeIntents    effect = "store.Intents"
	routerApply     effect = "router.Apply"
	routerObserve   effect = "router.Observe"
	workloadApply   effect = "workload.Apply"
	workloadObserve effect = "workload.Observe"
	metricsCollect  effect = "metrics.Collect"
	jobsStart       effect = "jobs.Start"
)

// callTimeout is the runner's bound on one call.
const callTimeout = 5 * time.Second

// crash ends the process; the driver starts another.
type crash struct{}

var errInjected = errors.New("injected")

// world is everything outside the runner.
type world struct {
	plan     engine.Plan
	schedule schedule
	rng      *rand.Rand
	now      time.Time
	boundary int // effects so far
	trace    func(format string, args ...any)

	store *memStore

	// The router's truth.
	weight   int
	known    bool
	promoted bool
	// byInstances: ready instances make the weight.
	byInstances bool
	// changes counts how often the split has changed.
	changes int

	// The groups' truth.
	stable, canary group
	superseded     string
	// baseline is what a plan with one has, beside the router's share for it.
	baseline       group
	baselineWeight int
	// bad is how many times stable's error rate the canary has.
	bad float64

	// What the runner was last told, for the invariants.
	toldCapacity int
	told         bool

	jobs  map[string]engine.JobResult
	check *checker
}

// group is one version's instances.
type group struct {
	capacity int // asked for
	down     int // looks until it is ready again
	restarts int
	failed   string
}

func (g group) ready() int {
	if g.down > 0 || g.failed != "" {
		return 0
	}
	return g.capacity
}

func (g group) seen(name string) workload.Group {
	out := workload.Group{Version: name, Restarts: g.restarts, Failed: g.failed, Capacity: g.ready()}
	if g.capacity > 0 {
		out.Instances = []rollout.Instance{{Name: name, URL: "http://" + name, Ready: g.ready() > 0}}
	}
	return out
}

// enter is called at the beginning of every effect. It returns an error to be
// returned without the effect, and what to do at the effect's end.
func (w *world) enter(e effect) (lost bool, after func() error, before error) {
	n := w.boundary
	w.boundary++
	after = func() error { return nil }
	for _, f := range w.schedule.at(n) {
		w.trace("  %4d %-16s fault: %s", n, e, f.kind)
		switch f.kind {
		case crashBefore:
			panic(crash{})
		case crashAfter:
			after = func() error { panic(crash{}) }
		case failBefore:
			before = fmt.Errorf("%s: %w", e, errInjected)
		case failAfter:
			after = func() error { return fmt.Errorf("%s: %w", e, errInjected) }
		case lostWrite:
			lost = e == routerApply || e == workloadApply
		case slowBefore:
			w.now = w.now.Add(callTimeout)
			before = fmt.Errorf("%s: %w", e, context.DeadlineExceeded)
		case slowAfter:
			w.now = w.now.Add(callTimeout)
			after = func() error { return fmt.Errorf("%s: %w", e, context.DeadlineExceeded) }
		case slow:
			w.now = w.now.Add(callTimeout - time.Second)
		case jumpForward:
			w.now = w.now.Add(time.Hour)
		case jumpBack:
			w.now = w.now.Add(-time.Hour)
		case conflict:
			w.store.conflict = true
		case staleRead:
			w.store.stale = true
		case diskFull:
			w.store.full = 6
		case canaryDies:
			if w.canary.capacity > 0 {
				w.canary.down, w.canary.restarts = 4, w.canary.restarts+1
			}
		case canaryLoops:
			if w.canary.capacity > 0 {
				w.canary.failed = "crash loop"
			}
		case stableDies:
			w.stable.down = 4
			if w.baseline.capacity > 0 { // of the same version, it dies for good
				w.baseline.restarts++
			}
		case specChange:
			w.superseded = "v3 is asked for"
		case turnsBad:
			w.bad = 50
		case metricsGone:
			w.check.metricsDown = w.boundary + 40
		case intentPromote, intentFull, intentPause, intentResume, intentRollback:
			w.intend(f.kind)
		}
	}
	return lost, after, before
}

func (w *world) intend(k kind) {
	i := rollout.Intent{
		ID: fmt.Sprintf("intent-%d", w.boundary), At: w.now, Actor: "ana",
		Kind: map[kind]rollout.IntentKind{
			intentPromote: rollout.Promote, intentFull: rollout.Promote, intentPause: rollout.Pause,
			intentResume: rollout.Resume, intentRollback: rollout.Rollback,
		}[k],
		Full: k == intentFull,
	}
	_ = w.store.AddIntent(context.Background(), runID, i) // refused once the run has ended
}

// Apply implements traffic.Router.
func (w *world) apply(s traffic.Split) error {
	lost, after, before := w.enter(routerApply)
	if before != nil {
		return before
	}
	if !lost {
		w.check.routed(w, s)
		if s.Weight != w.weight || s.Promoted != w.promoted {
			w.trace("  %4d weight %d -> %d%s", w.boundary-1, w.weight, s.Weight, map[bool]string{true: " promoted"}[s.Promoted])
		}
		if s.Weight != w.weight || s.Promoted != w.promoted || !w.known {
			w.changes++
		}
		w.weight, w.promoted, w.known, w.baselineWeight = s.Weight, s.Promoted, true, s.BaselineWeight
	}
	return after()
}

type router struct{ *world }

func (r router) TakesBaseline() {}

func (r router) Apply(_ context.Context, s traffic.Split) error { return r.apply(s) }

func (r router) Observe(context.Context) (traffic.Observed, error) {
	w := r.world
	_, after, before := w.enter(routerObserve)
	if before != nil {
		return traffic.Observed{}, before
	}
	o := traffic.Observed{Known: w.known, Weight: w.weight, InEffect: true, Promoted: w.promoted, Revision: strconv.Itoa(w.changes), Baseline: w.baselineWeight}
	if w.byInstances {
		o.ByInstances, o.Share = true, min(w.weight, w.canary.ready())
		o.InEffect = w.weight == 0 || w.canary.ready() >= w.weight
		if o.InEffect && w.weight > 0 {
			w.toldCapacity = max(w.toldCapacity, w.weight) // what makes the weight is there
		}
	}
	return o, after()
}

type arms struct{ *world }

func (a arms) Apply(_ context.Context, want workload.Want) error {
	w := a.world
	lost, after, before := w.enter(workloadApply)
	if before != nil {
		return before
	}
	if !lost {
		w.check.sized(w, want)
		if want.Canary > 0 && w.canary.capacity == 0 {
			w.canary = group{down: 2}
		}
		if want.Baseline > 0 && w.baseline.capacity == 0 {
			w.baseline = group{down: 2}
		}
		w.stable.capacity, w.canary.capacity, w.baseline.capacity = want.Stable, want.Canary, want.Baseline
	}
	return after()
}

func (a arms) Observe(context.Context) (workload.Status, error) {
	w := a.world
	_, after, before := w.enter(workloadObserve)
	if before != nil {
		return workload.Status{}, before
	}
	for _, g := range []*group{&w.stable, &w.canary, &w.baseline} {
		g.down = max(g.down-1, 0)
	}
	status := workload.Status{Stable: w.stable.seen("v1"), Canary: w.canary.seen("v2"), Superseded: w.superseded}
	if w.plan.Baseline {
		seen := w.baseline.seen("v1")
		status.Baseline = &seen
	}
	if err := after(); err != nil {
		return workload.Status{}, err
	}
	w.toldCapacity, w.told = w.canary.ready(), true
	return status, nil
}

func (a arms) Close() error { return nil }

type metering struct{ *world }

// Collect gives each arm the requests that its share of a steady load makes.
func (m metering) Collect(_ context.Context, since, now time.Time) (rollout.Arms, error) {
	w := m.world
	_, after, before := w.enter(metricsCollect)
	if before != nil || w.boundary < w.check.metricsDown {
		return rollout.Arms{}, errors.Join(before, errInjected)
	}
	const rate, errorRate = 1000.0, 0.01
	seconds := max(min(now.Sub(since).Seconds(), 60), 0)
	total := rate * seconds
	sample := func(requests, errorShare float64) *rollout.Sample {
		failed := float64(int(requests*errorShare + w.rng.Float64()))
		requests = float64(int(requests))
		failed = min(failed, requests)
		return &rollout.Sample{Requests: &requests, Errors: &failed}
	}
	share := float64(w.weight) / 100
	beside := float64(w.baselineWeight) / 100
	arms := rollout.Arms{Stable: sample(total*(1-share-beside), errorRate), Canary: sample(total*share, min(errorRate*w.bad, 0.9))}
	if beside > 0 {
		arms.Baseline = sample(total*beside, errorRate)
	}
	if err := after(); err != nil {
		return rollout.Arms{}, err
	}
	w.check.measured(w)
	return arms, nil
}

func (m metering) Close() error { return nil }

type jobs struct{ *world }

func (j jobs) Start(job engine.Job, _ store.Run, _ workload.Status) {
	w := j.world
	if _, ok := w.jobs[job.Key]; ok {
		return
	}
	_, _, before := w.enter(jobsStart)
	w.jobs[job.Key] = engine.JobResult{Key: job.Key, Passed: before == nil, Message: "done"}
}

func (j jobs) Results() []engine.JobResult {
	var out []engine.JobResult
	for _, key := range sortedKeys(j.jobs) {
		out = append(out, j.jobs[key])
	}
	return out
}

type tests struct{}

func (tests) Watch(int, int, store.Run, workload.Status) {}
func (tests) Results() []engine.TestResult {
	return []engine.TestResult{{Name: "smoke", Passes: 1}}
}

// start is a process: a runner over the world as it is.
func (w *world) start() *runner.Runner {
	return runner.New(runID, runner.Ports{
		Store: w.store, Router: router{w}, Workload: arms{w}, Metrics: metering{w}, Jobs: jobs{w}, Tests: tests{},
	}, runner.Options{Now: func() time.Time { return w.now }, Timeout: callTimeout, Synchronous: true})
}

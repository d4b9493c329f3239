package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// restInterval is how often a rollout without a run is looked at.
const restInterval = time.Second

const (
	// storeTimeout bounds one small call of the store, listTimeout one that reads
	// all runs.
	storeTimeout = 5 * time.Second
	listTimeout  = 30 * time.Second
)

// quietWait is how long stable is waited for without a word.
const quietWait = 500 * time.Millisecond

// home is one rollout on this machine: its processes or URLs, its proxy, and
// the run that goes on, if any. It keeps stable serving between runs.
type home struct {
	opts    Options
	log     *slog.Logger
	rollout rollout.Rollout
	file    string
	parts   *builtin.Machine
	store   store.Store
	archive archive.Archive
	outbox  runner.Waker

	wake runner.Waker
	// sampled is when stable's use was last noted at rest.
	sampled time.Time

	// found is the answer of a settle that serve has not gone on from yet: the store
	// may be out of reach a moment later.
	found *found

	// aside are what goes on after a run and ends with the program.
	aside sync.WaitGroup

	// turn is held by whoever tells the workload of a run's beginning or end
	// according to what the store says.
	turn sync.Mutex

	mu      sync.Mutex
	run     string // id of the run that goes on
	stuck   string // id of the run that cannot be carried
	told    bool   // the workload has been told that run has ended
	look    runner.Look
	status  workload.Status
	weight  int
	problem string
	// trouble is what did not go well in the latest look at the run.
	trouble string
}

// found is a run that goes on, or why there is none.
type found struct {
	run store.Run
	err error
}

// inherited is what a home begins with.
type inherited struct {
	// fresh forgets what an earlier program left.
	fresh bool
	// sockets are a predecessor's, by rollout and the router's name for them.
	sockets map[string]map[string]*os.File
	// routers are those of this process that serve already, by rollout.
	routers map[string]builtin.Router
}

// openHome builds the rollout's adapters. Nothing is started yet.
func openHome(opts Options, r rollout.Rollout, file string, st store.Store, ar archive.Archive, outbox runner.Waker, from inherited) (*home, error) {
	log := opts.Logger.With("rollout", r.Metadata.Name)
	dir := opts.rolloutDir(r.Metadata.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder of %s: %w", r.Metadata.Name, err)
	}
	parts, err := builtin.NewMachine(r, builtin.Env{
		Rollout: r.Metadata.Name, BaseDir: filepath.Dir(file), StateDir: dir, Fresh: from.fresh, Logger: opts.Logger,
		Router:    from.routers[r.Metadata.Name],
		Inherited: from.sockets[r.Metadata.Name],
	})
	if err != nil {
		return nil, err
	}
	return &home{
		opts: opts, log: log, rollout: r, file: file, parts: parts, store: st, archive: ar,
		outbox: outbox, wake: runner.NewWaker(),
	}, nil
}

func (h *home) name() string { return h.rollout.Metadata.Name }

// active returns the run that goes on; the error wraps store.ErrNotFound when there
// is none.
func (h *home) active(ctx context.Context) (store.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return h.store.Active(ctx, h.name())
}

// load reads a run.
func (h *home) load(ctx context.Context, run string) (store.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return h.store.Load(ctx, run)
}

// serve keeps the rollout going until ctx is done: at rest, or carrying a run.
//
// A run that has been read is carried to its end whether or not the store can be
// read again. So when it cannot, there is none, or one that nobody has carried yet
// and that has no traffic.
func (h *home) serve(ctx context.Context) error {
	run, err := h.settled(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	for ctx.Err() == nil {
		if err == nil {
			if _, err := h.carry(ctx, run); err != nil {
				return err
			}
		} else {
			if !errors.Is(err, store.ErrNotFound) {
				h.log.Warn("the store cannot be read", "error", err)
			}
			h.rest(ctx)
		}
		run, err = h.active(ctx)
	}
	return ctx.Err()
}

// settled is what settle has found, before or else now.
func (h *home) settled(ctx context.Context) (store.Run, error) {
	if h.found == nil {
		return h.settle(ctx)
	}
	found := h.found
	h.found = nil
	return found.run, found.err
}

// settle makes the workload agree with the store after a restart: a run that
// ended, or never began, while the workload had not been told. It returns the run
// that goes on; the error wraps store.ErrNotFound when there is none.
func (h *home) settle(ctx context.Context) (store.Run, error) {
	h.turn.Lock()
	defer h.turn.Unlock()
	run, none := h.active(ctx)
	if !errors.Is(none, store.ErrNotFound) {
		return run, none
	}
	promoted := false
	listing, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	runs, err := h.store.Runs(listing, h.name(), 1)
	if err != nil {
		return run, err
	}
	if len(runs) == 1 && runs[0].State.Status == engine.Promoted {
		status, err := h.parts.Workload.Observe(ctx)
		promoted = err == nil && status.Canary.Version == runs[0].CanaryVersion
	}
	if err := h.parts.Workload.EndRun(promoted); err != nil {
		return run, fmt.Errorf("end the run before: %w", err)
	}
	return run, none
}

// rest looks once at a rollout that has no run, and waits for the next look.
func (h *home) rest(ctx context.Context) {
	h.keepStable(ctx)
	h.sample(ctx)
	h.pause(ctx)
}

// pause waits for the next look.
func (h *home) pause(ctx context.Context) {
	timer := time.NewTimer(restInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.wake:
	case <-h.parts.Changed():
	case <-ctx.Done():
	}
}

// sample has the workload note what stable's instances use, once a tick: the next
// run's figures are held against it.
func (h *home) sample(ctx context.Context) {
	meter, ok := h.parts.Workload.(workload.Meter)
	interval := time.Duration(h.rollout.Spec.Analysis.Interval)
	// The next look is up to a restInterval away.
	if !ok || time.Since(h.sampled) < interval-restInterval/2 {
		return
	}
	h.sampled = time.Now()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := meter.Usage(ctx); err != nil {
		h.log.Debug("stable's processes could not be measured", "error", err)
	}
}

// keepStable asserts that stable runs and gets all traffic.
func (h *home) keepStable(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := h.parts.Workload.Apply(ctx, workload.Want{Stable: rollout.Full})
	status, errObserve := h.parts.Workload.Observe(ctx)
	if errObserve == nil {
		err = errors.Join(err, h.parts.Router.Apply(ctx, traffic.Split{Stable: status.Stable.Endpoints()}))
	}
	err = errors.Join(err, errObserve)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status, h.weight, h.problem = status, 0, ""
	switch {
	case err != nil:
		h.problem = err.Error()
	case status.Stable.Failed != "":
		h.problem = "stable cannot run: " + status.Stable.Failed
	case status.Stable.Ready() == 0:
		h.problem = "stable is not ready"
		if status.Stable.Detail != "" {
			h.problem += ": " + status.Stable.Detail
		}
	}
}

// carryOver makes the split that an earlier program had in effect the router's
// again: users are not turned away until the run is looked at first.
func (h *home) carryOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	seen, err := h.parts.Router.Observe(ctx)
	if err != nil || !seen.Known {
		return // the first look decides
	}
	status, err := h.parts.Workload.Observe(ctx)
	if err == nil {
		split := traffic.Split{
			Weight: seen.Weight, Promoted: seen.Promoted,
			Stable: status.Stable.Endpoints(), Canary: status.Canary.Endpoints(),
		}
		if seen.Promoted {
			split.Stable = split.Canary
		}
		err = h.parts.Router.Apply(ctx, split)
	}
	if err != nil {
		h.log.Warn("the split that was in effect could not be taken over", "error", err)
	}
}

// stableReady waits until stable serves, or until it cannot.
func (h *home) stableReady(ctx context.Context, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	tellAt, told := time.Now().Add(quietWait), false
	for {
		h.keepStable(ctx)
		h.mu.Lock()
		ready, failed, problem := h.status.Stable.Ready() > 0, h.status.Stable.Failed, h.problem
		h.mu.Unlock()
		switch {
		case ready && problem == "":
			return nil
		case failed != "":
			return fmt.Errorf("stable %s of %s cannot run: %s: %w", h.parts.Workload.Serving().Version, h.name(), failed, server.ErrStableDown)
		case time.Now().After(deadline):
			return fmt.Errorf("stable %s of %s is not serving after %s: %s: %w", h.parts.Workload.Serving().Version, h.name(), patience, problem, server.ErrStableDown)
		case !told && time.Now().After(tellAt):
			told = true
			h.log.Warn("stable is not serving yet; the run begins when it does", "problem", problem, "atMost", patience)
		}
		timer := time.NewTimer(restInterval)
		select {
		case <-timer.C:
		case <-h.parts.Changed():
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// awaitStable waits until stable serves and says why it does not.
func (h *home) awaitStable(ctx context.Context, patience time.Duration) (problem string) {
	for deadline := time.Now().Add(patience); ; {
		h.mu.Lock()
		ready, failed, problem := h.status.Stable.Ready() > 0 || h.run != "", h.status.Stable.Failed != "", h.problem
		h.mu.Unlock()
		switch {
		case ready:
			return ""
		case failed || time.Now().After(deadline) || ctx.Err() != nil:
			return problem
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// release creates a run. The caller has made sure that stable serves.
func (h *home) release(ctx context.Context, c server.Candidate) (store.Run, error) {
	candidate, err := h.candidate(c)
	if err != nil {
		return store.Run{}, err
	}
	// Of two that ask at once the second finds the first one's run.
	h.turn.Lock()
	defer h.turn.Unlock()
	serving := h.parts.Workload.Serving()
	if serving.Version == candidate.Version {
		return store.Run{}, fmt.Errorf("%s serves %s already: %w", h.name(), serving.Version, server.ErrNothingToDo)
	}
	if active, err := h.active(ctx); err == nil {
		return store.Run{}, fmt.Errorf("%s has the run %s to %s, which has not ended; wait for it, or roll it back with \"serin rollback %s\": %w",
			h.name(), active.ID, active.CanaryVersion, h.name(), store.ErrActive)
	} else if !errors.Is(err, store.ErrNotFound) {
		return store.Run{}, fmt.Errorf("look for a run of %s that goes on: %w", h.name(), err)
	}
	if ending := h.untold(); ending != "" {
		return store.Run{}, fmt.Errorf("the run %s of %s is just ending; ask again in a moment: %w", ending, h.name(), store.ErrActive)
	}
	if err := h.parts.Workload.BeginRun(candidate); err != nil {
		return store.Run{}, fmt.Errorf("%w: %w", server.ErrRefusedCandidate, err)
	}
	run, err := h.create(ctx, candidate, serving.Version, c.Actor)
	if err != nil {
		return store.Run{}, errors.Join(err, h.parts.Workload.EndRun(false))
	}
	h.log.Info("run created", "run", run.ID, "stable", run.StableVersion, "canary", run.CanaryVersion, "actor", run.Actor)
	h.wake.Wake()
	return run, nil
}

// candidate completes what was asked for from the file.
func (h *home) candidate(c server.Candidate) (workload.Version, error) {
	v, err := builtin.FileCandidate(h.rollout)
	if err != nil {
		return v, err
	}
	if c.Version != "" {
		v.Version = c.Version
	}
	if len(c.Command) > 0 {
		v.Command, v.URLs = c.Command, nil
	}
	if v.Version == "" || len(v.Command) == 0 && len(v.URLs) == 0 {
		return v, fmt.Errorf("the file of %s names no canary; give a version and, after --, its command: %w", h.name(), server.ErrRefusedCandidate)
	}
	return v, nil
}

func (h *home) create(ctx context.Context, candidate workload.Version, stable, actor string) (store.Run, error) {
	raw, err := json.Marshal(candidate)
	if err != nil {
		return store.Run{}, fmt.Errorf("write the candidate: %w", err)
	}
	now := time.Now().UTC().Round(0)
	plan := engine.PlanOf(h.rollout.Spec)
	run := store.Run{
		ID: runID(h.name(), now), Rollout: h.name(), Spec: h.rollout, Plan: plan,
		StableVersion: stable, CanaryVersion: candidate.Version, Candidate: raw,
		Actor: actor, StartedAt: now, State: engine.Start(plan),
	}
	lines, messages, err := beginning(run, now)
	if err != nil {
		return store.Run{}, err
	}
	creating, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := h.store.Create(creating, run, lines, messages); err != nil {
		return store.Run{}, fmt.Errorf("create the run: %w", err)
	}
	h.outbox.Wake()
	return h.load(ctx, run.ID)
}

// beginning is how a run's record begins, and what people are told first.
func beginning(run store.Run, now time.Time) ([]record.Line, []store.Outgoing, error) {
	of := run.Spec
	header, err := record.Encode(record.Header{
		Record: record.Version, Plan: run.Plan,
		Rollout: record.Subject{Name: of.Metadata.Name, Namespace: of.Metadata.Namespace, Workload: of.Spec.Workload.Kind, Traffic: of.Spec.Traffic.Kind},
		Run:     record.Run{ID: run.ID, StableVersion: run.StableVersion, CanaryVersion: run.CanaryVersion, StartedAt: now, Actor: run.Actor},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("write the record: %w", err)
	}
	run.State.At = now
	text := fmt.Sprintf("%s: %s is being released beside %s, %s", run.Rollout, run.CanaryVersion, run.StableVersion, run.Plan.Timeline(now.Local()))
	return []record.Line{header}, runner.Address(run, rollout.Started, text, "", ""), nil
}

// runID is readable, sorts by time and is unique.
func runID(name string, at time.Time) string {
	return fmt.Sprintf("%s-%s-%s", name, at.Format("20060102-150405"), strings.ToLower(rand.Text()[:4]))
}

// carry takes a run to its end, or until ctx is done.
func (h *home) carry(ctx context.Context, run store.Run) (store.Run, error) {
	h.setRun(run.ID)
	defer h.setRun("")
	known := &run // as good as what the store holds, at first
	for again := true; again; known = nil {
		w, following, cancel, err := h.workload(ctx, run)
		if err == nil {
			err = h.follow(following, run, known, w)
		}
		again = err != nil && following.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && !again {
			return run, err
		}
	}
	ended, err := h.load(ctx, run.ID)
	if err != nil {
		return run, fmt.Errorf("load the ended run: %w", err)
	}
	h.endRun(ended)
	h.keepStable(ctx)
	if err := h.chronicle(ctx, ended); err != nil {
		h.log.Warn("the run could not be archived; it will be tried again", "run", run.ID, "error", err)
	} else if archived, err := h.load(ctx, run.ID); err != nil {
		h.log.Warn("where the archived run is could not be read", "run", run.ID, "error", err)
	} else {
		ended = archived
	}
	if len(run.Spec.Spec.Notify) > 0 {
		h.aside.Go(func() { h.chronicleMessages(ctx, ended) })
	}
	return ended, nil
}

// endRun tells the workload that a run has ended.
func (h *home) endRun(ended store.Run) {
	h.turn.Lock()
	defer h.turn.Unlock()
	if err := h.parts.Workload.EndRun(ended.State.Status == engine.Promoted); err != nil {
		h.log.Error("the workload could not be told that the run has ended", "run", ended.ID, "error", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = true
}

// untold is the run that is being carried as long as the workload has not been told
// of its end.
func (h *home) untold() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told {
		return ""
	}
	return h.run
}

// follow takes a run over a workload to its end, or until ctx is done. known is
// the run as it was just read, else nil.
func (h *home) follow(ctx context.Context, run store.Run, known *store.Run, w workload.Workload) error {
	ports := runner.Ports{Store: h.store, Router: h.parts.Router, Workload: w, Metrics: h.parts.Metrics}
	opts := runner.Options{Logger: h.opts.Logger, Known: known, Wake: h.wake.Wake, Link: func(store.Run) string { return h.reportPath(run.ID) }}
	r, done := newRunner(run, filepath.Dir(h.file), h.keeper(), ports, opts)
	defer done()
	return r.Loop(ctx, h.wake, h.parts.Changed(), func(look runner.Look, err error) {
		h.mu.Lock()
		h.look, h.trouble = look, ""
		if err != nil {
			h.trouble = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		h.mu.Unlock()
		h.outbox.Wake()
		if h.opts.Watch != nil {
			h.opts.Watch(h.name(), look)
		}
	})
}

// newRunner returns the runner of a run with its hooks and tests, which look in
// dir, and its chores; done ends what they do.
func newRunner(run store.Run, dir string, keep keeper, ports runner.Ports, opts runner.Options) (r *runner.Runner, done func()) {
	gates := builtin.NewGates(run.Spec, dir)
	jobs := runner.NewJobs(gates.Hooks, keep.chores(), ports.Store, opts.Logger, opts.Wake)
	tests := runner.NewTests(gates.Tests, ports.Store, opts.Logger, opts.Wake)
	ports.Jobs, ports.Tests = jobs, tests
	return runner.New(run.ID, ports, opts), func() { tests.Close(); jobs.Close() }
}

func (h *home) setRun(id string) {
	h.mu.Lock()
	h.run, h.told = id, false
	if id != "" {
		h.stuck = ""
		h.look = runner.Look{}
	}
	h.mu.Unlock()
}

// state says how the rollout is now. The run's loop waits for nobody who asks.
func (h *home) state() server.Rollout {
	h.mu.Lock()
	run, status, weight, problem := h.run, h.status, h.weight, h.problem
	if run != "" {
		problem = h.trouble
	}
	h.mu.Unlock()
	out := server.Rollout{
		Name: h.name(), File: h.file, Serving: h.parts.Workload.Serving().Version, Run: run,
		Listen: h.parts.Router.Listen(), Problem: problem,
	}
	if run != "" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s, err := h.parts.Workload.Observe(ctx); err == nil {
			status = s
		}
		if o, err := h.parts.Router.Observe(ctx); err == nil {
			weight = o.Weight
		}
	}
	asides, _ := builtin.Asides(context.Background(), h.parts.Router) // the proxy's are in its configuration
	out.Asides = inWords(asides)
	out.Weight = weight
	out.Stable, out.Canary = readiness(status.Stable), readiness(status.Canary)
	if run == "" {
		out.Canary = server.Readiness{}
	}
	return out
}

func inWords(asides []traffic.Aside) []string {
	var words []string
	for _, a := range asides {
		words = append(words, a.String())
	}
	return words
}

func readiness(g workload.Group) server.Readiness {
	return server.Readiness{Version: g.Version, Instances: len(g.Instances), Ready: g.Ready(), Detail: g.Detail}
}

// close waits for what goes on aside: its context has ended.
func (h *home) close() error {
	h.aside.Wait()
	return h.parts.Close()
}

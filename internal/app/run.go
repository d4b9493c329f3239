package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
)

// stopTimeout bounds how long the end of the program waits for requests and
// processes.
const stopTimeout = 40 * time.Second

// RunOptions are for one run in the foreground.
type RunOptions struct {
	// Keep goes on serving after the run has ended, until ctx is done.
	Keep bool
	// WaitTimeout rolls the run back when it has not ended after this long; 0:
	// never.
	WaitTimeout time.Duration
	// Unattended gives the run up when it has waited for a person, whom nobody
	// announced, for as long as the plan lets it be held. Approvals and pauses
	// are waited for all the same: there somebody is expected.
	Unattended bool
	// Version is the program's own, for the API.
	Version string
	// Actor is who runs it.
	Actor string
	// Started is told of the run and of where users are served.
	Started func(run store.Run, listen string, resumed bool)
	// Ended is told of the run's end, before a Keep goes on serving.
	Ended func(store.Run)
}

// Result is how a run in the foreground ended.
type Result struct {
	Run store.Run
	// Interrupted says that the program was asked to stop before the run's end.
	Interrupted bool
	// Waited says that the run was waiting for a person then.
	Waited bool
}

// ReadFile reads the rollouts of a file for this machine; warnings are returned as
// lines. The error is a *rollout.FileError for what is wrong in the file.
func ReadFile(path string) ([]*rollout.Rollout, []string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the rollout's file: %w: %w", err, ErrConfig)
	}
	rollouts, warnings, err := rollout.ParseAll(path, data, builtin.Catalog())
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.String())
	}
	if err != nil {
		return nil, lines, err
	}
	var unfit []rollout.Located
	for i, r := range rollouts {
		unfit = append(unfit, rollout.Locate(path, data, i, builtin.MachineProblems(*r))...)
	}
	if len(unfit) > 0 {
		return nil, lines, &rollout.FileError{Problems: unfit}
	}
	return rollouts, lines, nil
}

// Run carries one run in the foreground: everything in this process. It
// returns when the run has ended, or when ctx is done: then the traffic is
// back on stable and the run goes on, or back, with the next start.
//
// A run of the same rollout that a killed program left is gone on with.
func Run(ctx context.Context, opts Options, path string, ro RunOptions) (res Result, err error) {
	rollouts, warnings, err := ReadFile(path)
	if err != nil {
		return res, err
	}
	if len(rollouts) != 1 {
		return res, fmt.Errorf("%s holds %d rollouts; run takes one, serve takes many: %w", path, len(rollouts), ErrConfig)
	}
	r := *rollouts[0]
	p, err := openProgram(opts)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for _, w := range warnings {
		p.opts.Logger.Info(w) // whoever reads the file for a person has said so
	}
	name := r.Metadata.Name
	lock, err := lockRollout(opts.rolloutDir(name), name)
	if err != nil {
		return res, err
	}
	defer lock.Close()
	begun := false
	defer func() {
		if err != nil && !begun && ctx.Err() != nil {
			err = fmt.Errorf("stopped before the run of %s began; nothing was released", name)
		}
	}()

	// What a killed program left of this rollout is gone on with, with the plan
	// it was begun with; otherwise the file alone counts.
	asking, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	left, err := p.store.Active(asking, name)
	resumed := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return res, err
	}
	if resumed {
		r = left.Spec
	}
	h, err := p.add(r, path, inherited{fresh: !resumed})
	if err != nil {
		return res, err
	}
	stopAll := func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, h.parts.Router.Close(stop))
		if s, ok := h.parts.Workload.(stopper); ok {
			err = errors.Join(err, s.StopAll(stop))
		}
	}
	defer stopAll()
	if resumed {
		h.carryOver(ctx)
	} else {
		if err := h.stableReady(ctx, min(time.Duration(r.Spec.Plan.Prepare), time.Minute)); err != nil {
			return res, err
		}
	}
	if err := h.parts.Router.Start(ctx); err != nil {
		return res, fmt.Errorf("%w: %w", err, ErrUnreachable)
	}

	// What serves beside the run ends with it.
	side, stop := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	socket := server.RunSocket(opts.State, name)
	l, err := server.Listen(socket)
	if err != nil {
		return res, err
	}
	beside.Go(func() { server.Keep(side, l, socket, server.New(p, ro.Version), p.opts.Logger) })
	beside.Go(func() { p.deliver(side) })
	beside.Go(func() { p.catchUp(side, name, time.Now()) })

	run := left
	if !resumed {
		if run, err = h.release(ctx, server.Candidate{Actor: ro.Actor}); err != nil {
			return res, err
		}
	}
	begun = true
	if ro.Started != nil {
		ro.Started(run, h.parts.Router.Listen(), resumed)
	}
	res, err = h.foreground(ctx, run, ro)
	h.flush(context.WithoutCancel(ctx), run.ID) // an interrupted run is told of too
	h.aside.Wait()
	if err == nil && len(res.Run.Spec.Spec.Notify) > 0 {
		// What people were told of the end belongs to the record.
		if err := h.chronicle(ctx, res.Run); err != nil {
			h.log.Warn("the run's last messages could not be archived", "run", res.Run.ID, "error", err)
		}
	}
	if err == nil && ro.Keep && !res.Interrupted {
		for ctx.Err() == nil {
			h.rest(ctx)
		}
	}
	return res, err
}

// stopper is a workload whose instances can be ended all at once.
type stopper interface{ StopAll(context.Context) error }

// foreground carries the run. When ctx ends first it rolls the run back, so
// that nobody is left on a canary whose watcher is gone.
func (h *home) foreground(ctx context.Context, run store.Run, ro RunOptions) (Result, error) {
	carried, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	done := make(chan struct{})
	interrupted, waited := false, false
	var timeout, alone <-chan time.Time
	if ro.Unattended {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		alone = tick.C
	}
	if ro.WaitTimeout > 0 {
		timer := time.NewTimer(ro.WaitTimeout)
		defer timer.Stop()
		timeout = timer.C
	}
	var watcher sync.WaitGroup
	watcher.Go(func() {
		// What nobody in particular asked for is asked for by Serin.
		reason, actor := "", record.Serin
		for reason == "" {
			select {
			case <-done:
				return
			case <-timeout:
				reason = fmt.Sprintf("the run had not ended after %s", ro.WaitTimeout)
			case <-ctx.Done():
				reason, actor = "the program was asked to stop", ro.Actor
			case <-alone:
				reason = h.abandoned()
			}
		}
		interrupted = true
		h.mu.Lock()
		waited = h.look.Run.State.Waiting()
		h.mu.Unlock()
		h.interrupt(carried, run.ID, reason, actor)
		select {
		case <-done:
		case <-time.After(stopTimeout):
			cancel()
		}
	})
	ended, err := h.carry(carried, run)
	close(done)
	watcher.Wait()
	if ro.Ended != nil && err == nil {
		ro.Ended(ended)
	}
	waited = waited && ended.State.Status == engine.RolledBack
	return Result{Run: ended, Interrupted: interrupted, Waited: waited}, err
}

// abandoned says why an unattended run is given up, if it is.
func (h *home) abandoned() string {
	h.mu.Lock()
	run := h.look.Run
	h.mu.Unlock()
	s := run.State
	if !s.Waiting() || s.Hold.Rule == engine.HoldApproval || s.Hold.Rule == engine.HoldPaused {
		return ""
	}
	if waited := s.Elapsed - s.Hold.Since; waited < run.Plan.HoldTimeout {
		return ""
	}
	return fmt.Sprintf("nobody decided within %s: %s", run.Plan.HoldTimeout, s.Hold.Message)
}

// interrupt asks for a rollback in the name of whoever stops the program.
func (h *home) interrupt(ctx context.Context, run, reason, actor string) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := h.store.AddIntent(ctx, run, rollout.Intent{
		ID: "stop-" + run, Kind: rollout.Rollback, At: time.Now().UTC().Round(0), Actor: actor, Reason: reason,
	})
	if err != nil && !errors.Is(err, store.ErrEnded) {
		h.log.Error("the rollback at the end of the program could not be asked for", "run", run, "error", err)
	}
	h.wake.Wake()
}

// lockRollout makes sure that one program carries a rollout.
func lockRollout(dir, name string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder of %s: %w: %w", name, err, ErrUnreachable)
	}
	f, err := os.OpenFile(filepath.Join(dir, "owner.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w: %w", name, err, ErrUnreachable)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another serin runs %s already; see it with \"serin get\", or use another state folder (SERIN_STATE): %w", name, ErrConfig)
	}
	return f, nil
}

package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// A rollout whose file is taken away has nobody who watches its processes after
// a reload. So they are ended, once the requests in flight are; and while a run of
// it goes on there is no reload.

// refuseRemoval says which rollouts with a run that goes on are in no file any
// more.
func (d *daemon) refuseRemoval(ctx context.Context) error {
	files, err := rolloutFiles(d.dir)
	if err != nil {
		return nil //nolint:nilerr // mistakes in the files are the successor's to tell
	}
	var errs []error
	for _, h := range d.homes {
		if names(files, h.name()) {
			continue
		}
		run, err := h.active(ctx)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			errs = append(errs, err)
		default:
			errs = append(errs, fmt.Errorf("%s is in no file any more, and its run %s to %s has not ended; wait for it, or roll it back with \"serin rollback %s\", and reload again: %w",
				h.name(), run.ID, run.CanaryVersion, h.name(), ErrConfig))
		}
	}
	return errors.Join(errs...)
}

func names(files []rolloutFile, name string) bool {
	return slices.ContainsFunc(files, func(f rolloutFile) bool {
		return slices.ContainsFunc(f.rollouts, func(r *rollout.Rollout) bool { return r.Metadata.Name == name })
	})
}

// endRemoved ends the processes of rollouts that are in no file any more, and that
// the successor has not taken over. Their proxies are closed. A rollout that is in
// a file and that nobody has is one of a successor that has ended since: the next
// start takes its processes over.
func (d *daemon) endRemoved(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	files, err := rolloutFiles(d.dir)
	if err != nil {
		return fmt.Errorf("end the processes of rollouts that are in no file any more: %w", err)
	}
	var errs []error
	for _, h := range d.homes {
		if names(files, h.name()) {
			continue
		}
		lock, err := lockRollout(d.opts.rolloutDir(h.name()), h.name())
		if err != nil {
			continue // the successor has it
		}
		errs = append(errs, h.endProcesses(ctx), lock.Close())
	}
	return errors.Join(errs...)
}

// endProcesses ends the processes of a rollout that has been closed.
func (h *home) endProcesses(ctx context.Context) error {
	parts, err := builtin.NewMachine(h.rollout, builtin.Env{
		Rollout: h.name(), BaseDir: filepath.Dir(h.file), StateDir: h.opts.rolloutDir(h.name()), Logger: h.opts.Logger,
		Router: h.parts.Router,
	})
	if err != nil {
		return fmt.Errorf("end the processes of %s, which is in no file any more: %w", h.name(), err)
	}
	if s, ok := parts.Workload.(stopper); ok {
		h.log.Info("the rollout is in no file any more; its processes are ended")
		err = s.StopAll(ctx)
	}
	return errors.Join(err, parts.Close())
}

// tellAbandoned warns of runs that go on and that nobody carries, as no file names
// their rollout.
func (d *daemon) tellAbandoned(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	runs, err := d.program.store.Runs(ctx, "", 0)
	if err != nil {
		return // the store's own trouble is reported by who needs it
	}
	for _, run := range runs {
		if run.State.Ended() || names(d.files, run.Rollout) {
			continue
		}
		lock, err := lockRollout(d.opts.rolloutDir(run.Rollout), run.Rollout)
		if err != nil {
			continue // another program carries it
		}
		lock.Close()
		d.program.opts.Logger.Warn("a run has not ended and no file names its rollout, so nobody watches it; put the file back and reload",
			"rollout", run.Rollout, "run", run.ID, "canary", run.CanaryVersion)
	}
}

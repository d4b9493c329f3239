package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
)

// ServeOptions are for the daemon.
type ServeOptions struct {
	// Version is the program's own, for the API.
	Version string
	// Ready is told once everything serves; listen holds the address of every
	// rollout.
	Ready func(listen map[string]string)
	// Handover, when it receives, starts a successor that takes over the
	// listeners; Serve returns when the successor serves and requests in flight
	// have finished.
	Handover <-chan os.Signal
	// Notify tells a service manager, and hands it descriptors to keep; nil when
	// there is none.
	Notify func(state string, keep ...*os.File)
}

// Serve keeps every rollout of a folder going until ctx is done: its proxy,
// its stable processes, its runs. Processes go on running when it ends; the
// next Serve takes them over.
func Serve(ctx context.Context, opts Options, dir string, so ServeOptions) (err error) {
	files, err := rolloutFiles(dir)
	if err != nil {
		return err
	}
	sockets, ready, err := inherit()
	if err != nil {
		return err
	}
	kept := stored()
	if sockets == nil {
		sockets = kept
	}
	d := &daemon{opts: opts, so: so, dir: dir, files: files, from: inherited{sockets: sockets}}
	if err := d.open(); err != nil {
		return err
	}
	if err := d.begin(ctx); err != nil {
		return errors.Join(err, d.closeRouters(ctx), d.close())
	}
	for _, names := range sockets {
		for _, f := range names {
			f.Close() // of those that no file names any more, this is the last
		}
	}
	d.start(ctx)
	d.tellAbandoned(ctx)
	d.keepSockets(kept)
	listen := map[string]string{}
	for _, h := range d.homes {
		listen[h.name()] = h.parts.Router.Listen()
	}
	if err := ready.tell(); err != nil {
		d.program.opts.Logger.Warn("the predecessor could not be told that this program serves", "error", err)
	}
	d.notify("READY=1")
	if so.Ready != nil {
		so.Ready(listen)
	}
	failed := d.routerFailed(ctx)
	for {
		select {
		case <-ctx.Done():
			d.notify("STOPPING=1")
			d.stop()
			return errors.Join(d.closeRouters(context.WithoutCancel(ctx)), d.close())
		case <-so.Handover:
			if err := d.handOver(ctx); err != nil {
				d.program.opts.Logger.Error("the handover did not work; this program goes on", "error", err)
				continue
			}
			ctx := context.WithoutCancel(ctx)
			return errors.Join(d.closeRouters(ctx), d.endRemoved(ctx))
		case err := <-failed:
			d.notify("STOPPING=1")
			d.stop()
			return errors.Join(fmt.Errorf("%w: %w", err, ErrUnreachable), d.closeRouters(context.WithoutCancel(ctx)), d.close())
		}
	}
}

// rolloutFile is one file of the folder with its rollouts.
type rolloutFile struct {
	path     string
	rollouts []*rollout.Rollout
	warnings []string
}

// rolloutFiles reads every file of a folder; all mistakes are told at once.
func rolloutFiles(dir string) ([]rolloutFile, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; -f names a file with rollouts, or the folder of such files", ErrConfig, err)
	}
	paths := []string{dir}
	if info.IsDir() {
		paths = nil
		for _, pattern := range []string{"*.yaml", "*.yml", "*.json"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				return nil, fmt.Errorf("read the folder of rollouts: %w: %w", err, ErrConfig)
			}
			paths = append(paths, found...)
		}
		slices.Sort(paths)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%w: %s holds no rollout; put a file there that ends in .yaml", ErrConfig, dir)
	}
	var files []rolloutFile
	var errs []error
	seen := map[string]string{}
	claim := Claims()
	for _, path := range paths {
		rollouts, warnings, err := ReadFile(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, r := range rollouts {
			if other, ok := seen[r.Metadata.Name]; ok {
				errs = append(errs, fmt.Errorf("%s and %s both describe %q; keep one: %w", other, path, r.Metadata.Name, ErrConfig))
			}
			seen[r.Metadata.Name] = path
			for _, p := range claim(path, *r) {
				errs = append(errs, fmt.Errorf("%s: %s of %q: %s; %s: %w", path, p.Field, r.Metadata.Name, p.Message, p.Mend, ErrConfig))
			}
		}
		files = append(files, rolloutFile{path: path, rollouts: rollouts, warnings: warnings})
	}
	return files, errors.Join(errs...)
}

// daemon is the state of Serve.
type daemon struct {
	opts  Options
	so    ServeOptions
	dir   string // of the files
	files []rolloutFile
	from  inherited

	program *program
	homes   []*home
	locks   []*os.File
	api     net.Listener

	cancel  context.CancelFunc
	running sync.WaitGroup
}

// begin has every proxy serve. What could keep one from it is found out before the
// first process is started.
func (d *daemon) begin(ctx context.Context) error {
	for _, h := range d.homes {
		if err := h.parts.Router.Bind(ctx); err != nil {
			return fmt.Errorf("%w: %w", err, ErrUnreachable)
		}
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	for _, h := range d.homes {
		if err := h.parts.Router.Start(ctx); err != nil {
			return fmt.Errorf("%w: %w", err, ErrUnreachable)
		}
	}
	return nil
}

// open builds everything and takes the locks; nothing serves yet.
func (d *daemon) open() (err error) {
	p, err := openProgram(d.opts)
	if err != nil {
		return err
	}
	d.program = p
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	for _, f := range d.files {
		for _, w := range f.warnings {
			d.program.opts.Logger.Warn(w)
		}
		for _, r := range f.rollouts {
			lock, err := lockRollout(d.opts.rolloutDir(r.Metadata.Name), r.Metadata.Name)
			if err != nil {
				return err
			}
			d.locks = append(d.locks, lock)
			h, err := d.program.add(*r, f.path, d.from)
			if err != nil {
				return err
			}
			d.homes = append(d.homes, h)
		}
	}
	if d.api, err = server.Listen(server.DaemonSocket(d.opts.State)); err != nil {
		return fmt.Errorf("%w: %w", err, ErrConfig)
	}
	return nil
}

// settle goes on where an earlier program ended: with the run that it left, or with
// stable.
func (d *daemon) settle(ctx context.Context) error {
	for _, h := range d.homes {
		run, err := h.settle(ctx)
		switch {
		case err == nil:
			// A run that goes on is the runner's: what it wants is not touched here.
			h.carryOver(ctx)
		case errors.Is(err, store.ErrNotFound):
			h.keepStable(ctx)
		default:
			return err
		}
		h.found = &found{run, err}
	}
	return nil
}

// start runs the loops of every home, the outbox and the API.
func (d *daemon) start(ctx context.Context) {
	ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, h := range d.homes {
		d.running.Go(func() { d.keep(ctx, h) })
	}
	d.running.Go(func() { d.program.deliver(ctx) })
	d.running.Go(func() { d.program.chronicleAll(ctx) })
	api := d.api
	d.running.Go(func() {
		server.Keep(ctx, api, server.DaemonSocket(d.opts.State), server.New(d.program, d.so.Version), d.program.opts.Logger)
	})
}

// keep serves one home; trouble with it is not trouble for the others.
func (d *daemon) keep(ctx context.Context, h *home) {
	for ctx.Err() == nil {
		err := h.serve(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		h.log.Error("the rollout cannot be kept going; it will be tried again", "error", err)
		h.mu.Lock()
		h.problem = err.Error()
		h.mu.Unlock()
		select {
		case <-time.After(5 * time.Second):
		case <-h.wake: // somebody asks something
		case <-ctx.Done():
		}
	}
}

// stop ends the loops and waits for them. Requests are still served.
func (d *daemon) stop() {
	d.program.mu.Lock()
	d.program.stopping = true
	d.program.mu.Unlock()
	d.cancel()
	d.running.Wait()
	d.api = nil // Serve has closed it
}

// close releases the store, the workloads and the locks.
func (d *daemon) close() error {
	var errs []error
	if d.api != nil {
		errs = append(errs, d.api.Close())
		d.api = nil
	}
	if d.program != nil {
		errs = append(errs, d.program.close())
	}
	for _, l := range d.locks {
		errs = append(errs, l.Close())
	}
	d.locks = nil
	return errors.Join(errs...)
}

// closeRouters finishes the requests in flight.
func (d *daemon) closeRouters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	errs := make([]error, len(d.homes))
	var wg sync.WaitGroup
	for i, h := range d.homes {
		wg.Go(func() { errs[i] = h.parts.Router.Close(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// routerFailed yields the error of the first router that stops by itself.
func (d *daemon) routerFailed(ctx context.Context) <-chan error {
	out := make(chan error, len(d.homes))
	for _, h := range d.homes {
		name, failed := h.name(), h.parts.Router.Failed()
		go func() {
			select {
			case err := <-failed:
				out <- fmt.Errorf("the proxy of %s stopped: %w", name, err)
			case <-ctx.Done():
			}
		}()
	}
	return out
}

func (d *daemon) notify(state string, keep ...*os.File) {
	if d.so.Notify != nil {
		d.so.Notify(state, keep...)
	}
}

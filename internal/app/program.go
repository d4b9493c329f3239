package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"serin.dev/serin/internal/archive"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/server"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/store/sqlite"
	"serin.dev/serin/internal/workload"
)

// program is everything that runs in this process. It is the API's backend.
type program struct {
	opts    Options
	store   store.Store
	archive archive.Archive
	outbox  runner.Waker
	// pruner bounds the store.
	pruner interface {
		Prune(ctx context.Context, keep int) (int, error)
	}

	mu       sync.Mutex
	homes    map[string]*home
	watchers map[string][]chan struct{}
	stopping bool
}

var _ server.Backend = (*program)(nil)

// openProgram opens the store and the archive under the state folder.
func openProgram(opts Options) (*program, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(opts.State, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w; set SERIN_STATE to a folder that can be written: %w", err, ErrUnreachable)
	}
	st, err := sqlite.Open(opts.database(), sqlite.Options{Logger: opts.Logger})
	if err != nil {
		return nil, err
	}
	p := &program{
		opts: opts, store: newUrgentStore(st), pruner: st, archive: archives{st, opts.archiveDir()}, outbox: runner.NewWaker(),
		homes: map[string]*home{}, watchers: map[string][]chan struct{}{},
	}
	user := opts.Watch
	p.opts.Watch = func(name string, look runner.Look) {
		p.told(look.Run.ID)
		if user != nil {
			user(name, look)
		}
	}
	return p, nil
}

// add opens a rollout's home.
func (p *program) add(r rollout.Rollout, file string, from inherited) (*home, error) {
	// What cannot be archived is found out now and not at the run's end.
	if _, err := builtin.NewArchive(r.Spec.Archive, p.opts.archiveDir()); err != nil {
		return nil, err
	}
	h, err := openHome(p.opts, r, file, p.store, p.archive, p.outbox, from)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.homes[h.name()] = h
	return h, nil
}

func (p *program) home(name string) (*home, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, ok := p.homes[name]
	if !ok {
		names := make([]string, 0, len(p.homes))
		for n := range p.homes {
			names = append(names, n)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("%q is not one of the rollouts here (%s): %w", name, strings.Join(names, ", "), server.ErrUnknownRollout)
	}
	return h, nil
}

// deliver runs the outbox until ctx is done.
func (p *program) deliver(ctx context.Context) {
	courier := &runner.Courier{Store: p.store, Receiver: p.receiver, Logger: p.opts.Logger, Now: time.Now}
	courier.Run(ctx, p.outbox)
}

func (p *program) receiver(rolloutName, name string) (notify.Notifier, error) {
	h, err := p.home(rolloutName)
	if err != nil {
		return nil, runner.ErrNotOurs
	}
	for i, n := range h.rollout.Spec.Notify {
		if runner.ReceiverName(n, i) == name {
			return builtin.NewNotifier(n, p.opts.Logger)
		}
	}
	return nil, fmt.Errorf("%s names no notifier %q any more: %w", h.file, name, notify.ErrRejected)
}

// closeTime bounds how long the end of the program waits for what is still to be
// written down.
const closeTime = 10 * time.Second

// close releases everything. Processes go on running. A disk that hangs, in a system
// call that nothing ends, keeps nobody from ending the program.
func (p *program) close() error {
	p.mu.Lock()
	homes := p.homes
	p.homes = map[string]*home{}
	p.mu.Unlock()
	closed := make(chan error, 1)
	go func() {
		var errs []error
		for _, h := range homes {
			errs = append(errs, h.close())
		}
		closed <- errors.Join(append(errs, p.store.Close())...)
	}()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeTime):
		return fmt.Errorf("a disk has not taken what is to be written down for %s, so the next start may not know all of it", closeTime)
	}
}

// The rest implements server.Backend.

func (p *program) Store() store.Store       { return p.store }
func (p *program) Archive() archive.Archive { return p.archive }

func (p *program) Rollouts(context.Context) ([]server.Rollout, error) {
	p.mu.Lock()
	homes := make([]*home, 0, len(p.homes))
	for _, h := range p.homes {
		homes = append(homes, h)
	}
	p.mu.Unlock()
	out := make([]server.Rollout, 0, len(homes))
	for _, h := range homes {
		out = append(out, h.state())
	}
	slices.SortFunc(out, func(a, b server.Rollout) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (p *program) Rollout(_ context.Context, name string) (server.Rollout, error) {
	h, err := p.home(name)
	if err != nil {
		return server.Rollout{}, err
	}
	return h.state(), nil
}

// stablePatience is how long a release waits for a stable that is starting, as
// it is when the daemon has just been started.
const stablePatience = 5 * time.Second

func (p *program) Release(ctx context.Context, name string, c server.Candidate) (store.Run, error) {
	p.mu.Lock()
	stopping := p.stopping
	p.mu.Unlock()
	if stopping {
		return store.Run{}, fmt.Errorf("no run is started: %w", server.ErrStopping)
	}
	h, err := p.home(name)
	if err != nil {
		return store.Run{}, err
	}
	if problem := h.awaitStable(ctx, stablePatience); problem != "" {
		return store.Run{}, fmt.Errorf("%s has no ready instance of %s to compare with: %s: %w",
			name, h.parts.Workload.Serving().Version, problem, server.ErrStableDown)
	}
	return h.release(ctx, c)
}

func (p *program) Owns(name string) error {
	_, err := p.home(name)
	return err
}

func (p *program) Wake(run string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.homes {
		h.mu.Lock()
		carried := h.run == run || h.stuck == run
		h.mu.Unlock()
		if carried {
			h.wake.Wake()
		}
	}
}

func (p *program) Watch(run string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers[run] = append(p.watchers[run], ch)
	return ch, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.watchers[run] = slices.DeleteFunc(p.watchers[run], func(c chan struct{}) bool { return c == ch })
		if len(p.watchers[run]) == 0 {
			delete(p.watchers, run)
		}
	}
}

// Glance implements server.Backend.
func (p *program) Glance() time.Duration { return server.AtHand }

// told wakes everybody who watches a run.
func (p *program) told(run string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ch := range p.watchers[run] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (p *program) Live(run string) (server.Live, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.homes {
		h.mu.Lock()
		look := h.look
		h.mu.Unlock()
		if look.Run.ID == run && look.Run.ID != "" {
			return server.Live{Run: look.Run, At: look.Decision.At, Decision: look.Decision, Input: latest(look)}, true
		}
	}
	return server.Live{}, false
}

// latest is the latest input with samples, else the latest of all.
func latest(look runner.Look) record.Input {
	if look.Tick.Tick != nil {
		return look.Tick
	}
	return look.Input
}

func (p *program) Logs(ctx context.Context, name string, arm rollout.Arm, follow bool, w io.Writer) error {
	h, err := p.home(name)
	if err != nil {
		return err
	}
	logger, ok := h.parts.Workload.(workload.Logger)
	if !ok {
		return fmt.Errorf("%s is not run by serin, so serin has no logs of it; look where its instances run", name)
	}
	seen := map[string]int64{}
	for {
		if err := logger.Logs(ctx, arm, func(name string, open func() (io.ReadCloser, error)) error {
			return copyFrom(w, open, seen, name)
		}); err != nil || !follow {
			return err
		}
		select {
		case <-time.After(followInterval):
		case <-ctx.Done():
			return nil
		}
	}
}

// followInterval is how often logs that are followed are looked at.
const followInterval = 300 * time.Millisecond

// copyFrom copies what a log has beyond what was seen of it. A log that has
// become shorter was rotated and is read from its start.
func copyFrom(w io.Writer, open func() (io.ReadCloser, error), seen map[string]int64, name string) error {
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Close()
	skipped, err := io.CopyN(io.Discard, f, seen[name])
	if errors.Is(err, io.EOF) && skipped < seen[name] {
		seen[name] = 0
		return copyFrom(w, open, seen, name)
	}
	if err != nil {
		return err
	}
	n, err := io.Copy(w, f)
	seen[name] += n
	return err
}

// ReadOnly opens what is remembered for reading: nothing runs here. close
// releases it.
func ReadOnly(_ context.Context, opts Options) (b server.Backend, close func() error, err error) {
	if _, err := os.Stat(opts.database()); errors.Is(err, fs.ErrNotExist) {
		// Nothing has run here; looking leaves nothing behind either.
		nothing := &memory.Store{}
		return server.ReadOnly{Runs: nothing, Files: archives{nothing, opts.archiveDir()}, State: opts.State}, nothing.Close, nil
	}
	p, err := openProgram(opts)
	if err != nil {
		return nil, nil, err
	}
	return server.ReadOnly{Runs: p.store, Files: p.archive, State: opts.State}, p.close, nil
}

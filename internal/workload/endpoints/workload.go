package endpoints

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/probe"
	"serin.dev/serin/internal/workload/statefile"
)

// Env is what a Workload needs to know about where it runs.
type Env struct {
	// Rollout is the rollout's name; instances are called after it.
	Rollout string
	// StateDir is this rollout's own folder: it remembers which version serves.
	StateDir string
	// Fresh starts from the file and forgets which version served before.
	Fresh bool
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

// Workload is the endpoints workload of one rollout. All its methods may be
// called at once from many goroutines.
type Workload struct {
	cfg     Config
	env     Env
	log     *slog.Logger
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	probing sync.WaitGroup
	changed chan struct{}
	disk    statefile.Writer

	mu     sync.Mutex
	closed bool
	memory memory
	stable *group // nil while not wanted
	canary *group
}

var (
	_ workload.Workload = (*Workload)(nil)
	_ workload.Releaser = (*Workload)(nil)
	_ workload.Notifier = (*Workload)(nil)
	_ rollout.Validator = (*Config)(nil)
)

// New opens the workload kept in env.StateDir. It probes nothing before Apply.
func New(cfg Config, env Env) (*Workload, error) {
	for _, p := range cfg.Validate() {
		if !p.Warning {
			return nil, fmt.Errorf("endpoints of %s: %s %s; %s: %w", env.Rollout, p.Field, p.Message, p.Mend, workload.ErrRefused)
		}
	}
	if env.Logger == nil {
		env.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(env.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("preparing the state folder of %s: %w", env.Rollout, err)
	}
	w := &Workload{cfg: cfg, env: env, log: env.Logger.With("rollout", env.Rollout), changed: make(chan struct{}, 1)}
	w.disk.Logger = w.log
	w.ctx, w.cancel = context.WithCancel(context.Background())
	if err := w.recall(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Workload) memoryFile() string { return filepath.Join(w.env.StateDir, "endpoints.json") }

// Apply implements workload.Workload: it begins to watch the groups that are
// wanted and stops watching those that are not.
func (w *Workload) Apply(_ context.Context, want workload.Want) error {
	saved, err := w.apply(want)
	if saved != nil {
		w.disk.Await(saved)
	}
	return err
}

// apply is Apply; what it returns is closed once what it has to remember is saved,
// or could not be; nil when that is nothing.
func (w *Workload) apply(want workload.Want) (saved <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, fmt.Errorf("endpoints of %s are closed", w.env.Rollout)
	}
	if w.memory.Candidate == nil && want.Promoted {
		// The run has ended already: the promoted group is the stable one now.
		want = workload.Want{Stable: max(want.Stable, want.Canary)}
	}
	if w.memory.Candidate == nil && want.Canary > 0 {
		return nil, fmt.Errorf("watching a canary of %s: there is no candidate; name one in the file (workload.endpoints.canary) or with serin release: %w",
			w.env.Rollout, workload.ErrRefused)
	}
	if w.memory.Promoted != want.Promoted {
		w.memory.Promoted = want.Promoted
		saved = w.remember()
	}
	w.stable = w.watch(w.stable, &w.memory.Serving, want.Stable)
	w.canary = w.watch(w.canary, w.memory.Candidate, want.Canary)
	return saved, nil
}

// watch returns the group of version v as it should be: the one there is, a new
// one, or none. The caller holds w.mu.
func (w *Workload) watch(have *group, v *workload.Version, percent int) *group {
	if percent > 0 && v != nil {
		if have == nil {
			have = w.newGroup(*v)
		}
		return have
	}
	if have != nil {
		have.cancel()
		w.notify()
	}
	return nil
}

// Observe implements workload.Workload.
func (w *Workload) Observe(context.Context) (workload.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := workload.Status{Stable: w.stable.observe()}
	s.Stable.Version = w.memory.Serving.Version
	if c := w.memory.Candidate; c != nil {
		s.Canary = w.canary.observe()
		s.Canary.Version = c.Version
	}
	return s, nil
}

// Changed implements workload.Notifier.
func (w *Workload) Changed() <-chan struct{} { return w.changed }

func (w *Workload) notify() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Close implements workload.Workload.
func (w *Workload) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.probing.Wait()
	w.disk.Drain() // the next one reads it
	return nil
}

// group is one version's URLs while they are watched.
type group struct {
	w      *Workload
	cancel context.CancelFunc

	mu        sync.Mutex
	instances []rollout.Instance
	trouble   []string // by instance: why its latest probe failed
}

// newGroup begins to watch the URLs of v.
func (w *Workload) newGroup(v workload.Version) *group {
	ctx, cancel := context.WithCancel(w.ctx)
	g := &group{w: w, cancel: cancel, trouble: make([]string, len(v.URLs))}
	for n, url := range v.URLs {
		url = strings.TrimSuffix(url, "/")
		g.instances = append(g.instances, rollout.Instance{Name: fmt.Sprintf("%s-%s-%d", w.env.Rollout, v.Version, n), URL: url})
	}
	for n, i := range g.instances {
		p := w.prober(i.URL)
		w.probing.Go(func() { p.Watch(ctx, func(r probe.Result) { g.probed(n, r) }) })
	}
	return g
}

func (w *Workload) prober(url string) probe.Probe {
	h := w.cfg.Health
	target := url + h.Path
	if h.Path == "" {
		target = probe.TCP(url)
	}
	return probe.Probe{
		URL:       target,
		Interval:  time.Duration(h.Interval),
		Timeout:   time.Duration(h.Timeout),
		Successes: h.Successes,
		Failures:  h.Failures,
	}
}

// probed takes a result of the probe of one URL.
func (g *group) probed(n int, r probe.Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := &g.instances[n]
	g.trouble[n] = ""
	if r.Err != nil {
		g.trouble[n] = fmt.Sprintf("%s is not ready: %v", i.Name, r.Err)
	}
	if i.Ready == r.Ready {
		return
	}
	i.Ready = r.Ready
	if r.Ready {
		g.w.log.Info("endpoint is ready", "instance", i.Name, "url", i.URL)
	} else {
		g.w.log.Warn("endpoint is no longer ready", "instance", i.Name, "url", i.URL, "error", r.Err)
	}
	g.w.notify()
}

// observe describes the group; a group that is not watched has no instances.
func (g *group) observe() workload.Group {
	if g == nil {
		return workload.Group{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	out := workload.Group{Instances: append([]rollout.Instance(nil), g.instances...)}
	for n, i := range out.Instances {
		if !i.Ready && g.trouble[n] != "" {
			out.Detail = g.trouble[n]
		}
	}
	out.Capacity = 100 * out.Ready() / len(out.Instances)
	return out
}

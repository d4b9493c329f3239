package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"serin.dev/serin/internal/proxy"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
)

// Env is what a Router needs to know about where it runs.
type Env struct {
	// Rollout is the rollout's name, for messages.
	Rollout string
	// BaseDir is the folder of the rollout's file: certificates with relative
	// paths are there.
	BaseDir string
	// StateDir is this rollout's own folder; the weight in effect is kept there.
	StateDir string
	// Fresh forgets the weight that an earlier Serin had in effect.
	Fresh bool
	// Inherited holds the listening sockets of a predecessor, by the names that
	// Files gives them. Start takes those whose address is still the configured
	// one instead of binding, and closes the files.
	Inherited map[string]*os.File
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

// ErrAddressTaken is wrapped by Start when another program listens there.
var ErrAddressTaken = errors.New("another program listens there")

// Names of the listening sockets.
const (
	UsersSocket   = "proxy"   // what users reach
	MetricsSocket = "metrics" // /metrics
)

// Router is a traffic.Router over a reverse proxy of its own.
type Router struct {
	cfg    Config
	env    Env
	log    *slog.Logger
	proxy  *proxy.Proxy
	memory *weightFile
	failed chan error

	serving sync.WaitGroup
	metrics *http.Server // set by Start, nil without /metrics

	mu              sync.Mutex
	listener        net.Listener // set by Bind
	metricsListener net.Listener
	started         bool // the proxy closes what it accepts on

	applied  bool
	promoted bool
	before   remembered // what was in effect when an earlier Serin died
}

var (
	_ traffic.Router    = (*Router)(nil)
	_ traffic.Comparer  = (*Router)(nil)
	_ traffic.Matcher   = (*Router)(nil)
	_ rollout.Validator = (*Config)(nil)
)

// New makes the router and its proxy. It answers nobody before Start, and
// everybody with 503 before the first Apply.
func New(cfg Config, env Env) (*Router, error) {
	for _, p := range cfg.Validate() {
		if !p.Warning {
			return nil, fmt.Errorf("proxy of %s: %s %s; %s: %w", env.Rollout, p.Field, p.Message, p.Mend, traffic.ErrRefused)
		}
	}
	if env.Logger == nil {
		env.Logger = slog.New(slog.DiscardHandler)
	}
	log := env.Logger.With("rollout", env.Rollout)
	forwarding := cfg.forwarding()
	forwarding.Logger = log
	if cfg.TLS != nil {
		forwarding.CertFile = resolve(env.BaseDir, cfg.TLS.CertFile)
		forwarding.KeyFile = resolve(env.BaseDir, cfg.TLS.KeyFile)
	}
	p, err := proxy.New(forwarding)
	if err != nil {
		return nil, fmt.Errorf("proxy of %s: %w", env.Rollout, err)
	}
	r := &Router{cfg: cfg, env: env, log: log, proxy: p, failed: make(chan error, 2)}
	r.memory, r.before = openWeightFile(filepath.Join(env.StateDir, "proxy.weight"), env.Fresh, log)
	return r, nil
}

func resolve(base, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// Proxy is the reverse proxy itself, for whoever reads its statistics.
func (r *Router) Proxy() *proxy.Proxy { return r.proxy }

// Apply implements traffic.Router.
func (r *Router) Apply(ctx context.Context, s traffic.Split) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("splitting traffic of %s: %w", r.env.Rollout, err)
	}
	if s.Weight < 0 || s.Weight > rollout.Full {
		return fmt.Errorf("splitting traffic of %s: weight %d is not from 0 to 100: %w", r.env.Rollout, s.Weight, traffic.ErrRefused)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	want := proxy.Split{Weight: s.Weight, Stable: backends(s.Stable), Canary: backends(s.Canary)}
	if s.BaselineWeight > 0 && len(s.Baseline) > 0 {
		want.BaselineWeight, want.Baseline = s.BaselineWeight, backends(s.Baseline)
	}
	if !r.applied || !same(r.proxy.Split(), want) {
		if err := r.proxy.Update(want); err != nil {
			return fmt.Errorf("splitting traffic of %s: %w", r.env.Rollout, err)
		}
	}
	r.applied, r.promoted = true, s.Promoted
	// After the swap: what is remembered was in effect.
	r.memory.write(remembered{known: true, weight: s.Weight, promoted: s.Promoted})
	return nil
}

// TakesBaseline implements traffic.Comparer.
func (r *Router) TakesBaseline() {}

// Matched implements traffic.Matcher. Such requests are counted apart, so they
// are in no arm's figures.
func (r *Router) Matched(context.Context) ([]traffic.Aside, error) {
	header := r.cfg.ForceHeader
	if header == "" {
		return nil, nil
	}
	var found []traffic.Aside
	for _, arm := range []rollout.Arm{rollout.Stable, rollout.Canary} {
		found = append(found, traffic.Aside{Arm: arm, Where: "traffic.proxy.forceHeader", Requests: fmt.Sprintf("requests with header %s: %s", header, arm)})
	}
	return found, nil
}

func backends(instances []rollout.Instance) []proxy.Backend {
	out := make([]proxy.Backend, 0, len(instances))
	for _, i := range instances {
		out = append(out, proxy.Backend{Name: i.Name, URL: i.URL})
	}
	return out
}

func same(a, b proxy.Split) bool {
	return a.Weight == b.Weight && slices.Equal(a.Stable, b.Stable) && slices.Equal(a.Canary, b.Canary) &&
		a.BaselineWeight == b.BaselineWeight && slices.Equal(a.Baseline, b.Baseline)
}

// Observe implements traffic.Router. Before the first Apply it tells what was
// in effect when an earlier Serin on the same state folder ended.
func (r *Router) Observe(context.Context) (traffic.Observed, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := traffic.Observed{
		CanaryInflight:   r.proxy.Inflight(proxy.Canary),
		DrainingInflight: r.draining(),
		Revision:         r.memory.revision(),
	}
	if !r.applied {
		o.Known, o.Weight, o.Promoted, o.InEffect = r.before.known, r.before.weight, r.before.promoted, r.before.known
		return o, nil
	}
	split := r.proxy.Split()
	o.Known, o.Weight, o.Promoted, o.InEffect, o.Baseline = true, split.Weight, r.promoted, true, split.BaselineWeight
	return o, nil
}

// draining counts the requests at stable instances that the split no longer
// names.
func (r *Router) draining() int {
	named := map[string]bool{}
	for _, b := range r.proxy.Split().Stable {
		named[b.Name] = true
	}
	stats := r.proxy.Snapshot()
	n := 0
	for _, arm := range []proxy.ArmStats{stats.Stable, stats.ForcedStable} {
		for name, instance := range arm.Instances {
			if !named[name] {
				n += instance.Inflight
			}
		}
	}
	return n
}

// Bind binds the addresses, unless they were inherited. Who connects waits for
// Start.
func (r *Router) Bind(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		return nil
	}
	users, err := r.listen(ctx, UsersSocket, r.cfg.Listen, "listen")
	if err != nil {
		return err
	}
	var scrapes net.Listener
	if r.cfg.MetricsListen != "" {
		if scrapes, err = r.listen(ctx, MetricsSocket, r.cfg.MetricsListen, "metricsListen"); err != nil {
			users.Close()
			return err
		}
	}
	r.listener, r.metricsListener = users, scrapes
	return nil
}

// Start binds what has not been bound, and serves until Close. It returns when
// connections are accepted.
func (r *Router) Start(ctx context.Context) error {
	if err := r.Bind(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	users, scrapes := r.listener, r.metricsListener
	r.started = true
	r.mu.Unlock()
	r.serve("proxy", func() error { return r.proxy.Serve(users) })
	if scrapes != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", r.proxy.MetricsHandler())
		r.metrics = &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       30 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       90 * time.Second,
			ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
		}
		r.serve("metrics", func() error { return r.metrics.Serve(scrapes) })
	}
	return nil
}

func (r *Router) serve(what string, run func() error) {
	r.serving.Go(func() {
		if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			r.log.Error("no longer accepting connections", "server", what, "error", err)
			r.failed <- fmt.Errorf("serving the %s of %s: %w", what, r.env.Rollout, err)
		}
	})
}

// listen takes the inherited socket of that name, or binds address.
func (r *Router) listen(ctx context.Context, name, address, field string) (net.Listener, error) {
	if f := r.env.Inherited[name]; f != nil {
		ln, err := proxy.FromFile(f)
		if err != nil || listensOn(ln, address) {
			return ln, err
		}
		r.log.Info("the address has changed", "server", name, "was", ln.Addr().String(), "is", address)
		ln.Close() // the predecessor finishes what came there
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return ln, nil
	case isAddressTaken(err):
		return nil, fmt.Errorf("listening on %s for %s: %w; end that program, or choose another address in spec.traffic.proxy.%s", address, r.env.Rollout, ErrAddressTaken, field)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("listening on %s for %s: %w; choose a port from 1024 up, or give Serin CAP_NET_BIND_SERVICE", address, r.env.Rollout, err)
	}
	return nil, fmt.Errorf("listening on %s for %s: %w; correct spec.traffic.proxy.%s", address, r.env.Rollout, err, field)
}

// Failed receives an error when serving ends although nobody called Close.
func (r *Router) Failed() <-chan error { return r.failed }

// Listen is the address that users reach: the configured one, and once Bind
// has returned the one in use.
func (r *Router) Listen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener == nil {
		return r.cfg.Listen
	}
	return r.listener.Addr().String()
}

// Metrics is the address of /metrics, empty without it.
func (r *Router) Metrics() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.metricsListener == nil {
		return r.cfg.MetricsListen
	}
	return r.metricsListener.Addr().String()
}

// Files returns the listening sockets by name, for a successor's
// Env.Inherited. The caller closes them.
func (r *Router) Files() (map[string]*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	files := map[string]*os.File{}
	for name, ln := range map[string]net.Listener{UsersSocket: r.listener, MetricsSocket: r.metricsListener} {
		if ln == nil {
			continue
		}
		f, err := proxy.File(ln)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("handing over the sockets of %s: %w", r.env.Rollout, err)
		}
		files[name] = f
	}
	return files, nil
}

// Close stops accepting and finishes the requests in flight until ctx ends.
// The weight stays remembered.
func (r *Router) Close(ctx context.Context) error {
	r.mu.Lock()
	if !r.started {
		for _, ln := range []net.Listener{r.listener, r.metricsListener} {
			if ln != nil {
				ln.Close()
			}
		}
	}
	r.mu.Unlock()
	err := r.proxy.Shutdown(ctx)
	if r.metrics != nil {
		err = errors.Join(err, r.metrics.Shutdown(ctx))
	}
	r.serving.Wait()
	r.memory.close()
	if err != nil {
		return fmt.Errorf("closing the proxy of %s: %w", r.env.Rollout, err)
	}
	return nil
}

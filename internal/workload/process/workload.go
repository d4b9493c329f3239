package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/statefile"
)

// Env is what a Workload needs to know about where it runs.
type Env struct {
	// Rollout is the rollout's name; instances are called after it.
	Rollout string
	// BaseDir is the folder of the rollout's file: relative programs and
	// working directories start there.
	BaseDir string
	// StateDir is this rollout's own folder: what is running, and the logs.
	StateDir string
	// Fresh starts from the file: what an earlier Serin left running under
	// StateDir is stopped, and which version served then is forgotten.
	Fresh bool
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

// ErrLocked is wrapped by New when another Serin manages the same folder.
var ErrLocked = errors.New("another Serin manages these processes")

// Workload is the process workload of one rollout. All its methods may be
// called at once from many goroutines.
type Workload struct {
	cfg      Config
	env      Env
	log      *slog.Logger
	signal   unix.Signal
	logLimit int64
	key      string // marks our processes among all of this machine's
	lock     *os.File
	disk     statefile.Writer

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	changed chan struct{}
	usage   meter
	hour    hour
	tails   tails
	ports   ports

	mu        sync.Mutex
	closed    bool
	compared  bool // a baseline has been asked for
	memory    memory
	groups    map[int]*group
	buried    map[string]record // by name: places whose process ended while Serin was away
	instances []*instance       // in order of creation; also those being stopped
}

var (
	_ workload.Workload = (*Workload)(nil)
	_ workload.Releaser = (*Workload)(nil)
	_ workload.Notifier = (*Workload)(nil)
	_ workload.Meter    = (*Workload)(nil)
	_ workload.Comparer = (*Workload)(nil)
	_ workload.Logger   = (*Workload)(nil)
	_ workload.Thrower  = (*Workload)(nil)
	_ rollout.Validator = (*Config)(nil)
)

// New opens the workload kept in env.StateDir and takes over the instances that
// run already. It starts none; Apply does.
func New(cfg Config, env Env) (*Workload, error) {
	for _, p := range cfg.Validate() {
		if !p.Warning {
			return nil, fmt.Errorf("process workload of %s: %s %s; %s: %w", env.Rollout, p.Field, p.Message, p.Mend, workload.ErrRefused)
		}
	}
	if env.Logger == nil {
		env.Logger = slog.New(slog.DiscardHandler)
	}
	for _, dir := range []*string{&env.BaseDir, &env.StateDir} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return nil, fmt.Errorf("process workload of %s: %w", env.Rollout, err)
		}
		*dir = abs
	}
	// The marker must not change when the folder is reached by another path.
	if real, err := filepath.EvalSymlinks(env.StateDir); err == nil {
		env.StateDir = real
	}
	limit, _ := parseSize(cfg.Logs.MaxSize) // validated above
	sum := sha256.Sum256([]byte(env.StateDir))
	w := &Workload{
		cfg:      cfg,
		env:      env,
		log:      env.Logger.With("rollout", env.Rollout),
		signal:   unix.SignalNum(cfg.Stop.Signal),
		logLimit: limit,
		key:      hex.EncodeToString(sum[:8]),
		changed:  make(chan struct{}, 1),
		groups:   map[int]*group{},
		buried:   map[string]record{},
	}
	w.disk.Logger = w.log
	w.ctx, w.cancel = context.WithCancel(context.Background())
	if err := w.prepareFolders(); err != nil {
		return nil, err
	}
	known, err := w.recall()
	if err != nil {
		w.unlock()
		return nil, err
	}
	w.hour = newHour(w)
	if known {
		w.usage.log = w.hour.load(time.Now(), w.memory.Serving.ID)
	} else {
		w.hour.forget()
	}
	w.takeOver()
	w.running.Go(w.rotateLogs)
	go w.hour.keep()
	return w, nil
}

// Apply implements workload.Workload.
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
		return nil, fmt.Errorf("process workload of %s is closed", w.env.Rollout)
	}
	if w.memory.Candidate == nil && want.Promoted {
		// The run has ended already: the promoted group is the stable one now.
		want = workload.Want{Stable: max(want.Stable, want.Canary)}
	}
	if w.memory.Candidate == nil && want.Canary > 0 {
		return nil, fmt.Errorf("starting a canary of %s: there is no candidate; name one in the file (workload.process.canary) or with serin release: %w",
			w.env.Rollout, workload.ErrRefused)
	}
	if w.memory.Promoted != want.Promoted {
		w.memory.Promoted = want.Promoted
		saved = w.remember()
	}
	counts := map[int]int{w.memory.Serving.ID: w.size(want.Stable)}
	if c := w.memory.Candidate; c != nil {
		counts[c.ID] = w.size(want.Canary)
		w.compared = w.compared || want.Baseline > 0
		if want.Baseline > 0 && w.memory.Baseline == 0 && w.memory.Serving.Version.Port == 0 {
			w.memory.Baseline = w.nextID()
			saved = w.remember()
		}
		if b := w.memory.Baseline; b != 0 {
			counts[b] = w.size(want.Baseline)
		}
	}
	if s := w.scale(counts); s != nil {
		saved = s
	}
	return saved, nil
}

// size is the number of instances that take percent of all traffic.
func (w *Workload) size(percent int) int {
	if percent <= 0 {
		return 0
	}
	return max(1, (w.cfg.Replicas*min(percent, 100)+99)/100)
}

// scale makes the groups as large as counts says, and ends all others. What it
// returns is as apply's. The caller holds w.mu.
func (w *Workload) scale(counts map[int]int) (saved <-chan struct{}) {
	have := map[int]int{}
	for _, i := range w.instances {
		if i.stopRequested() {
			continue
		}
		if have[i.group.id] >= counts[i.group.id] {
			i.requestStop()
			continue
		}
		have[i.group.id]++
	}
	for _, id := range []int{w.memory.Serving.ID, w.candidateID(), w.memory.Baseline} {
		for have[id] < counts[id] {
			i := w.newInstance(w.group(id), w.freeName(w.group(id)))
			w.instances = append(w.instances, i)
			if id == w.memory.Baseline && !slices.Contains(w.memory.Compared, i.name) {
				w.memory.Compared = append(w.memory.Compared, i.name)
				saved = w.remember()
			}
			w.running.Go(func() { i.supervise(nil) })
			have[id]++
		}
	}
	return saved
}

// RunsBaseline implements workload.Comparer.
func (w *Workload) RunsBaseline() {}

// freeName returns the first instance name of the group that nobody bears, not
// even an instance that is being stopped.
func (w *Workload) freeName(g *group) string {
	taken := map[string]bool{}
	for _, i := range w.instances {
		taken[i.name] = true
	}
	for n := 0; ; n++ {
		if name := instanceName(w.env.Rollout, g.version.Version, n); !taken[name] {
			return name
		}
	}
}

func instanceName(rolloutName, version string, n int) string {
	return fmt.Sprintf("%s-%s-%d", rolloutName, version, n)
}

// Observe implements workload.Workload.
func (w *Workload) Observe(context.Context) (workload.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := workload.Status{Stable: w.observe(w.group(w.memory.Serving.ID))}
	if c := w.memory.Candidate; c != nil {
		s.Canary = w.observe(w.group(c.ID))
		switch b := w.memory.Baseline; {
		case b != 0:
			g := w.observe(w.group(b))
			s.Baseline = &g
		case w.compared && w.memory.Serving.Version.Port != 0:
			s.Baseline = &workload.Group{Version: w.memory.Serving.Version.Version, Failed: fmt.Sprintf("%s listens on port %d alone, so no second instance of it can run; let it take $(ADDR)",
				w.memory.Serving.Version.Version, w.memory.Serving.Version.Port)}
		}
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

// StopAll asks every instance to end and waits until all are gone, or ctx ends.
// Which version serves is still remembered.
func (w *Workload) StopAll(ctx context.Context) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return fmt.Errorf("stopping the processes of %s: the workload is closed", w.env.Rollout)
	}
	w.scale(nil)
	leaving := append([]*instance(nil), w.instances...)
	w.mu.Unlock()
	for _, i := range leaving {
		select {
		case <-i.done:
		case <-ctx.Done():
			return fmt.Errorf("stopping the processes of %s: %s has not ended: %w", w.env.Rollout, i.name, ctx.Err())
		}
	}
	return nil
}

// Close implements workload.Workload. The instances go on running; the next
// New on the same folder takes them over.
func (w *Workload) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.running.Wait()
	w.hour.wait()
	w.disk.Drain() // the next one reads it
	w.unlock()
	return nil
}

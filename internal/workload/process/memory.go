package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/statefile"
)

// memory is what must outlive a restart of Serin: which group serves and which
// is the candidate.
type memory struct {
	Format    int         `json:"format"`
	Serving   remembered  `json:"serving"`
	Candidate *remembered `json:"candidate,omitempty"`
	// Baseline is the group of fresh instances of the serving version, 0 without.
	Baseline int `json:"baseline,omitempty"`
	// Compared are the names that instances of a baseline have had since the
	// latest run began, for their logs: by its version it is stable's.
	Compared []string `json:"compared,omitempty"`
	// Begun says that Candidate came with BeginRun and not from the file.
	Begun    bool `json:"begun,omitempty"`
	Promoted bool `json:"promoted,omitempty"`
	// LastID is the highest group number ever given.
	LastID int `json:"lastID"`
}

type remembered struct {
	ID      int              `json:"id"`
	Version workload.Version `json:"version"`
}

const memoryFormat = 1

func (w *Workload) memoryFile() string { return filepath.Join(w.env.StateDir, "workload.json") }
func (w *Workload) instanceDir() string {
	return filepath.Join(w.env.StateDir, "instances")
}
func (w *Workload) logDir() string { return filepath.Join(w.env.StateDir, "logs") }

// prepareFolders makes the state folder and takes its lock.
func (w *Workload) prepareFolders() error {
	for _, dir := range []string{w.env.StateDir, w.instanceDir(), w.logDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("preparing the state folder of %s: %w", w.env.Rollout, err)
		}
	}
	path := filepath.Join(w.env.StateDir, "workload.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("locking the state folder of %s: %w", w.env.Rollout, err)
	}
	// A predecessor that hands over may need a moment to let go.
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			w.lock = f
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			f.Close()
			return fmt.Errorf("locking %s: %w (%w); end it, or use another state folder", path, ErrLocked, err)
		}
	}
}

func (w *Workload) unlock() { w.lock.Close() }

// initialMemory is what holds before any run: the file's versions.
func (w *Workload) initialMemory() memory {
	m := memory{Format: memoryFormat, Serving: remembered{ID: 1, Version: w.cfg.Stable.release()}, LastID: 1}
	if !w.cfg.Canary.isZero() {
		m.Candidate = &remembered{ID: 2, Version: w.cfg.Canary.release()}
		m.LastID = 2
	}
	return m
}

// recall loads the memory, or begins one from the file; known: there was one.
func (w *Workload) recall() (known bool, err error) {
	initial := w.initialMemory()
	m, found, err := statefile.Load(w.memoryFile(), memoryFormat, func(m memory) bool { return m.Serving.ID > 0 })
	if err != nil {
		return false, fmt.Errorf("reading which version of %s serves: %w", w.env.Rollout, err)
	}
	if !found {
		w.memory = initial
		<-w.remember()
		return false, nil
	}
	if w.env.Fresh {
		// New numbers, so that instances of before are strangers.
		initial.Serving.ID += m.LastID
		if initial.Candidate != nil {
			initial.Candidate.ID += m.LastID
		}
		initial.LastID += m.LastID
		w.memory = initial
		<-w.remember()
		return true, nil
	}
	w.memory = m
	saved := make(chan struct{})
	close(saved)
	w.note(saved)
	if m.Candidate == nil && initial.Candidate != nil && initial.Candidate.Version.Version != m.Serving.Version.Version {
		w.memory.Candidate = w.newGroup(initial.Candidate.Version)
		w.remember()
	}
	if m.Serving.Version.Version != w.cfg.Stable.Version && !m.Promoted {
		w.log.Info("the file's stable version is not the one that serves; the one that serves is kept",
			"file", w.cfg.Stable.Version, "serves", m.Serving.Version.Version)
	}
	return true, nil
}

// newGroup numbers a new group.
func (w *Workload) newGroup(v workload.Version) *remembered {
	return &remembered{ID: w.nextID(), Version: v}
}

// nextID is a number that no group has, not even one whose instances were taken
// over and of which the memory knows nothing.
func (w *Workload) nextID() int {
	for w.memory.LastID++; w.groups[w.memory.LastID] != nil; {
		w.memory.LastID++
	}
	return w.memory.LastID
}

// remember has the memory saved, and what it returns is closed when that has been
// tried. A full disk must not stop instances from being run or stopped, so it only
// complains; nor must one that hangs, so nobody waits for it who holds w.mu.
//
// Only a group's first process is not started before (group.noted): a later Serin
// would know nothing of the group and end it. All else that is behind when Serin is
// killed is made good by the run in the store, of which the workload is told again;
// so BeginRun, which comes before another run is there, waits.
func (w *Workload) remember() <-chan struct{} {
	done := w.disk.Save(w.memoryFile(), w.memory, func(err error) {
		w.log.Error("which version serves could not be saved; free some disk space, or a restart of Serin may go back to the one before",
			"file", w.memoryFile(), "error", err)
	})
	w.note(done)
	return done
}

// note takes note of when the groups that have become known are saved.
func (w *Workload) note(saved <-chan struct{}) {
	for _, id := range []int{w.memory.Serving.ID, w.candidateID(), w.memory.Baseline} {
		if id == 0 {
			continue // there is none
		}
		if g := w.group(id); g.noted == nil {
			g.noted = saved
		}
	}
}

// Serving implements workload.Releaser.
func (w *Workload) Serving() workload.Version {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.memory.Promoted && w.memory.Candidate != nil {
		return w.memory.Candidate.Version
	}
	return w.memory.Serving.Version
}

// BeginRun implements workload.Releaser.
func (w *Workload) BeginRun(candidate workload.Version) error {
	saved, prune, err := w.beginRun(candidate)
	if saved == nil || err != nil {
		return err
	}
	prune()
	w.tails.forget(w)
	<-saved // before there is a run that depends on it
	return nil
}

// beginRun makes candidate the canary group. saved is nil when it is that already,
// else closed once that has been saved, or could not be; prune removes the logs that
// the run has nothing to do with.
func (w *Workload) beginRun(candidate workload.Version) (saved <-chan struct{}, prune func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	refused := func(format string, args ...any) error {
		return fmt.Errorf("releasing %s of %s: %s: %w", candidate.Version, w.env.Rollout, fmt.Sprintf(format, args...), workload.ErrRefused)
	}
	if c := w.memory.Candidate; c != nil && w.memory.Begun {
		if c.Version.Same(candidate) {
			return nil, nil, nil
		}
		return nil, nil, refused("the run of %s has not ended", c.Version.Version)
	}
	if w.memory.Serving.Version.Version == candidate.Version {
		return nil, nil, fmt.Errorf("releasing %s of %s: %w", candidate.Version, w.env.Rollout, workload.ErrServing)
	}
	if err := w.refuses(candidate); err != "" {
		return nil, nil, refused("%s", err)
	}
	for _, i := range w.instances {
		if i.group.id == w.candidateID() && !i.stopRequested() {
			return nil, nil, refused("the file's own candidate %s is running", i.group.version.Version)
		}
	}
	w.memory.Candidate = w.newGroup(candidate)
	w.memory.Begun = true
	w.memory.Promoted = false
	prune = w.pruneLogs()
	w.memory.Compared = nil
	return w.remember(), prune, nil
}

// refuses says why a candidate cannot be run, if it cannot.
func (w *Workload) refuses(v workload.Version) string {
	cfg := w.cfg
	cfg.Stable = Version{Version: v.Version, Command: v.Command, Env: v.Env, Dir: v.Dir, Port: v.Port}
	cfg.Canary = Version{}
	for _, p := range cfg.Validate() {
		if !p.Warning {
			return strings.TrimPrefix(p.Field, "stable.") + " " + p.Message + "; " + p.Mend
		}
	}
	if v.Port != 0 && v.Port == w.memory.Serving.Version.Port {
		return "port is the serving version's, and both run at the same time; let the program take $(ADDR)"
	}
	return ""
}

// EndRun implements workload.Releaser.
func (w *Workload) EndRun(promoted bool) error {
	w.mu.Lock()
	c := w.memory.Candidate
	if c == nil {
		w.mu.Unlock()
		return nil
	}
	if promoted {
		w.memory.Serving = *c
	}
	w.memory.Candidate, w.memory.Baseline, w.memory.Begun, w.memory.Promoted = nil, 0, false, false
	saved := w.remember()
	for _, i := range w.instances {
		if i.group.id != w.memory.Serving.ID {
			i.requestStop()
		}
	}
	w.notify()
	w.mu.Unlock()
	w.disk.Await(saved)
	return nil
}

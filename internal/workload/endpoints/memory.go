package endpoints

import (
	"fmt"
	"strings"

	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/statefile"
)

// memory is what must outlive a restart of Serin: which version serves and
// which is the candidate.
type memory struct {
	Format    int               `json:"format"`
	Serving   workload.Version  `json:"serving"`
	Candidate *workload.Version `json:"candidate,omitempty"`
	// Begun says that Candidate came with BeginRun and not from the file.
	Begun    bool `json:"begun,omitempty"`
	Promoted bool `json:"promoted,omitempty"`
}

const memoryFormat = 1

// initialMemory is what holds before any run: the file's versions.
func (w *Workload) initialMemory() memory {
	m := memory{Format: memoryFormat, Serving: w.cfg.Stable.release()}
	if !w.cfg.Canary.isZero() {
		m.Candidate = new(w.cfg.Canary.release())
	}
	return m
}

// recall loads the memory, or begins one from the file.
func (w *Workload) recall() error {
	w.memory = w.initialMemory()
	if w.env.Fresh {
		<-w.remember()
		return nil
	}
	m, found, err := statefile.Load(w.memoryFile(), memoryFormat, func(m memory) bool { return len(m.Serving.URLs) > 0 })
	if err != nil {
		return fmt.Errorf("reading which version of %s serves: %w", w.env.Rollout, err)
	}
	if !found {
		<-w.remember()
		return nil
	}
	if c := w.memory.Candidate; m.Candidate == nil && c != nil && c.Version != m.Serving.Version {
		m.Candidate = c
	}
	w.memory = m
	if m.Serving.Version != w.cfg.Stable.Version && !m.Promoted {
		w.log.Info("the file's stable version is not the one that serves; the one that serves is kept",
			"file", w.cfg.Stable.Version, "serves", m.Serving.Version)
	}
	return nil
}

// remember has the memory saved, and what it returns is closed when that has been
// tried. A full disk must not stop a run, so it only complains; nor must one that
// hangs, so nobody waits for it who holds w.mu. What is behind when Serin is killed
// is made good by the run in the store, of which the workload is told again; so
// BeginRun, which comes before another run is there, waits.
func (w *Workload) remember() <-chan struct{} {
	return w.disk.Save(w.memoryFile(), w.memory, func(err error) {
		w.log.Error("which version serves could not be saved; free some disk space, or a restart of Serin may go back to the one before",
			"file", w.memoryFile(), "error", err)
	})
}

// Serving implements workload.Releaser.
func (w *Workload) Serving() workload.Version {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.memory.Promoted && w.memory.Candidate != nil {
		return *w.memory.Candidate
	}
	return w.memory.Serving
}

// BeginRun implements workload.Releaser.
func (w *Workload) BeginRun(candidate workload.Version) error {
	saved, err := w.beginRun(candidate)
	if saved != nil {
		<-saved // before there is a run that depends on it
	}
	return err
}

// beginRun makes candidate the canary group. What it returns is nil when it is that
// already, else closed once that has been saved, or could not be.
func (w *Workload) beginRun(candidate workload.Version) (saved <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	refused := func(format string, args ...any) error {
		return fmt.Errorf("releasing %s of %s: %s: %w", candidate.Version, w.env.Rollout, fmt.Sprintf(format, args...), workload.ErrRefused)
	}
	if c := w.memory.Candidate; c != nil && w.memory.Begun {
		if c.Same(candidate) {
			return nil, nil
		}
		return nil, refused("the run of %s has not ended", c.Version)
	}
	if w.memory.Serving.Version == candidate.Version {
		return nil, fmt.Errorf("releasing %s of %s: %w", candidate.Version, w.env.Rollout, workload.ErrServing)
	}
	check := Config{
		Stable: Version{Version: w.memory.Serving.Version, URLs: w.memory.Serving.URLs},
		Canary: Version{Version: candidate.Version, URLs: candidate.URLs},
		Health: w.cfg.Health,
	}
	for _, p := range check.Validate() {
		if field, ok := strings.CutPrefix(p.Field, "canary."); ok && !p.Warning {
			return nil, refused("%s %s; %s", field, p.Message, p.Mend)
		}
	}
	if w.canary != nil {
		return nil, refused("the file's own candidate is being watched")
	}
	w.memory.Candidate, w.memory.Begun, w.memory.Promoted = &candidate, true, false
	return w.remember(), nil
}

// EndRun implements workload.Releaser.
func (w *Workload) EndRun(promoted bool) error {
	w.mu.Lock()
	if w.memory.Candidate == nil {
		w.mu.Unlock()
		return nil
	}
	if promoted {
		w.memory.Serving = *w.memory.Candidate
		w.stable, w.canary = w.canary, w.stable // with what is known of its health
	}
	w.canary = w.watch(w.canary, nil, 0)
	w.memory.Candidate, w.memory.Begun, w.memory.Promoted = nil, false, false
	saved := w.remember()
	w.notify()
	w.mu.Unlock()
	w.disk.Await(saved)
	return nil
}

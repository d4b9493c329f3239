package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"serin.dev/serin/internal/exceptions"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/statefile"
)

// Bounds of what is read of one log: before a run, and between two calls.
const (
	historyBytes = 16 << 20
	readBytes    = 64 << 20
)

// tails is how far the logs of the instances have been read for exceptions. The
// places are kept in a file, so that a later Serin goes on where this one was.
type tails struct {
	mu    sync.Mutex
	logs  map[string]*tail
	begun bool
}

// tail is one instance's log.
type tail struct {
	reader *exceptions.Reader
	group  int
	offset int64
	// known are the classes of before the run, until they were told.
	known []exceptions.Seen
}

// place is how far one log has been read, as it is kept.
type place struct {
	Group  int   `json:"group"`
	Offset int64 `json:"offset"`
}

// Exceptions implements workload.Thrower. A stable instance's log of before the
// first call of a run only tells which classes are known; the canary's is new as
// a whole.
func (w *Workload) Exceptions(ctx context.Context) (map[rollout.Arm][]rollout.Exception, error) {
	arms := map[string]rollout.Arm{}
	groups, from := map[string]int{}, map[string]int64{}
	w.mu.Lock()
	serving, candidate, baseline := w.memory.Serving.ID, w.candidateID(), w.memory.Baseline
	for _, i := range w.instances {
		groups[i.name], from[i.name] = i.group.id, i.logFrom
	}
	w.mu.Unlock()

	t := &w.tails
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun {
		t.recall(w)
	}
	for name, id := range groups {
		if l := t.logs[name]; l == nil || l.group != id {
			t.logs[name] = w.openTail(name, id, from[name], id == serving)
		}
	}
	out := map[rollout.Arm][]rollout.Exception{}
	for _, name := range sortedNames(t.logs) {
		l := t.logs[name]
		switch l.group {
		case serving:
			arms[name] = rollout.Stable
		case candidate:
			arms[name] = rollout.Canary
		case baseline:
			arms[name] = rollout.Baseline
		default:
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := l.catchUp(w.logFile(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("reading the log of %s for exceptions: %w", name, err)
		}
		arm := arms[name]
		if out[arm] == nil {
			out[arm] = []rollout.Exception{}
		}
		seen, cut := l.reader.Take()
		if cut > 0 {
			w.log.Warn("an instance throws more classes of exceptions than are told apart", "instance", name, "beside", cut)
		}
		out[arm] = append(out[arm], workload.Thrown(name, seen, l.known, arm == rollout.Canary)...)
		l.known = nil
	}
	t.keep(w)
	return out, nil
}

func sortedNames(logs map[string]*tail) []string {
	names := make([]string, 0, len(logs))
	for name := range logs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// openTail begins with an instance's log. Of one that serves, what is there
// already is history.
func (w *Workload) openTail(name string, group int, from int64, serves bool) *tail {
	l := &tail{reader: exceptions.NewReader(), group: group, offset: from}
	if !serves {
		return l
	}
	for n := w.cfg.Logs.Keep; n >= 1; n-- {
		_, _ = l.read(fmt.Sprintf("%s.%d", w.logFile(name), n), 0, historyBytes) // what is not there tells nothing
	}
	if info, err := os.Stat(w.logFile(name)); err == nil {
		l.offset = max(0, info.Size()-historyBytes)
	}
	_ = l.catchUp(w.logFile(name))
	l.known, _ = l.reader.Take()
	return l
}

// catchUp reads what was written since the last call.
func (l *tail) catchUp(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < l.offset {
		// Somebody else emptied it.
		l.reader.Skip()
		l.offset = 0
	}
	if beyond := info.Size() - l.offset - readBytes; beyond > 0 {
		l.reader.Skip()
		l.offset += beyond
	}
	n, err := l.read(path, l.offset, readBytes)
	l.offset += n
	return err
}

// read shows the reader up to most bytes of a file.
func (l *tail) read(path string, from, most int64) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(struct{ io.Writer }{l.reader}, io.NewSectionReader(f, from, most))
}

// rotated reads the rest of a log that has just been rotated; the caller holds
// t.mu.
func (t *tails) rotated(name, path string) {
	l := t.logs[name]
	if l == nil {
		return
	}
	_, _ = l.read(path+".1", l.offset, readBytes) // without a copy there is no rest
	l.offset = 0
}

// forget ends a run: the next one begins with what is there then.
func (t *tails) forget(w *Workload) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logs, t.begun = map[string]*tail{}, true
	t.keep(w)
}

func (w *Workload) placesFile() string { return filepath.Join(w.env.StateDir, "exceptions.json") }

// recall goes on where an earlier Serin was.
func (t *tails) recall(w *Workload) {
	t.begun, t.logs = true, map[string]*tail{}
	data, err := os.ReadFile(w.placesFile())
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	places := map[string]place{}
	if err == nil {
		err = json.Unmarshal(data, &places)
	}
	if err != nil {
		w.log.Warn("how far the logs were read for exceptions is lost; they are read anew", "error", err)
		return
	}
	for name, p := range places {
		t.logs[name] = &tail{reader: exceptions.NewReader(), group: p.Group, offset: max(0, p.Offset)}
	}
}

// keep writes down how far the logs have been read.
func (t *tails) keep(w *Workload) {
	places := map[string]place{}
	for name, l := range t.logs {
		places[name] = place{l.group, l.offset}
	}
	data, err := json.Marshal(places)
	if err == nil {
		err = statefile.Replace(w.placesFile(), data, false)
	}
	if err != nil {
		w.log.Warn("how far the logs were read for exceptions could not be written down; a later Serin reads them anew", "error", err)
	}
}

package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload/statefile"
)

// hour keeps the logbook on disk, a line an entry, so that a restart of Serin
// does not forget it. Nothing rests on it: where it cannot be written or read, the
// hour before a run begins anew.
type hour struct {
	w       *Workload
	path    string
	entries chan entry
	// lines is how many the file has; torn says that the last one has no end.
	lines int
	torn  bool
	// failing says that the latest write failed, which is told once.
	failing bool
	ended   chan struct{} // closed when nothing is written any more
}

const (
	// mostHourLines is when the file is written anew with what is still needed.
	mostHourLines = 2 * rollout.HistoryTicks
	// mostHourBytes is how much of a file is read.
	mostHourBytes = 4 << 20
	// hourBacklog is how many entries may wait for the disk.
	hourBacklog = 8
	// hourPatience is how long the end of the workload waits for the disk.
	hourPatience = time.Second
)

// hourLine is a line of the file.
type hourLine struct {
	At     time.Time          `json:"at"`
	Group  int                `json:"group"`
	CPU    map[string]float64 `json:"cpu"`
	Memory map[string]float64 `json:"memory"`
}

func newHour(w *Workload) hour {
	return hour{w: w, path: filepath.Join(w.env.StateDir, "hour.jsonl"), entries: make(chan entry, hourBacklog), ended: make(chan struct{})}
}

// load reads the entries of the last hour of the group that serves. A line that
// cannot be one is left out: a crash may have cut the last.
func (h *hour) load(now time.Time, serving int) (log logbook) {
	f, err := os.Open(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var data []byte
	if err == nil {
		defer f.Close()
		data, err = io.ReadAll(io.LimitReader(f, mostHourBytes))
	}
	if err != nil {
		h.w.log.Warn("what stable used in the last hour could not be read; the next run is judged without it", "error", err)
	}
	h.torn = len(data) > 0 && data[len(data)-1] != '\n'
	for line := range bytes.Lines(data) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue // room at the end of a file that was written anew
		}
		h.lines++
		var l hourLine
		if json.Unmarshal(line, &l) != nil || l.Group != serving || l.At.After(now) || !plausible(l.CPU, mostCores) || !plausible(l.Memory, mostBytes) {
			continue
		}
		log.add(entry{l.At, l.Group, rollout.HistoryTick{CPU: l.CPU, Memory: l.Memory}})
	}
	if len(data) == mostHourBytes {
		h.lines = mostHourLines // not Serin's: it is written anew
	}
	return log
}

// What one instance can have used, far above any machine.
const (
	mostCores = 1e6
	mostBytes = 1e18
)

// plausible keeps a damaged file's figures out of a run: its first tick would be
// refused with them.
func plausible(use map[string]float64, most float64) bool {
	for _, v := range use {
		if v < 0 || v > most {
			return false
		}
	}
	return len(use) <= rollout.HistoryInstances
}

// forget drops what an earlier Serin kept, of groups that had other numbers.
func (h *hour) forget() {
	if err := os.Remove(h.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.w.log.Warn("what stable used in the last hour could not be removed", "error", err)
	}
}

// wait waits for those that are being written when the workload is closed, not for
// a disk that hangs: what it takes later is a line more.
func (h *hour) wait() {
	select {
	case <-h.ended:
	case <-time.After(hourPatience):
	}
}

// keep writes entries until the workload is closed, and then those that wait.
func (h *hour) keep() {
	defer close(h.ended)
	for {
		select {
		case e := <-h.entries:
			h.write(e)
		case <-h.w.ctx.Done():
			for {
				select {
				case e := <-h.entries:
					h.write(e)
				default:
					return
				}
			}
		}
	}
}

// write appends an entry. It need not survive a loss of power: no process does.
func (h *hour) write(e entry) {
	var err error
	if h.lines < mostHourLines {
		err = h.add(e)
	} else {
		h.w.usage.mu.Lock()
		log := append(logbook{}, h.w.usage.log...)
		h.w.usage.mu.Unlock()
		err = h.replace(log)
	}
	if err != nil && !h.failing {
		h.w.log.Warn("what stable uses could not be kept; after a restart of Serin the next run is judged without it", "error", err)
	}
	h.failing = err != nil
}

func (h *hour) add(e entry) error {
	line, err := lineOf(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if h.torn {
		line = append([]byte{'\n'}, line...)
	}
	_, err = f.Write(line)
	err = errors.Join(err, f.Close())
	h.torn = err != nil
	h.lines++
	return err
}

// replace writes the file anew.
func (h *hour) replace(log logbook) error {
	var all []byte
	for _, e := range log {
		line, err := lineOf(e)
		if err != nil {
			return err
		}
		all = append(all, line...)
	}
	err := statefile.Replace(h.path, all, false)
	if err == nil {
		h.lines, h.torn = len(log), false
	}
	return err
}

func lineOf(e entry) ([]byte, error) {
	data, err := json.Marshal(hourLine{e.at, e.group, e.CPU, e.Memory})
	if err != nil {
		return nil, fmt.Errorf("write what stable used: %w", err)
	}
	return append(data, '\n'), nil
}

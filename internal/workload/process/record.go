package process

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// record is the pid file of an instance: what a later Serin needs to take it
// over.
type record struct {
	Format  int    `json:"format"`
	Name    string `json:"name"`
	Group   int    `json:"group"`
	Version string `json:"version"`
	Port    int    `json:"port"`
	// PID and Start are zero while no process runs or has been seen to run.
	PID   int    `json:"pid,omitempty"`
	Start string `json:"start,omitempty"`
	// Restarts counts the ends by itself, Streak those in a row, Moves how
	// often it had to leave its port to another program.
	Restarts int `json:"restarts,omitempty"`
	Streak   int `json:"streak,omitempty"`
	Moves    int `json:"moves,omitempty"`
	// LogFrom is where in its log it began: what is before is an earlier one's.
	LogFrom int64 `json:"logFrom,omitempty"`
	// Stopping says that it was asked to end.
	Stopping bool `json:"stopping,omitempty"`
}

const (
	recordFormat = 1
	recordSuffix = ".json"
)

func (w *Workload) recordFile(name string) string {
	return filepath.Join(w.instanceDir(), name+recordSuffix)
}

// save writes the record. It need not survive a loss of power, which no process
// survives either. A disk that is full or hangs must not stop instances from being
// run or stopped: then the marker in the process's environment is what a later
// Serin finds it by.
func (i *instance) save() {
	fail := func(err error) {
		i.w.log.Warn("the pid file could not be written; the instance runs all the same", "instance", i.name, "error", err)
	}
	data, err := json.Marshal(i.record)
	if err != nil {
		fail(err)
		return
	}
	i.w.disk.Await(i.w.disk.Replace(i.w.recordFile(i.name), data, false, fail))
}

func (i *instance) removeRecord() {
	i.w.disk.Await(i.w.disk.Remove(i.w.recordFile(i.name), func(err error) {
		i.w.log.Warn("the pid file could not be removed", "instance", i.name, "error", err)
	}))
}

// readRecords returns the records left by an earlier Serin.
func (w *Workload) readRecords() []record {
	entries, err := os.ReadDir(w.instanceDir())
	if err != nil {
		w.log.Warn("the pid files could not be read; what runs is looked for by its marker", "error", err)
	}
	var records []record
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok {
			continue
		}
		r, err := w.readRecord(name)
		if err != nil {
			w.log.Warn("a pid file is damaged; its instance is looked for by its marker", "error", err)
			continue
		}
		records = append(records, r)
	}
	return records
}

func (w *Workload) readRecord(name string) (record, error) {
	path := w.recordFile(name)
	data, err := os.ReadFile(path)
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("reading %s: %w", path, err)
	}
	if r.Format > recordFormat || r.Name != name {
		return record{}, fmt.Errorf("reading %s: format %d of %q is not one of this Serin's", path, r.Format, r.Name)
	}
	return r, nil
}

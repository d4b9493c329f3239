package proxy

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
)

// remembered is the split in effect as far as a later Serin needs it.
type remembered struct {
	known    bool
	weight   int
	promoted bool
	// changes counts how often the split has changed.
	changes uint64
}

// weightFile remembers the weight in effect for the Serin that comes after a
// kill -9. Its few bytes are allocated at the beginning and written over in
// place, so that a full disk cannot keep a rollback from being remembered. It is
// never synced: what a loss of power takes, no request outlives.
type weightFile struct {
	f        *os.File // nil when it could not be made
	log      *slog.Logger
	last     remembered
	complain bool
}

const weightFormat = "serin proxy weight, format 2: known=%t weight=%d promoted=%t changes=%d"

// weightSize is the file's size for good.
const weightSize = 128

// openWeightFile opens the file, or makes it, and reads what it remembers.
func openWeightFile(path string, fresh bool, log *slog.Logger) (*weightFile, remembered) {
	w := &weightFile{log: log, complain: true}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		w.f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		log.Warn("the weight in effect cannot be remembered across a crash", "error", err)
		return w, remembered{}
	}
	if !fresh {
		w.last = w.read()
	}
	before := w.last
	w.put(before) // takes up the room, and repairs what was damaged
	return w, before
}

// read returns what the file remembers; nothing when it is damaged.
func (w *weightFile) read() remembered {
	data := make([]byte, weightSize)
	n, err := w.f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) || n == 0 {
		return remembered{}
	}
	var r remembered
	if _, err := fmt.Sscanf(string(data[:n]), weightFormat, &r.known, &r.weight, &r.promoted, &r.changes); err != nil || r.weight < 0 || r.weight > 100 {
		w.log.Warn("the weight that was in effect cannot be read", "file", w.f.Name(), "error", err)
		return remembered{}
	}
	return r
}

// write remembers r, whose changes are counted here. It never fails: a weight
// must not wait for a disk.
func (w *weightFile) write(r remembered) {
	r.changes = w.last.changes
	if w.f == nil || r == w.last {
		return
	}
	r.changes++
	w.last = r
	w.put(r)
}

func (w *weightFile) put(r remembered) {
	text := fmt.Sprintf(weightFormat, r.known, r.weight, r.promoted, r.changes)
	_, err := w.f.WriteAt([]byte(fmt.Sprintf("%-*s\n", weightSize-1, text)), 0)
	if err != nil && w.complain {
		w.complain = false // once is enough
		w.log.Warn("the weight in effect is not remembered across a crash", "file", w.f.Name(), "error", err)
	}
}

// revision changes with every change of the split; empty when none of them is
// remembered.
func (w *weightFile) revision() string {
	if w.f == nil || !w.complain {
		return ""
	}
	return strconv.FormatUint(w.last.changes, 10)
}

func (w *weightFile) close() {
	if w.f != nil {
		w.f.Close()
	}
}

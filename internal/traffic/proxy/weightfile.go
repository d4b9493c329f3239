package proxy

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
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
// never synced: what a loss of power takes, no request outlives. A disk that hangs
// is waited for no longer than diskTime; the latest weight is written once it goes
// on.
type weightFile struct {
	f    file // nil when it could not be made
	log  *slog.Logger
	last remembered

	mu       sync.Mutex
	complain bool
	next     *remembered   // is still to be written
	writing  chan struct{} // closed when all is; nil when nobody writes
}

// file is what of an os.File is needed.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Name() string
}

// diskTime is how long a weight waits to be remembered.
const diskTime = 50 * time.Millisecond

const weightFormat = "serin proxy weight, format 2: known=%t weight=%d promoted=%t changes=%d"

// weightSize is the file's size for good.
const weightSize = 128

// openWeightFile opens the file, or makes it, and reads what it remembers.
func openWeightFile(path string, fresh bool, log *slog.Logger) (*weightFile, remembered) {
	w := &weightFile{log: log, complain: true}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		log.Warn("the weight in effect cannot be remembered across a crash", "error", err)
		return w, remembered{}
	}
	w.f = f
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

// put writes r, after what is being written.
func (w *weightFile) put(r remembered) {
	w.mu.Lock()
	w.next = &r
	hangs, done := w.writing != nil, w.writing
	if !hangs {
		done = make(chan struct{})
		w.writing = done
		go w.writeAll(done)
	}
	w.mu.Unlock()
	if hangs {
		return
	}
	timer := time.NewTimer(diskTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		w.log.Warn("the disk hangs; the weight in effect is not remembered across a crash until it goes on", "file", w.f.Name())
	}
}

// writeAll writes until nothing is left to be written.
func (w *weightFile) writeAll(done chan struct{}) {
	defer close(done)
	for {
		w.mu.Lock()
		r := w.next
		w.next = nil
		if r == nil {
			w.writing = nil
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		text := fmt.Sprintf(weightFormat, r.known, r.weight, r.promoted, r.changes)
		_, err := w.f.WriteAt([]byte(fmt.Sprintf("%-*s\n", weightSize-1, text)), 0)
		w.mu.Lock()
		if err != nil && w.complain {
			w.complain = false // once is enough
			w.log.Warn("the weight in effect is not remembered across a crash", "file", w.f.Name(), "error", err)
		}
		w.mu.Unlock()
	}
}

// revision changes with every change of the split; empty when none of them is
// remembered, or the latest is not yet.
func (w *weightFile) revision() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f == nil || !w.complain || w.writing != nil {
		return ""
	}
	return strconv.FormatUint(w.last.changes, 10)
}

// close forgets what is still to be written: a successor has the file by then.
func (w *weightFile) close() {
	w.mu.Lock()
	w.next = nil
	w.mu.Unlock()
	if w.f != nil {
		w.f.Close()
	}
}

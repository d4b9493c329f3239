package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// patience is how long Await waits for a disk that may hang.
const patience = 50 * time.Millisecond

// Writer writes state files one after another, in the order in which they are
// given to it. Nobody has to wait for it: a disk may hang, in a system call even,
// which nothing ends. What a file is to hold meanwhile is written once the disk
// goes on, only the latest. A file that a Writer writes is written by nobody else.
type Writer struct {
	// Logger is told of a disk that hangs; nil discards it.
	Logger *slog.Logger

	mu      sync.Mutex
	pending map[string]change
	order   []string // of what is pending
	// hangs: a wait was in vain, and nothing has been written since.
	hangs bool
	idle  chan struct{} // closed when all is written; nil when nobody writes
}

// change is what becomes of one file.
type change struct {
	do   func() error
	fail func(error)
	done chan struct{}
}

// Save is the function Save, later: value is read at once. fail is told of an
// error. What it returns is closed once the value, or one for the same file that
// came after it, has been written, or could not be.
func (w *Writer) Save(path string, value any, fail func(error)) <-chan struct{} {
	data, err := json.Marshal(value)
	return w.put(path, func() error {
		if err != nil {
			return fmt.Errorf("saving %s: %w", path, err)
		}
		return Replace(path, data, true)
	}, fail)
}

// Replace is the function Replace, later; else it is like Save.
func (w *Writer) Replace(path string, data []byte, durable bool, fail func(error)) <-chan struct{} {
	return w.put(path, func() error { return Replace(path, data, durable) }, fail)
}

// Remove removes a file, if it is there; else it is like Save.
func (w *Writer) Remove(path string, fail func(error)) <-chan struct{} {
	return w.put(path, func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}, fail)
}

func (w *Writer) put(path string, do func() error, fail func(error)) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, again := w.pending[path]
	if !again {
		c.done = make(chan struct{})
		w.order = append(w.order, path)
	}
	c.do, c.fail = do, fail
	if w.pending == nil {
		w.pending = map[string]change{}
	}
	w.pending[path] = c
	if w.idle == nil {
		w.idle = make(chan struct{})
		go w.writeAll(w.idle)
	}
	return c.done
}

// writeAll writes until nothing is left to be written.
func (w *Writer) writeAll(idle chan struct{}) {
	defer close(idle)
	for {
		w.mu.Lock()
		if len(w.order) == 0 {
			w.idle = nil
			w.mu.Unlock()
			return
		}
		path := w.order[0]
		c := w.pending[path]
		w.order = w.order[1:]
		delete(w.pending, path)
		w.mu.Unlock()
		if err := c.do(); err != nil {
			c.fail(err)
		}
		w.mu.Lock()
		w.hangs = false
		w.mu.Unlock()
		close(c.done)
	}
}

// Await waits until done is closed, for 50 ms at most, and while the disk is
// known to hang not at all.
func (w *Writer) Await(done <-chan struct{}) {
	w.mu.Lock()
	hangs := w.hangs
	w.mu.Unlock()
	if hangs {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-done: // a moment ago
		return
	default:
	}
	if !w.hangs && w.Logger != nil {
		w.Logger.Warn("the disk is slow to take what a restart of Serin needs to know; all goes on without it")
	}
	w.hangs = true
}

// Drain waits until all that was given to the Writer has been written, or could
// not be.
func (w *Writer) Drain() {
	for {
		w.mu.Lock()
		idle := w.idle
		w.mu.Unlock()
		if idle == nil {
			return
		}
		<-idle
	}
}

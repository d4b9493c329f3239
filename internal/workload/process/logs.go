package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

const (
	logSuffix = ".log"
	// rotateEvery is how often the sizes of the logs are looked at. A log may
	// outgrow its limit by what is written in that time.
	rotateEvery = 500 * time.Millisecond
)

func (w *Workload) logFile(name string) string { return filepath.Join(w.logDir(), name+logSuffix) }

// openLog opens the file that an instance writes to by itself, so that it goes
// on being written while Serin is away. Without it the output is dropped: a
// full disk must not stop an instance from being run.
func (w *Workload) openLog(name string) (*os.File, error) {
	f, err := os.OpenFile(w.logFile(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		return f, nil
	}
	w.log.Warn("the log cannot be opened; the instance's output is dropped", "instance", name, "error", err)
	return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
}

// rotateLogs keeps the logs of running instances bounded.
func (w *Workload) rotateLogs() {
	look := time.NewTicker(rotateEvery)
	defer look.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-look.C:
		}
		w.mu.Lock()
		var names []string
		for _, i := range w.instances {
			names = append(names, i.name)
		}
		w.mu.Unlock()
		for _, name := range names {
			path := w.logFile(name)
			if info, err := os.Stat(path); err != nil || info.Size() < w.logLimit {
				continue
			}
			w.tails.mu.Lock()
			err := rotate(path, w.cfg.Logs.Keep)
			w.tails.rotated(name, path)
			w.tails.mu.Unlock()
			if err != nil {
				w.log.Warn("a log could not be kept on rotation and was emptied", "file", path, "error", err)
			}
		}
	}
}

// rotate copies a log to path.1, having moved path.1 to path.2 and so on, and
// empties it. The writer keeps its descriptor, which appends, so that it goes on
// at the new beginning; what it writes between the end of the copy and the
// emptying is lost. The log is emptied even when it could not be copied.
func rotate(path string, keep int) error {
	numbered := func(n int) string { return path + "." + strconv.Itoa(n) }
	var err error
	if keep > 0 {
		for n := keep - 1; n >= 1; n-- {
			if e := os.Rename(numbered(n), numbered(n+1)); e != nil && !os.IsNotExist(e) {
				err = errors.Join(err, e)
			}
		}
		err = errors.Join(err, copyFile(path, numbered(1)))
	}
	return errors.Join(err, os.Truncate(path, 0))
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	// No more than it holds now: a writer as fast as the copy would never let
	// it end.
	info, err := in.Stat()
	if err == nil {
		_, err = io.CopyN(out, in, info.Size())
	}
	if err = errors.Join(err, out.Close()); err != nil {
		os.Remove(to)
	}
	return err
}

// logName takes the name of a log file apart: instance name, version's number
// of instance, rotation.
var logName = regexp.MustCompile(`^(.+)-(\d+)\.log(?:\.(\d+))?$`)

// logsOf returns the log files of a version's instances of which of says so, by
// instance and oldest first.
func (w *Workload) logsOf(version string, of func(instance string) bool) ([]string, error) {
	entries, err := os.ReadDir(w.logDir())
	if err != nil {
		return nil, fmt.Errorf("listing the logs of %s: %w", w.env.Rollout, err)
	}
	type file struct {
		name               string
		instance, rotation int
	}
	var files []file
	for _, e := range entries {
		m := logName.FindStringSubmatch(e.Name())
		if m == nil || m[1] != w.env.Rollout+"-"+version || !of(m[1]+"-"+m[2]) {
			continue
		}
		instance, _ := strconv.Atoi(m[2])
		rotation, _ := strconv.Atoi(m[3]) // 0 for the current file
		files = append(files, file{e.Name(), instance, rotation})
	}
	slices.SortFunc(files, func(a, b file) int {
		if a.instance != b.instance {
			return a.instance - b.instance
		}
		return b.rotation - a.rotation
	})
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.name
	}
	return names, nil
}

// Logs implements workload.Logger. Rotated files are called shop-v2-0.log.1,
// the oldest with the highest number.
func (w *Workload) Logs(ctx context.Context, arm rollout.Arm, sink workload.Sink) error {
	w.mu.Lock()
	version := w.memory.Serving.Version.Version
	if arm == rollout.Canary {
		if w.memory.Candidate == nil {
			w.mu.Unlock()
			return nil
		}
		version = w.memory.Candidate.Version.Version
	}
	compared := w.comparedAlone()
	w.mu.Unlock()
	names, err := w.logsOf(version, func(instance string) bool {
		return arm == rollout.Canary || compared[instance] == (arm == rollout.Baseline)
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("reading the logs of %s: %w", version, err)
		}
		open := func() (io.ReadCloser, error) { return os.Open(filepath.Join(w.logDir(), name)) }
		if err := sink(name, open); err != nil {
			return fmt.Errorf("reading log %s: %w", name, err)
		}
	}
	return nil
}

// comparedAlone are the names that instances of a baseline have had and no
// instance of stable's has now; the caller holds w.mu.
func (w *Workload) comparedAlone() map[string]bool {
	names := map[string]bool{}
	for _, name := range w.memory.Compared {
		names[name] = true
	}
	for _, i := range w.instances {
		if i.group.id == w.memory.Serving.ID {
			delete(names, i.name)
		}
	}
	return names
}

// pruneLogs returns what removes the logs of versions that a new run has nothing to
// do with, and those of the candidate's and the baseline's earlier attempts; the
// caller holds w.mu, and lets go of it before a disk may be slow.
func (w *Workload) pruneLogs() (prune func()) {
	compared := w.comparedAlone()
	keep := map[string]bool{}
	for _, i := range w.instances {
		keep[i.name] = true
	}
	serving := w.env.Rollout + "-" + w.memory.Serving.Version.Version
	return func() {
		entries, _ := os.ReadDir(w.logDir()) // nothing to remove where nothing can be read
		for _, e := range entries {
			m := logName.FindStringSubmatch(e.Name())
			if m == nil {
				continue
			}
			name := m[1] + "-" + m[2]
			if keep[name] || m[1] == serving && !compared[name] {
				continue
			}
			if err := os.Remove(filepath.Join(w.logDir(), e.Name())); err != nil {
				w.log.Warn("an old log could not be removed", "error", err)
			}
		}
	}
}

// lastLine returns what an instance wrote last, from offset on, shortened; of
// a Go program that panicked, what it panicked with.
func (w *Workload) lastLine(name string, from int64) string {
	f, err := os.Open(w.logFile(name))
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	if info.Size() < from {
		from = 0 // rotated meanwhile
	}
	const tail = 16 << 10
	from = max(from, info.Size()-tail)
	data, _ := io.ReadAll(io.NewSectionReader(f, from, tail)) // what could be read will do
	var last string
	for line := range bytes.Lines(data) {
		text := strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return ' '
		}, string(line)))
		if text == "" {
			continue
		}
		last = text
		if strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ") {
			break
		}
	}
	if len(last) > 300 {
		last = strings.ToValidUTF8(last[:300], "") + "…"
	}
	return last
}

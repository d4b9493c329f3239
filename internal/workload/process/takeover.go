package process

import (
	"cmp"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// firstLook bounds how long New waits for the first probes of what it took
// over, so that the first Observe does not call a working group unready. Tests on
// a busy machine wait longer.
var firstLook = 300 * time.Millisecond

// takeOver finds the instances that an earlier Serin left: by their records,
// and where those are missing or behind, by the marker in their environment.
// What belongs to no group of now is asked to end.
func (w *Workload) takeOver() {
	awaitFirstLook(w.adoptAll())
}

func (w *Workload) adoptAll() (adopted []*instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	strays := w.strays()
	for _, r := range w.readRecords() {
		p := w.findProcess(&r, strays)
		if p == nil {
			w.bury(r)
			continue
		}
		adopted = append(adopted, w.adopt(r, p))
	}
	for _, s := range strays {
		w.log.Warn("took over an instance that has no pid file", "instance", s.record.Name, "pid", s.record.PID)
		adopted = append(adopted, w.adopt(s.record, s.process()))
	}
	slices.SortStableFunc(w.instances, func(a, b *instance) int { return cmp.Compare(a.name, b.name) })
	return adopted
}

// stray is a process of ours that was found by its marker.
type stray struct{ record record }

func (s stray) process() *process {
	return &process{pid: s.record.PID, start: s.record.Start, since: time.Now(), exited: make(chan struct{})}
}

// strays returns the processes that bear this workload's marker, by name.
func (w *Workload) strays() map[string]stray {
	found := map[string]stray{}
	for pid, env := range leaders(w.key + "/") {
		start, err := startTime(pid)
		if err != nil {
			continue // ended meanwhile
		}
		name := strings.TrimPrefix(env[markerEnv], w.key+"/")
		id, _ := strconv.Atoi(env[groupEnv])
		_, portText, _ := net.SplitHostPort(env[addrEnv])
		port, _ := strconv.Atoi(portText)
		if other, ok := found[name]; ok && other.record.PID < pid {
			continue // of two, the later one is a descendant
		}
		found[name] = stray{record{Format: recordFormat, Name: name, Group: id, Version: env[versionEnv], Port: port, PID: pid, Start: start}}
	}
	return found
}

// findProcess returns the process of a record, nil when there is none any more.
// It takes the strays of that name off the list.
func (w *Workload) findProcess(r *record, strays map[string]stray) *process {
	s, marked := strays[r.Name]
	delete(strays, r.Name)
	if isProcess(r.PID, r.Start) {
		return &process{pid: r.PID, start: r.Start, since: time.Now(), exited: make(chan struct{})}
	}
	if !marked {
		return nil
	}
	// Serin died between starting it and writing that down.
	r.PID, r.Start = s.record.PID, s.record.Start
	r.Group, r.Version, r.Port = s.record.Group, s.record.Version, s.record.Port
	return s.process()
}

// adopt makes an instance of a process that runs already; the caller holds
// w.mu.
func (w *Workload) adopt(r record, p *process) *instance {
	g := w.group(r.Group)
	i := w.newInstance(g, r.Name)
	i.record = r
	i.logFrom = r.LogFrom
	i.process = p
	i.everReady = true
	i.url = "http://" + i.address()
	w.ports.hold(i.name, r.Port)
	g.restarts += r.Restarts
	if r.Stopping || r.Version != g.version.Version {
		i.stopping = true
		close(i.stop)
	}
	i.save()
	w.instances = append(w.instances, i)
	w.running.Go(func() { p.await(w.ctx) })
	w.running.Go(func() { i.supervise(p) })
	w.log.Info("took over instance", "instance", i.name, "pid", p.pid, "stopping", i.stopping)
	return i
}

// bury drops the record of an instance whose process is gone. What it left
// behind is killed; how often it ended is kept for the instance that follows.
// The caller holds w.mu.
func (w *Workload) bury(r record) {
	if start, err := startTime(r.PID); r.PID != 0 && err == nil && start == r.Start {
		reapAdopted(r.PID) // a zombie of ours, when Serin replaced itself by exec
	}
	for _, pid := range marked(w.key+"/"+r.Name, 0) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	if g := w.group(r.Group); r.Version == g.version.Version && !r.Stopping {
		if r.PID != 0 {
			r.Restarts++
			g.trouble = r.Name + " ended while Serin was away"
		}
		g.restarts += r.Restarts
		w.buried[r.Name] = r
	}
	if err := os.Remove(w.recordFile(r.Name)); err != nil && !os.IsNotExist(err) {
		w.log.Warn("an old pid file could not be removed", "instance", r.Name, "error", err)
	}
}

func awaitFirstLook(adopted []*instance) {
	deadline := time.Now().Add(firstLook)
	for _, i := range adopted {
		for !i.stopRequested() && !i.status().ready && time.Now().Before(deadline) {
			time.Sleep(2 * time.Millisecond)
		}
	}
}

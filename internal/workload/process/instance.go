package process

import (
	"net"
	"os"
	"strconv"
	"sync"
)

// instance is one named place in a group and the processes that fill it one
// after another. One goroutine, supervise, moves it through its life.
type instance struct {
	w     *Workload
	name  string
	group *group

	stop chan struct{} // closed by requestStop
	done chan struct{} // closed when supervise has returned
	// logFrom is where in its log it began.
	logFrom int64

	// record belongs to supervise alone, so that it can be written to a slow
	// disk while others look at the rest.
	record record

	mu        sync.Mutex
	stopping  bool
	process   *process // nil while none runs
	url       string   // empty until it has a port
	ready     bool
	everReady bool // since the latest start
	failure   string
	detail    string
}

// status is what Observe tells of an instance.
type status struct {
	url     string
	ready   bool
	failure string
	detail  string
}

func (w *Workload) newInstance(g *group, name string) *instance {
	i := &instance{
		w:      w,
		name:   name,
		group:  g,
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		record: record{Format: recordFormat, Name: name, Group: g.id, Version: g.version.Version},
	}
	// One of that name may have ended while Serin was away.
	if r, ok := w.buried[name]; ok && r.Group == g.id {
		i.record.Port, i.record.Restarts, i.record.Streak, i.record.LogFrom = r.Port, r.Restarts, r.Streak, r.LogFrom
		delete(w.buried, name)
	} else if info, err := os.Stat(w.logFile(name)); err == nil {
		i.record.LogFrom = info.Size()
	}
	i.logFrom = i.record.LogFrom
	return i
}

// change runs f with the fields that others look at.
func (i *instance) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// requestStop asks the instance to end; it returns at once.
func (i *instance) requestStop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.stopping {
		i.stopping = true
		close(i.stop)
		i.w.notify()
	}
}

func (i *instance) stopRequested() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stopping
}

func (i *instance) status() status {
	i.mu.Lock()
	defer i.mu.Unlock()
	return status{url: i.url, ready: i.ready, failure: i.failure, detail: i.detail}
}

func (i *instance) wasReady() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.everReady
}

// address is host:port, for supervise.
func (i *instance) address() string {
	return net.JoinHostPort(host, strconv.Itoa(i.record.Port))
}

// remove takes a stopped instance off the list.
func (w *Workload) remove(gone *instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, i := range w.instances {
		if i == gone {
			w.instances = append(w.instances[:n:n], w.instances[n+1:]...)
			break
		}
	}
	w.notify()
}

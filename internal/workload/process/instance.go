package process

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"serin.dev/serin/internal/workload/probe"
)

// instance is one named place in a group and the processes that fill it one
// after another. One goroutine, supervise, moves it through its life.
type instance struct {
	w     *Workload
	name  string
	group *group

	stop chan struct{} // closed by requestStop
	done chan struct{} // closed when supervise has returned

	mu        sync.Mutex
	stopping  bool
	record    record
	process   *process // nil while none runs
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
		i.record.Port, i.record.Restarts, i.record.Streak = r.Port, r.Restarts, r.Streak
		delete(w.buried, name)
	}
	return i
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
	s := status{ready: i.ready, failure: i.failure, detail: i.detail}
	if i.record.Port != 0 {
		s.url = "http://" + i.address()
	}
	return s
}

// address is host:port; the caller holds i.mu or is supervise.
func (i *instance) address() string {
	return net.JoinHostPort(host, strconv.Itoa(i.record.Port))
}

// supervise runs the instance until it is stopped or Serin lets go of it.
// Running is a process that was taken over, or nil.
func (i *instance) supervise(running *process) {
	defer close(i.done)
	for {
		if running == nil && !i.stopRequested() && i.w.ctx.Err() == nil {
			running = i.start()
		}
		if running == nil {
			if !i.pause() {
				i.leave(nil)
				return
			}
			continue
		}
		switch i.watch(running) {
		case letGo:
			return
		case stopped:
			i.leave(running)
			return
		case ended:
			i.ended(running)
			running = nil
			if !i.pause() {
				i.leave(nil)
				return
			}
		}
	}
}

// outcome is how watching a process came to its end.
type outcome int

const (
	ended   outcome = iota // by itself
	stopped                // is to be stopped
	letGo                  // Serin closes and the process goes on
)

// watch probes a running process until something happens to it.
func (i *instance) watch(p *process) outcome {
	ctx, cancel := context.WithCancel(i.w.ctx)
	var probing sync.WaitGroup
	probing.Go(func() { i.prober().Watch(ctx, func(r probe.Result) { i.probed(p, r) }) })
	defer probing.Wait()
	defer cancel()

	settled := time.NewTimer(time.Duration(i.w.cfg.Restart.ResetAfter))
	defer settled.Stop()
	for {
		select {
		case <-p.exited:
			return ended
		case <-i.stop:
			return stopped
		case <-i.w.ctx.Done():
			return letGo
		case <-settled.C:
			if !i.settle() {
				settled.Reset(time.Duration(i.w.cfg.Restart.ResetAfter))
			}
		}
	}
}

func (i *instance) prober() probe.Probe {
	r := i.w.cfg.Readiness
	i.mu.Lock()
	defer i.mu.Unlock()
	url := "tcp://" + i.address()
	if r.Path != "" {
		url = "http://" + i.address() + r.Path
	}
	return probe.Probe{
		URL:          url,
		InitialDelay: time.Duration(r.InitialDelay),
		Interval:     time.Duration(r.Interval),
		Timeout:      time.Duration(r.Timeout),
		Successes:    r.Successes,
		Failures:     r.Failures,
		Ready:        i.ready,
	}
}

// probed takes a result of the readiness probe.
func (i *instance) probed(p *process, r probe.Result) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.process != p {
		return // it has ended meanwhile
	}
	if r.Err != nil {
		i.detail = fmt.Sprintf("%s is not ready: %v", i.name, r.Err)
	}
	if i.ready == r.Ready {
		return
	}
	i.ready = r.Ready
	if r.Ready {
		i.everReady = true
		i.detail = ""
		i.w.log.Info("instance is ready", "instance", i.name, "url", "http://"+i.address(), "after", time.Since(p.since).Round(time.Millisecond))
	} else {
		i.w.log.Warn("instance is no longer ready", "instance", i.name, "error", r.Err)
	}
	i.w.notify()
}

// settle forgets earlier trouble of an instance that has run well for a while.
func (i *instance) settle() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.ready {
		return false
	}
	if i.record.Streak > 0 || i.record.Moves > 0 || i.failure != "" {
		i.record.Streak, i.record.Moves, i.failure = 0, 0, ""
		i.save()
		i.w.notify()
	}
	return true
}

// pause waits before the next start. It says whether there is to be one.
func (i *instance) pause() bool {
	i.mu.Lock()
	streak := i.record.Streak
	i.mu.Unlock()
	wait := time.NewTimer(i.w.backoff(streak))
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-i.stop:
		return false
	case <-i.w.ctx.Done():
		return false
	}
}

// backoff is the pause after streak ends in a row.
func (w *Workload) backoff(streak int) time.Duration {
	if streak == 0 {
		return 0
	}
	limit := time.Duration(w.cfg.Restart.MaxBackoff)
	d := time.Duration(w.cfg.Restart.Backoff)
	for ; streak > 1 && d < limit; streak-- {
		d *= 2
	}
	return min(d, limit)
}

// ended takes note of a process that ended by itself.
func (i *instance) ended(p *process) {
	p.killRemains(i.marker())
	i.mu.Lock()
	i.process, i.ready = nil, false
	last := i.w.lastLine(i.name, p.logFrom)
	text := fmt.Sprintf("%s ended by itself: %s", i.name, p.describe(last))
	if i.movePort() {
		// Somebody else took the port between two starts: not its fault.
		i.w.log.Warn("instance lost its port to another program and gets a new one", "instance", i.name, "port", i.record.Port)
		i.detail = text
		i.save()
		i.mu.Unlock()
		i.w.trouble(i.group, text, true)
		return
	}
	if time.Since(p.since) >= time.Duration(i.w.cfg.Restart.ResetAfter) {
		i.record.Streak, i.failure = 0, ""
	}
	i.record.Streak++
	i.record.Restarts++
	i.record.PID, i.record.Start = 0, ""
	i.detail = text
	if i.record.Streak >= i.w.cfg.Restart.Max {
		i.failure = fmt.Sprintf("crash loop: %s ended by itself %d times in a row, last with %s", i.name, i.record.Streak, p.describe(last))
	}
	i.save()
	i.mu.Unlock()
	i.w.log.Warn("instance ended by itself", "instance", i.name, "how", p.describe(last), "inARow", i.record.Streak)
	i.w.trouble(i.group, text, true)
}

// trouble takes note of what went wrong in a group.
func (w *Workload) trouble(g *group, text string, restart bool) {
	w.mu.Lock()
	if restart {
		g.restarts++
	}
	g.trouble = text
	w.mu.Unlock()
	w.notify()
}

// leave ends what is left of a stopped instance and removes it. When Serin
// closes meanwhile, the next one goes on with it.
func (i *instance) leave(p *process) {
	if i.w.ctx.Err() != nil && p == nil {
		return // closed in a pause: nothing runs, the record stays
	}
	i.mu.Lock()
	i.ready = false
	i.record.Stopping = true
	i.save()
	i.mu.Unlock()
	if p != nil {
		i.w.log.Info("stopping instance", "instance", i.name)
		if !p.end(i.w.ctx, i.w.signal, time.Duration(i.w.cfg.Stop.Grace), i.marker()) {
			return
		}
	}
	i.mu.Lock()
	i.process = nil
	i.mu.Unlock()
	i.removeRecord()
	i.w.ports.release(i.name)
	i.w.remove(i)
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

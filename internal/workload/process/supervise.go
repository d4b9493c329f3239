package process

import (
	"context"
	"fmt"
	"sync"
	"time"

	"serin.dev/serin/internal/workload/probe"
)

// supervise runs the instance until it is stopped or Serin lets go of it.
// Running is a process that was taken over, or nil.
func (i *instance) supervise(running *process) {
	defer close(i.done)
	for {
		if running == nil {
			if !i.pause() {
				i.leave(nil)
				return
			}
			running = i.start()
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
	prober := i.prober()
	var probing sync.WaitGroup
	probing.Go(func() { prober.Watch(ctx, func(r probe.Result) { i.probed(p, r) }) })
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
		i.w.log.Info("instance is ready", "instance", i.name, "url", i.url, "after", time.Since(p.since).Round(time.Millisecond))
	} else {
		i.w.log.Warn("instance is no longer ready", "instance", i.name, "error", r.Err)
	}
	i.w.notify()
}

// settle forgets earlier trouble of an instance that has run well for a while.
func (i *instance) settle() bool {
	if !i.status().ready {
		return false
	}
	if i.record.Streak > 0 || i.record.Moves > 0 {
		i.record.Streak, i.record.Moves = 0, 0
		i.save()
	}
	i.change(func() { i.failure = "" })
	i.w.notify()
	return true
}

// pause waits before the next start, not at all when the last one went well, and
// before a group's first one until a later Serin would know the group. It says
// whether there is to be one.
func (i *instance) pause() bool {
	if i.stopRequested() || i.w.ctx.Err() != nil {
		return false
	}
	wait := time.NewTimer(i.w.backoff(i.record.Streak))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-i.stop:
		return false
	case <-i.w.ctx.Done():
		return false
	}
	if i.group.noted == nil {
		return true
	}
	select {
	case <-i.group.noted:
		return true
	default:
	}
	i.change(func() { i.detail = i.name + " waits for the disk: that it is there cannot be written down yet" })
	select {
	case <-i.group.noted:
		i.change(func() { i.detail = "" })
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

// start starts the instance's process. On failure it takes note and returns
// nil.
func (i *instance) start() *process {
	p, err := i.spawn()
	if err == nil {
		i.change(func() { i.process, i.everReady = p, false })
		i.w.log.Info("instance started", "instance", i.name, "pid", p.pid, "addr", i.address())
		i.w.notify()
		return p
	}
	i.record.Streak++
	text := fmt.Sprintf("%s cannot be started: %v", i.name, err)
	i.change(func() {
		i.detail = text
		if hopeless(err) || i.record.Streak >= i.w.cfg.Restart.Max {
			i.failure = text
		}
	})
	i.w.log.Error("instance cannot be started", "instance", i.name, "error", err)
	i.w.trouble(i.group, text, false)
	return nil
}

// ended takes note of a process that ended by itself.
func (i *instance) ended(p *process) {
	i.change(func() { i.process, i.ready = nil, false })
	i.w.notify() // at once: the router should know before the rest is done
	p.killRemains(i.marker())

	how := p.describe(i.w.lastLine(i.name, p.logFrom))
	text := fmt.Sprintf("%s ended by itself: %s", i.name, how)
	failure := ""
	i.record.Restarts++
	i.record.PID, i.record.Start = 0, ""
	if i.movePort() {
		// Somebody else took the port between two starts: not its fault.
		i.w.log.Warn("instance lost its port to another program and gets a new one", "instance", i.name, "port", i.record.Port)
	} else {
		if time.Since(p.since) >= time.Duration(i.w.cfg.Restart.ResetAfter) {
			i.record.Streak = 0
		}
		i.record.Streak++
		if i.record.Streak >= i.w.cfg.Restart.Max {
			failure = fmt.Sprintf("crash loop: %s ended by itself %d times in a row, last with %s", i.name, i.record.Streak, how)
			if p.how == endedWell {
				failure += "; a server must stay in the foreground"
			}
		}
		i.w.log.Warn("instance ended by itself", "instance", i.name, "how", how, "inARow", i.record.Streak)
	}
	i.save()
	i.change(func() { i.detail, i.failure = text, failure })
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
	i.change(func() { i.ready = false })
	i.record.Stopping = true
	i.save()
	if p != nil {
		i.w.log.Info("stopping instance", "instance", i.name)
		if !p.end(i.w.ctx, i.w.signal, time.Duration(i.w.cfg.Stop.Grace), i.marker()) {
			return
		}
	}
	i.change(func() { i.process = nil })
	i.removeRecord()
	i.w.ports.release(i.name)
	i.w.remove(i)
}

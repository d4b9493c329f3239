package process

import (
	"context"
	"sync"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// meter remembers what every process had used at the last call.
type meter struct {
	mu   sync.Mutex
	at   time.Time
	used map[processID]float64 // seconds of processor time
	log  logbook
}

type processID struct {
	pid   int
	start string
}

// Usage implements workload.Meter. An instance's figures are those of its
// process and all processes in its session. The first call has no processor
// times, for there is no interval yet.
func (w *Workload) Usage(ctx context.Context) (map[rollout.Arm]workload.Usage, error) {
	type member struct {
		arm  rollout.Arm
		name string
		p    *process
	}
	var members []member
	w.mu.Lock()
	for _, i := range w.instances {
		arm := rollout.Stable
		if i.group.id == w.candidateID() {
			arm = rollout.Canary
		} else if i.group.id == w.memory.Baseline {
			arm = rollout.Baseline
		} else if i.group.id != w.memory.Serving.ID {
			continue
		}
		i.mu.Lock()
		if i.process != nil && !i.stopping {
			members = append(members, member{arm, i.name, i.process})
		}
		i.mu.Unlock()
	}
	serving := w.memory.Serving.ID
	w.mu.Unlock()
	leaders := map[int]string{}
	for _, e := range members {
		leaders[e.p.pid] = e.p.start
	}
	sessions := sessionsOf(leaders)

	m := &w.usage
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	elapsed := now.Sub(m.at).Seconds()
	first := m.at.IsZero()
	used := map[processID]float64{}
	out := map[rollout.Arm]workload.Usage{}
	for _, e := range members {
		u, ok := out[e.arm]
		if !ok {
			u = workload.Usage{CPU: map[string]float64{}, Memory: map[string]float64{}, MemoryLimit: map[string]float64{}}
			out[e.arm] = u
		}
		if !isProcess(e.p.pid, e.p.start) {
			continue
		}
		var cores, bytes float64
		for _, pid := range append([]int{e.p.pid}, sessions[e.p.pid]...) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			start, err := startTime(pid)
			if err != nil {
				continue // ended meanwhile
			}
			seconds, resident, err := consumption(ctx, pid)
			if err != nil {
				continue
			}
			id := processID{pid, start}
			used[id] = seconds
			bytes += resident
			// What was not there the last time has used all of it since.
			cores += max(0, seconds-m.used[id]) / elapsed
		}
		u.Memory[e.name] = bytes
		if limit := memoryLimit(e.p.pid); limit > 0 {
			u.MemoryLimit[e.name] = limit
		}
		if !first && elapsed > 0 {
			u.CPU[e.name] = cores
		}
	}
	m.at, m.used = now, used
	stable := out[rollout.Stable]
	e := newEntry(now, serving, stable.CPU, stable.Memory)
	m.log.add(e)
	select {
	case w.hour.entries <- e:
	default: // a disk that hangs must not keep a tick waiting
	}
	return out, nil
}

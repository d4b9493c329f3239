package process

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

var _ workload.Historian = (*Workload)(nil)

// logbook is what stable's instances used lately, as often as somebody asked.
type logbook []entry

type entry struct {
	at time.Time
	// group is the one that served.
	group int
	rollout.HistoryTick
}

// newEntry keeps of the first instances by name what a history would, so that
// what is kept on disk is the same.
func newEntry(at time.Time, group int, cpu, memory map[string]float64) entry {
	const parts = 1e7 // of a core
	e := entry{at: at.Round(0), group: group, HistoryTick: rollout.HistoryTick{CPU: map[string]float64{}, Memory: map[string]float64{}}}
	names := slices.Sorted(maps.Keys(memory))
	for _, name := range names[:min(len(names), rollout.HistoryInstances)] {
		e.Memory[name] = memory[name]
		if cores, ok := cpu[name]; ok {
			e.CPU[name] = math.Round(cores*parts) / parts
		}
	}
	return e
}

// add forgets what is too long ago, or of a group that does not serve any more.
func (l *logbook) add(e entry) {
	*l = slices.DeleteFunc(*l, func(old entry) bool {
		return old.group != e.group || e.at.Sub(old.at) > rollout.HistorySpan || old.at.After(e.at)
	})
	*l = append((*l)[max(0, len(*l)+1-rollout.HistoryTicks):], e)
}

// ticks puts the entries into ticks up to now; one without an entry is empty.
func (l logbook) ticks(group int, now time.Time, tick time.Duration) []rollout.HistoryTick {
	var out []rollout.HistoryTick
	for _, e := range l {
		back := int(now.Sub(e.at) / tick)
		if e.group != group || back < 0 || back >= rollout.HistoryTicks {
			continue
		}
		if len(out) == 0 {
			out = make([]rollout.HistoryTick, back+1)
		}
		if i := len(out) - 1 - back; i >= 0 {
			out[i] = e.HistoryTick
		}
	}
	return out
}

// History implements workload.Historian. What is known is what Usage was asked
// for.
func (w *Workload) History(_ context.Context, now time.Time, tick time.Duration) (*rollout.History, error) {
	if tick <= 0 {
		return nil, nil
	}
	w.mu.Lock()
	serving := w.memory.Serving.ID
	w.mu.Unlock()
	w.usage.mu.Lock()
	defer w.usage.mu.Unlock()
	return rollout.NewHistory(tick, w.usage.log.ticks(serving, now, tick)), nil
}

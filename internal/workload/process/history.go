package process

import (
	"context"
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

package rollout

import (
	"maps"
	"math"
	"slices"
	"time"
)

// History is what stable's instances used before the run, a figure a tick.
type History struct {
	// Interval is how long a tick lasts.
	Interval Duration `json:"interval"`
	// CPU is in cores, Memory in bytes, by instance: the oldest first, the last of
	// every instance at one time. An instance that began later has fewer.
	CPU    map[string][]float64 `json:"cpu,omitempty"`
	Memory map[string][]float64 `json:"memory,omitempty"`
}

const (
	// HistoryTicks and HistoryInstances are the most that a history holds: more
	// would say little more.
	HistoryTicks     = 360
	HistoryInstances = 16
	// HistorySpan is how far back it reaches.
	HistorySpan = time.Hour
	// historyGap is how many ticks an instance's figure may stand in for one that
	// is missing.
	historyGap = 3
	// historyDigits is how many digits a figure keeps.
	historyDigits = 4
)

// HistoryTick is what instances used in one tick, by name.
type HistoryTick struct{ CPU, Memory map[string]float64 }

// NewHistory makes a history of ticks, the oldest first and the last at the run's
// beginning; nil when there is nothing in them.
func NewHistory(interval time.Duration, ticks []HistoryTick) *History {
	ticks = ticks[max(0, len(ticks)-HistoryTicks):]
	h := &History{Interval: Duration(interval)}
	h.CPU = followed(ticks, func(t HistoryTick) map[string]float64 { return t.CPU }, 0)
	h.Memory = followed(ticks, func(t HistoryTick) map[string]float64 { return t.Memory }, 1)
	if len(h.CPU)+len(h.Memory) == 0 {
		return nil
	}
	return h
}

// followed lists what each of the first instances by name used in the ticks that
// have figures, back from the last to the instance's first gap. A figure below
// least is none.
func followed(ticks []HistoryTick, of func(HistoryTick) map[string]float64, least float64) map[string][]float64 {
	lists := map[string][]float64{}
	missing := map[string]int{}
	for _, t := range ticks {
		used := of(t)
		if len(used) == 0 {
			continue // a run has no such tick either
		}
		for name, v := range used {
			if lists[name] == nil && v >= least {
				lists[name] = []float64{}
			}
		}
		for name, list := range lists {
			v, has := used[name]
			switch has = has && v >= least; {
			case has:
				missing[name] = 0
				lists[name] = append(list, rounded(v))
			case missing[name] < historyGap:
				missing[name]++
				lists[name] = append(list, list[len(list)-1])
			default:
				delete(lists, name)
				delete(missing, name)
			}
		}
	}
	names := slices.Sorted(maps.Keys(lists))
	for _, name := range names[min(len(names), HistoryInstances):] {
		delete(lists, name)
	}
	return lists
}

// rounded keeps what is measured of a figure, so that a record stays small.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-historyDigits+1)
	if unit < 1 {
		// A whole number of a unit's parts is written shorter than a multiple of it.
		parts := math.Round(1 / unit)
		return math.Round(v*parts) / parts
	}
	return math.Round(v/unit) * unit
}

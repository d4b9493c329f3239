package prometheus

import (
	"context"
	"fmt"
	"sort"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/rollout"
)

var _ metrics.Historian = (*Source)(nil)

// History implements metrics.Historian: one question for processor time and one
// for memory, of the raw samples as ticks read them.
func (s *Source) History(ctx context.Context, now time.Time, tick time.Duration) (*rollout.History, error) {
	h, err := s.history(ctx, now, tick)
	if err != nil {
		return nil, fmt.Errorf("read the hour before the run from Prometheus: %w", err)
	}
	return h, nil
}

func (s *Source) history(ctx context.Context, now time.Time, tick time.Duration) (*rollout.History, error) {
	if len(s.plan.usage) == 0 || tick <= 0 {
		return nil, nil
	}
	c, groups, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	if s.env.Recorded {
		c.at = now
	}
	count := int(min(rollout.HistorySpan, rollout.HistoryTicks*tick) / tick)
	var readings []reading
	for _, q := range s.plan.usage {
		if q.signal != cpu && q.signal != memory {
			continue
		}
		text, known := s.render(q, rollout.Stable, groups[rollout.Stable])
		if !known {
			return nil, fmt.Errorf("%s: which instances are stable's is not known now", q.field)
		}
		matrix, err := c.raw(ctx, text, time.Duration(count+1)*tick)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.field, err)
		}
		readings = append(readings, reading{arm: rollout.Stable, query: q, numbers: numbers(matrix)})
	}
	return rollout.NewHistory(tick, replay(readings, count, tick)), nil
}

// replay reads ticks as they would have been read one after the other. The last
// ends with the newest sample.
func replay(readings []reading, count int, tick time.Duration) []rollout.HistoryTick {
	var end int64
	for _, r := range readings {
		for _, s := range r.numbers {
			end = max(end, s.points[len(s.points)-1].at)
		}
	}
	u := newUsage()
	ticks := make([]rollout.HistoryTick, 0, count)
	// The first only sets where processor time is counted from.
	for k := count; k >= 0; k-- {
		at := end - int64(k)*tick.Milliseconds()
		until := make([]reading, len(readings))
		for i, r := range readings {
			until[i] = r
			until[i].numbers = nil
			for _, s := range r.numbers {
				if n := sort.Search(len(s.points), func(i int) bool { return s.points[i].at > at }); n > 0 {
					s.points = s.points[:n]
					until[i].numbers = append(until[i].numbers, s)
				}
			}
		}
		used := u.advance(until)[rollout.Stable]
		switch {
		case k == count:
		case used == nil:
			ticks = append(ticks, rollout.HistoryTick{})
		default:
			ticks = append(ticks, rollout.HistoryTick{CPU: used.cpu, Memory: used.memory})
		}
	}
	return ticks
}

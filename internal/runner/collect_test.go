package runner

import (
	"context"
	"slices"
	"testing"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/rollout"
)

// scraped is a source whose figures come every so often, and late when told so.
type scraped struct {
	at    time.Time // the first figures
	every time.Duration
	late  time.Duration

	taken   time.Time // of the latest figures
	waiting bool
}

func (s *scraped) Collect(_ context.Context, _, now time.Time) (rollout.Arms, error) {
	newest := s.at.Add(now.Add(-s.late).Sub(s.at) / s.every * s.every)
	if s.waiting = !newest.After(s.taken); s.waiting {
		return rollout.Arms{}, nil
	}
	s.taken = newest
	requests := 1.0
	return rollout.Arms{Stable: &rollout.Sample{Requests: &requests}}, nil
}

func (s *scraped) Close() error { return nil }

func (s *scraped) Pace() metrics.Pace {
	return metrics.Pace{At: s.taken, Every: s.every, Waiting: s.waiting}
}

// ticks polls whenever something is due and returns when ticks ended, in
// seconds since the start, and which of them had figures.
func ticks(t *testing.T, s metrics.Source, start time.Time, interval time.Duration, n int) (ends []float64, full []bool) {
	t.Helper()
	return ticksWith(t, s, start, interval, n, func(*collector) {})
}

// ticksWith does something after each tick.
func ticksWith(t *testing.T, s metrics.Source, start time.Time, interval time.Duration, n int, after func(*collector)) (ends []float64, full []bool) {
	t.Helper()
	c := newCollector(s, Options{Timeout: time.Second, Synchronous: true})
	now := start
	for range 1000 {
		arms, at, _, ok := c.poll(t.Context(), now, interval, 5)
		if ok {
			ends, full = append(ends, at.Sub(start).Seconds()), append(full, arms.Stable != nil)
			if len(ends) == n {
				return ends, full
			}
			after(c)
		}
		due := c.due()
		if due.Before(now) {
			t.Fatalf("due at %s, before now, %s", due, now)
		}
		now = due
	}
	t.Fatalf("no %d ticks: %v", n, ends)
	return nil, nil
}

func TestATickEndsRightAfterItsFiguresHaveCome(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for _, c := range []struct {
		name            string
		interval, every float64
		first           float64 // figures, after the start
		ends            []float64
	}{
		{"twice an interval", 10, 5, 3, []float64{3.3, 8.3, 18.3, 28.3}},
		{"once an interval", 5, 5, 4, []float64{4.3, 9.3, 14.3}},
		{"once an interval, a little late", 5, 5.01, 4, []float64{4.3, 9.31, 14.32}},
		{"the first figures come too soon to be a tick", 10, 5, 0.5, []float64{5.8, 10.8, 20.8}},
		{"the interval is no whole number of steps", 10, 4, 1, []float64{5.3, 9.3, 21.3, 29.3, 41.3}},
		{"less often than ticks", 5, 15, 2, []float64{5, 10, 15}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &scraped{at: start.Add(seconds(c.first - c.every)), every: seconds(c.every)}
			ends, _ := ticks(t, s, start, seconds(c.interval), len(c.ends))
			for i, want := range c.ends {
				if got := ends[i]; got < want-0.001 || got > want+0.001 {
					t.Fatalf("the ticks end at %v, want %v", ends, c.ends)
				}
			}
		})
	}
}

func TestFiguresThatAreLateAreWaitedForAMoment(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &scraped{at: start.Add(-2 * time.Second), every: 5 * time.Second}
	s.late = time.Second // more than they are given
	ends, full := ticks(t, s, start, 5*time.Second, 3)
	for i, want := range []float64{4.1, 9.1, 14.1} {
		if ends[i] < want-0.5 || ends[i] > want+0.5 || !full[i] {
			t.Fatalf("the ticks end at %v with figures %v, want them about %v s", ends, full, want)
		}
	}
	s = &scraped{at: start.Add(-2 * time.Second), every: 5 * time.Second, late: 0}
	c := newCollector(s, Options{Timeout: time.Second, Synchronous: true})
	c.poll(t.Context(), start, 10*time.Second, 5)
	s.late = time.Hour // nothing comes any more
	tries, now := 0, c.due()
	for ; tries < 100; tries++ {
		arms, _, _, ok := c.poll(t.Context(), now, 10*time.Second, 5)
		if ok {
			if arms.Stable != nil {
				t.Fatal("there are figures")
			}
			break
		}
		now = c.due()
	}
	if waited := now.Sub(start); tries == 0 || waited > 10*time.Second {
		t.Errorf("after %d tries and %s the tick ends without figures; it should wait, and not long", tries, waited)
	}
}

func TestASourceWithoutAPaceHasTicksOfTheInterval(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &scraped{at: start, every: time.Millisecond}
	plain := struct{ metrics.Source }{s}
	ends, _ := ticks(t, plain, start, 10*time.Second, 3)
	if ends[0] != 10 || ends[1] != 20 || ends[2] != 30 {
		t.Errorf("the ticks end at %v", ends)
	}
}

// A tick that looked like a gross fault is followed by a short one, and that
// too ends right after figures, or not at all sooner where none would be there.
func TestTheTickAfterAGrossFaultIsShort(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for _, c := range []struct {
		name   string
		every  float64 // 0: figures at any time
		length float64
		// hastened are the ticks, from 1, after which the next is to be short.
		hastened []int
		ends     []float64
	}{
		{"figures at any time", 0, 5, []int{2}, []float64{10, 20, 25, 35, 45}},
		{"one after the other", 0, 5, []int{2, 3}, []float64{10, 20, 25, 30, 40}},
		{"after the first of all", 0, 5, []int{1}, []float64{10, 15, 25, 35}},
		{"figures twice an interval", 5, 5, []int{2}, []float64{3.3, 8.3, 13.3, 23.3, 33.3}},
		{"figures five times an interval", 2, 5, []int{2}, []float64{2.3, 8.3, 14.3, 24.3}},
		{"figures once an interval", 10, 5, []int{2, 3}, []float64{8.3, 18.3, 28.3, 38.3}},
		{"no shorter than the interval", 0, 10, []int{2, 3}, []float64{10, 20, 30, 40}},
	} {
		t.Run(c.name, func(t *testing.T) {
			paced := &scraped{at: start.Add(seconds(3 - 5)), every: seconds(c.every)}
			if c.every == 2 {
				paced.at = start
			}
			if c.every == 10 {
				paced.at = start.Add(seconds(8 - 10))
			}
			var source metrics.Source = paced
			if c.every == 0 {
				paced.every = time.Millisecond
				source = struct{ metrics.Source }{paced}
			}
			ended := 0
			ends, _ := ticksWith(t, source, start, 10*time.Second, len(c.ends), func(k *collector) {
				if ended++; slices.Contains(c.hastened, ended) {
					k.hasten(seconds(c.length))
				}
			})
			for i, want := range c.ends {
				if got := ends[i]; got < want-0.001 || got > want+0.001 {
					t.Fatalf("the ticks end at %v, want %v", ends, c.ends)
				}
			}
		})
	}
}

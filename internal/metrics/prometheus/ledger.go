package prometheus

import (
	"slices"
	"time"

	"serin.dev/serin/internal/rollout"
)

// How long a target is waited for that has no newer sample: over one missed
// scrape. Then it is gone for now, and what it has counted comes when it is
// back.
const (
	patienceScrapes = 2.5
	// usualGap is between scrapes of which only one was seen yet.
	usualGap = 15 * time.Second
	// longestWait bounds the waiting for rarely scraped targets.
	longestWait = 3 * time.Minute
	// remembered is how long a target and its series are known after their last
	// sample. One that comes back later is new.
	remembered = time.Hour
)

// reading is what one query answered for one arm.
type reading struct {
	arm        rollout.Arm
	query      query
	numbers    []series[float64]
	histograms []series[histogram]
	// changed says that the arm's selector reads otherwise than in the tick
	// before.
	changed bool
}

// eachSeries calls f with the target and the times of every series.
func (r reading) eachSeries(f func(t target, first, last int64, gaps []int64)) {
	for _, s := range r.numbers {
		f(s.target, s.points[0].at, s.points[len(s.points)-1].at, gapsOf(s.points))
	}
	for _, s := range r.histograms {
		f(s.target, s.points[0].at, s.points[len(s.points)-1].at, gapsOf(s.points))
	}
}

func timesOf[T any](points []point[T]) []int64 {
	times := make([]int64, len(points))
	for i, p := range points {
		times[i] = p.at
	}
	return times
}

func gapsOf[T any](points []point[T]) []int64 {
	gaps := make([]int64, 0, len(points))
	for i := 1; i < len(points); i++ {
		gaps = append(gaps, points[i].at-points[i-1].at)
	}
	return gaps
}

// progress is how far a target has been counted.
type progress struct {
	cut int64
	// gap is the usual time between its scrapes, 0 when unknown.
	gap int64
	// arms are those that had series there.
	arms map[rollout.Arm]bool
	// start is when its program started, as it says itself, in seconds; 0 when
	// it has not said. mute targets were asked and do not say.
	start float64
	mute  bool
	// restarted is the latest scrape before which its program began anew; 0 when
	// it was not seen to.
	restarted int64
}

func (p progress) patience() time.Duration {
	gap := time.Duration(p.gap) * time.Millisecond
	if gap <= 0 {
		gap = usualGap
	}
	return min(time.Duration(patienceScrapes*float64(gap)), longestWait)
}

// ledger knows what of a set of queries has been counted. Everything of a
// scrape is counted together or not at all.
type ledger struct {
	targets    map[target]progress
	counters   map[track]*tracker[float64]
	histograms map[track]*tracker[histogram]
}

// track is one query of one arm.
type track struct {
	arm   rollout.Arm
	field string
}

func newLedger() *ledger {
	return &ledger{targets: map[target]progress{}, counters: map[track]*tracker[float64]{}, histograms: map[track]*tracker[histogram]{}}
}

func (l *ledger) counter(r reading) *tracker[float64] {
	key := track{r.arm, r.query.field}
	if l.counters[key] == nil {
		l.counters[key] = newCounters()
	}
	return l.counters[key]
}

func (l *ledger) histogram(r reading) *tracker[histogram] {
	key := track{r.arm, r.query.field}
	if l.histograms[key] == nil {
		l.histograms[key] = newHistograms()
	}
	return l.histograms[key]
}

// spans says which samples of each target a tick takes: those up to the scrape
// that reached says, which was there before the readings were asked, so that all
// of them have it. began is when counting began, for targets that were not
// known.
func (l *ledger) spans(reached reach, all []reading, began int64) map[target]span {
	out := map[target]span{}
	for t, end := range reached.ends {
		out[t] = span{to: end}
	}
	// Series of a target whose last scrape failed, or that is gone, have no
	// value now. What was scraped before is counted still. A scrape that came
	// after reached was asked began no more than a gap before that: scrapes
	// time out within one.
	ended := func(t target, points []int64) {
		if _, scraped := reached.ends[t]; scraped {
			return
		}
		gap := l.targets[t].gap
		if gap == 0 {
			gap = usualGap.Milliseconds()
		}
		for _, at := range points {
			if at <= reached.at-2*gap {
				out[t] = span{to: max(out[t].to, at)}
			}
		}
	}
	for _, r := range all {
		for _, s := range r.numbers {
			ended(s.target, timesOf(s.points))
		}
		for _, s := range r.histograms {
			ended(s.target, timesOf(s.points))
		}
	}
	// The last scrape before counting began, and whether the answers reach back
	// to where a known target was left.
	before, first := map[target]int64{}, map[target]int64{}
	changed := map[target]bool{}
	for _, r := range all {
		r.eachSeries(func(t target, from, last int64, _ []int64) {
			if at, seen := first[t]; !seen || from < at {
				first[t] = from
			}
			changed[t] = changed[t] || r.changed
		})
		for _, s := range r.numbers {
			before[s.target] = max(before[s.target], lastUpTo(s.points, began))
		}
		for _, s := range r.histograms {
			before[s.target] = max(before[s.target], lastUpTo(s.points, began))
		}
	}
	for t, s := range out {
		// Where nothing was answered, nothing is known.
		if p, known := l.targets[t]; known {
			s.from, s.start, s.mute = p.cut, p.start, p.mute
			// A series that the scrape at the cut lacked began after it. It was
			// lacking when the same question had been asked then, or when the
			// answer now reaches back there.
			s.origin = !changed[t] || first[t] <= p.cut
			// A program that began anew lacks the series of what has not happened
			// again, such as errors. They come in a later tick than the restart.
			if p.restarted > 0 {
				s.restarts = []int64{p.restarted}
			}
		} else if s.from = before[t]; s.from > 0 {
			s.origin = true
		}
		out[t] = s
	}
	return out
}

func lastUpTo[T any](points []point[T], end int64) int64 {
	for _, p := range slices.Backward(points) {
		if p.at <= end {
			return p.at
		}
	}
	return 0
}

// missing are the targets that were counted and have no newer sample, and are
// still worth waiting for.
func (l *ledger) missing(spans map[target]span, now time.Time) []target {
	var out []target
	for t, p := range l.targets {
		if s, seen := spans[t]; seen && s.to > p.cut {
			continue
		}
		if now.Sub(time.UnixMilli(p.cut)) < p.patience() {
			out = append(out, t)
		}
	}
	return out
}

// strangers are the targets of which nothing is known before the span.
func (l *ledger) strangers(spans map[target]span) []target {
	var out []target
	for t, s := range spans {
		if _, known := l.targets[t]; !known && s.from == 0 {
			out = append(out, t)
		}
	}
	return out
}

// commit notes how far the targets are counted, and returns the arms of which
// something was.
func (l *ledger) commit(readings []reading, spans map[target]span, now time.Time) map[rollout.Arm]bool {
	moved := map[target]bool{}
	gaps := map[target][]int64{}
	for t, s := range spans {
		p, known := l.targets[t]
		if !known {
			p = progress{arms: map[rollout.Arm]bool{}}
		}
		moved[t] = !known || s.to > p.cut
		p.cut = max(p.cut, s.to)
		p.start, p.mute = s.start, s.mute
		for _, at := range s.restarts {
			p.restarted = max(p.restarted, at)
		}
		l.targets[t] = p
	}
	for _, r := range readings {
		r.eachSeries(func(t target, _, _ int64, between []int64) {
			if l.targets[t].arms == nil {
				return // scraped first after the tick's end
			}
			l.targets[t].arms[r.arm] = true
			if len(gaps[t]) < 64 {
				gaps[t] = append(gaps[t], between...)
			}
		})
	}
	for t, between := range gaps {
		if len(between) > 0 {
			slices.Sort(between)
			p := l.targets[t]
			p.gap = between[len(between)/2]
			l.targets[t] = p
		}
	}
	arms := map[rollout.Arm]bool{}
	for t, p := range l.targets {
		for arm := range p.arms {
			arms[arm] = arms[arm] || moved[t]
		}
	}
	l.forget(now.Add(-remembered).UnixMilli())
	return arms
}

func (l *ledger) forget(before int64) {
	for t, p := range l.targets {
		if p.cut < before {
			delete(l.targets, t)
		}
	}
	for _, tracker := range l.counters {
		tracker.forget(before)
	}
	for _, tracker := range l.histograms {
		tracker.forget(before)
	}
}

// oldest is the earliest moment that an answer should reach back to.
func (l *ledger) oldest(now time.Time) (at int64, gap int64) {
	at = now.UnixMilli()
	for _, p := range l.targets {
		gap = max(gap, p.gap)
		if now.Sub(time.UnixMilli(p.cut)) < longestWait {
			at = min(at, p.cut)
		}
	}
	return at, gap
}

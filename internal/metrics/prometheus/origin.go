package prometheus

import (
	"cmp"
	"context"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

const (
	startTime = "process_start_time_seconds"
	// maxAsked bounds how many targets are asked about at once. Of the others,
	// the first scrape is where counting begins.
	maxAsked = 200
	// startGrain is how exact a start time is: Linux tells the time of its own
	// start in whole seconds.
	startGrain = 1.0
)

// learn completes spans by what the series themselves do not say: when the
// program of a target started, and whether a target that is met first was
// scraped before its first series appeared. Both are series that Prometheus and
// the usual client libraries make; where they are missing, nothing changes.
//
// A counter of a newly met target counts from zero when its program started
// after counting began, or when the target had been scraped before without it.
// A program that started anew within the span began every counter anew, also
// one that has already passed its old value.
func learn(ctx context.Context, c *client, l *ledger, spans map[target]span, firsts map[target]int64, began int64, window time.Duration) error {
	strangers := l.strangers(spans)
	asked := slices.Clone(strangers)
	for t, s := range spans {
		if !s.mute && !slices.Contains(strangers, t) {
			asked = append(asked, t)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	matrix, err := c.raw(ctx, aboutTargets(asked[:min(len(asked), maxAsked)]), window)
	if err != nil {
		return err
	}
	starts := map[target][]point[float64]{}
	for _, stream := range matrix {
		t := targetOf(stream.Metric)
		s, ok := spans[t]
		if !ok {
			continue
		}
		for _, sample := range stream.Values {
			at, value := int64(sample.Timestamp), float64(sample.Value)
			switch {
			case at > s.to:
			case stream.Metric[model.MetricNameLabel] == startTime:
				starts[t] = append(starts[t], point[float64]{at, value})
			case value == 1 && at < firsts[t] && slices.Contains(strangers, t):
				s.origin = true
			}
		}
		spans[t] = s
	}
	for _, t := range asked {
		s := spans[t]
		s.mute = len(starts[t]) == 0
		for _, p := range slices.SortedFunc(slices.Values(starts[t]), byTime) {
			if slices.Contains(strangers, t) && (p.value+startGrain)*1000 >= float64(began) {
				s.origin = true
			}
			if p.at > s.from && s.start != 0 && startedAnew(s.start, p.value) {
				s.restarts = append(s.restarts, p.at)
			}
			s.start = p.value
		}
		spans[t] = s
	}
	return nil
}

func byTime(a, b point[float64]) int { return cmp.Compare(a.at, b.at) }

// startedAnew tells another start from the same start told by a clock that was
// set, or that is near a whole second: then it moves by just the grain. To take
// that for a restart would count everything twice; a real one of that length is
// seen by the counters that fell.
func startedAnew(before, now float64) bool {
	moved := math.Abs(now - before)
	return moved > 0.005 && math.Abs(moved-startGrain) > 0.005
}

// aboutTargets selects what is known of targets.
func aboutTargets(targets []target) string {
	about := matcher{label: "__name__", op: "=~", value: []piece{{text: "up|" + startTime}}}
	return braces(append([]matcher{about}, matchersOf(targets)...), nil)
}

// matchersOf select the series of targets, and of others that share a job with
// one and an instance with another.
func matchersOf(targets []target) []matcher {
	jobs, instances := map[string]bool{}, map[string]bool{}
	for _, t := range targets {
		jobs[regexp.QuoteMeta(t.job)] = true
		instances[regexp.QuoteMeta(t.instance)] = true
	}
	oneOf := func(label string, values map[string]bool) matcher {
		return matcher{label: label, op: "=~", value: []piece{{text: strings.Join(slices.Sorted(maps.Keys(values)), "|")}}}
	}
	return []matcher{oneOf("job", jobs), oneOf("instance", instances)}
}

// firstSeen is when each target's first sample in the readings was scraped.
func firstSeen(readings []reading) map[target]int64 {
	out := map[target]int64{}
	for _, r := range readings {
		r.eachSeries(func(t target, first, _ int64, _ []int64) {
			if at, seen := out[t]; !seen || first < at {
				out[t] = first
			}
		})
	}
	return out
}

// reach is how far targets had been scraped when it was asked, in milliseconds.
type reach struct {
	// at is when that was, by the clock of Prometheus; 0 when no target has any
	// series.
	at   int64
	ends map[target]int64
}

// reachOf asks for the latest scrape of every target that has series of the
// selectors. A scrape arrives as a whole, so whatever is asked afterwards has all
// of it.
func reachOf(ctx context.Context, c *client, selectors []string) (reach, error) {
	times := make([]string, len(selectors))
	for i, s := range selectors {
		times[i] = "timestamp(" + s + ")"
	}
	out := reach{ends: map[target]int64{}}
	if len(times) == 0 {
		return out, nil
	}
	vector, err := c.now(ctx, "max by (job,instance) ("+strings.Join(times, " or ")+")")
	if err != nil {
		return out, err
	}
	for _, sample := range vector {
		out.at = max(out.at, int64(sample.Timestamp))
		out.ends[targetOf(sample.Metric)] = int64(math.Round(float64(sample.Value) * 1000))
	}
	return out, nil
}

// stillScraped returns those of the missing targets that Prometheus goes on
// scraping: a target that it has let go, such as a pod that ended, is not waited
// for. Where up is not known of any target, that cannot be told.
func stillScraped(ctx context.Context, c *client, missing []target, l *ledger) ([]target, error) {
	if len(l.targets) > maxAsked {
		return missing, nil
	}
	vector, err := c.now(ctx, "max by (job,instance) (up"+braces(matchersOf(slices.Collect(maps.Keys(l.targets))), nil)+")")
	if err != nil {
		return nil, err
	}
	scraped := map[target]bool{}
	told := false
	for _, sample := range vector {
		t := targetOf(sample.Metric)
		_, ours := l.targets[t]
		scraped[t], told = true, told || ours
	}
	if !told {
		return missing, nil
	}
	return slices.DeleteFunc(missing, func(t target) bool { return !scraped[t] }), nil
}

package prometheus

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"serin.dev/serin/internal/rollout"
)

// Finding is what one query comes to, for a person who is setting things up.
type Finding struct {
	// Query is its place in the file or in the preset.
	Query string
	// Selector is what was asked.
	Selector string
	OK       bool
	// Perhaps: it may be well all the same, and only a person knows.
	Perhaps bool
	// Message says what was found or is missing; Mend what to do about it.
	Message, Mend string
}

// shownValues is how many values of a label a message lists.
const shownValues = 5

// Diagnose asks every query for the arm that serves and says which has series,
// and of those without, which metric or label is missing. An error means that
// Prometheus could not be asked at all.
func (s *Source) Diagnose(ctx context.Context) ([]Finding, error) {
	c, groups, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.now(ctx, "vector(1)"); err != nil {
		return nil, fmt.Errorf("ask Prometheus at %s: %w", s.cfg.URL, err)
	}
	var found []Finding
	values := s.values(rollout.Stable, groups[rollout.Stable])
	gap := time.Duration(0)
	for _, q := range s.plan.all() {
		if q.signal == limit {
			continue // who has none is judged without
		}
		f := Finding{Query: q.field}
		text, known := s.render(q, rollout.Stable, groups[rollout.Stable])
		if !known {
			f.Message, f.Mend = "cannot be asked: "+strings.Join(missingOf(q, values), ", ")+" is not known while no instance of stable runs", "start the workload, and look again"
			found = append(found, f)
			continue
		}
		f.Selector = text
		matrix, err := c.raw(ctx, text, lookback)
		switch {
		case err != nil:
			f.Message, f.Mend = err.Error(), "mend the query"
		case len(matrix) == 0:
			f.Message, f.Mend, f.Perhaps = c.why(ctx, q, values)
			if f.Perhaps && !strings.HasPrefix(q.field, "queries.") {
				// Whose counters a preset is for tells of failures where it says.
				f.OK, f.Perhaps, f.Mend = true, false, ""
			}
		default:
			f.OK, f.Message = true, fmt.Sprintf("has %d series", len(matrix))
			gap = max(gap, usualGapOf(matrix))
		}
		found = append(found, f)
	}
	if gap > 0 && s.env.Interval > 0 && gap > s.env.Interval {
		found = append(found, Finding{
			Query:   "analysis.interval",
			Message: fmt.Sprintf("is %s, and samples come every %s: most ticks will have none", s.env.Interval, gap),
			Mend:    fmt.Sprintf("write interval: %s or more, or scrape more often", gap),
		})
	}
	return found, nil
}

func missingOf(q query, values map[string]string) []string {
	var missing []string
	for _, name := range q.selector.needs() {
		if _, known := values[name]; !known {
			missing = append(missing, "$("+name+")")
		}
	}
	return missing
}

// usualGapOf is the median time between samples.
func usualGapOf(matrix model.Matrix) time.Duration {
	var gaps []int64
	for _, stream := range matrix {
		for i := 1; i < len(stream.Values); i++ {
			gaps = append(gaps, int64(stream.Values[i].Timestamp-stream.Values[i-1].Timestamp))
		}
	}
	if len(gaps) == 0 {
		return 0
	}
	slices.Sort(gaps)
	return (time.Duration(gaps[len(gaps)/2]) * time.Millisecond).Round(time.Second)
}

// why finds out what a query without series is missing: the metric itself, or
// the first label that leaves nothing. perhaps: nothing may have happened yet that
// would be counted.
func (c *client) why(ctx context.Context, q query, values map[string]string) (message, mend string, perhaps bool) {
	names := []string{""}
	if q.isHistogram() {
		names = []string{"", "_bucket", "_sum", "_count"}
	}
	some := func(matchers []matcher) bool {
		vector, err := c.now(ctx, "count("+selector{name: q.selector.name, matchers: matchers}.renderNames(values, names...)+")")
		return err == nil && len(vector) > 0
	}
	if !some(nil) {
		return "has no series: there is no metric " + q.selector.name, "let Prometheus scrape the program that exports it, or name another", false
	}
	for i, m := range q.selector.matchers {
		if some(q.selector.matchers[:i+1]) {
			continue
		}
		before := selector{name: q.selector.name, matchers: q.selector.matchers[:i]}.renderNames(values, names...)
		list := c.labelValues(ctx, before, m.label)
		if q.signal == errored && q.selector.name != "" && i == len(q.selector.matchers)-1 && len(list) > 0 {
			return "has no series yet: nothing failed", "nothing, if " + m.label + " is where " + q.selector.name + " tells that a request failed; it has " + strings.Join(list, ", "), true
		}
		if len(list) == 0 {
			return fmt.Sprintf("has no series: %s has no label %s", before, m.label), "put the label on when it is scraped, or use another", false
		}
		return fmt.Sprintf("has no series: no %s with %s; there is %s", m.label, m.render(values), strings.Join(list, ", ")), "name one of these, or send the arm requests first", false
	}
	return "has no series now, but had some a moment ago", "look again", false
}

// labelValues lists some of a label's values.
func (c *client) labelValues(ctx context.Context, selector, label string) []string {
	vector, err := c.now(ctx, fmt.Sprintf("topk(%d, count by (%s) (%s))", shownValues+1, label, selector))
	if err != nil {
		return nil // the message goes without them
	}
	var list []string
	for _, sample := range vector {
		if v := string(sample.Metric[model.LabelName(label)]); v != "" {
			list = append(list, strconv.Quote(v))
		}
	}
	slices.Sort(list)
	if len(list) > shownValues {
		list = append(list[:shownValues], "…")
	}
	return list
}

package prometheus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Usual is what a service is usually like, by what was recorded of stable.
type Usual struct {
	// RequestsPerSecond is the mean rate, ErrorRate the part that failed.
	RequestsPerSecond, ErrorRate float64
	// Median is the median response time and Slowest the 99th percentile, 0 when
	// there is no histogram.
	Median, Slowest time.Duration
	// Instances is how many instances there are now, 0 when they cannot be told
	// apart.
	Instances int
	// Over is the time that the figures are of.
	Over time.Duration
}

const (
	usualWindow = 24 * time.Hour
	usualStep   = 5 * time.Minute
)

// Usual reads stable's last day, or as much of it as was recorded.
func (s *Source) Usual(ctx context.Context) (Usual, error) {
	u, err := s.usual(ctx)
	if err != nil {
		return Usual{}, fmt.Errorf("read stable's last day from Prometheus: %w", err)
	}
	return u, nil
}

func (s *Source) usual(ctx context.Context) (Usual, error) {
	c, groups, err := s.open(ctx)
	if err != nil {
		return Usual{}, err
	}
	bySignal := map[signal]query{}
	for _, q := range s.plan.counts {
		bySignal[q.signal] = q
	}
	values := s.values(rollout.Stable, groups[rollout.Stable])
	all, ok := bySignal[requests]
	if !ok {
		return Usual{}, errors.New("the file has no query of requests")
	}
	if lacking := missingOf(all, values); len(lacking) > 0 {
		return Usual{}, fmt.Errorf("%s speaks of %v, which is not known here", all.field, lacking)
	}
	var u Usual
	selector := all.selector.render(values)
	covered, err := c.number(ctx, fmt.Sprintf("time() - min(min_over_time(timestamp(%s)[%ds:%ds]))", selector, int(usualWindow.Seconds()), int(usualStep.Seconds())))
	if err != nil {
		return u, err
	}
	if math.IsNaN(covered) {
		return u, fmt.Errorf("%s has no series of stable: %s", all.field, selector)
	}
	u.Over = min(usualWindow, max(usualStep, time.Duration(covered*float64(time.Second))))
	over := fmt.Sprintf("[%ds]", int(u.Over.Seconds()))
	if u.RequestsPerSecond, err = c.number(ctx, "sum(rate("+selector+over+"))"); err != nil {
		return u, err
	}
	if !(u.RequestsPerSecond > 0) {
		return u, fmt.Errorf("%s counted no request in %s", all.field, rollout.Words(u.Over.Round(time.Minute)))
	}
	if q, ok := bySignal[errored]; ok && len(missingOf(q, values)) == 0 {
		failed, err := c.number(ctx, "sum(rate("+q.selector.render(values)+over+"))")
		if err != nil {
			return u, err
		}
		if failed > 0 { // no series of errors are no errors
			u.ErrorRate = min(1, failed/u.RequestsPerSecond)
		}
	}
	if q, ok := bySignal[latency]; ok && len(missingOf(q, values)) == 0 {
		if u.Median, err = c.quantile(ctx, q, values, over, 0.5, s.plan.unit); err != nil {
			return u, err
		}
		if u.Slowest, err = c.quantile(ctx, q, values, over, 0.99, s.plan.unit); err != nil {
			return u, err
		}
	}
	if all.instance != "" {
		n, err := c.number(ctx, fmt.Sprintf("count(count by (%s) (%s))", all.instance, selector))
		if err != nil {
			return u, err
		}
		if n > 0 {
			u.Instances = int(n)
		}
	}
	return u, nil
}

// quantile asks a histogram, classic or native; 0 when it has nothing.
func (c *client) quantile(ctx context.Context, q query, values map[string]string, over string, p float64, unit Unit) (time.Duration, error) {
	classic := fmt.Sprintf("histogram_quantile(%g, sum by (le) (rate(%s%s)))", p, q.selector.named(q.selector.name+"_bucket").render(values), over)
	native := fmt.Sprintf("histogram_quantile(%g, sum(rate(%s%s)))", p, q.selector.render(values), over)
	for _, expression := range []string{native, classic} {
		v, err := c.number(ctx, expression)
		if err != nil {
			return 0, err
		}
		if v > 0 && !math.IsInf(v, 1) {
			return time.Duration(v * unit.seconds() * float64(time.Second)), nil
		}
	}
	return 0, nil
}

// number evaluates an expression that has one value, NaN when it has none.
func (c *client) number(ctx context.Context, expression string) (float64, error) {
	vector, err := c.now(ctx, expression)
	if err != nil {
		return 0, err
	}
	if len(vector) == 0 {
		return math.NaN(), nil
	}
	return float64(vector[0].Value), nil
}

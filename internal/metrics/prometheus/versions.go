package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"serin.dev/serin/internal/guarded"
)

// Label is a series of an expression whose series have one label each, such as
// sum by (version) (…).
type Label struct {
	Name, Value string
	Times       []time.Time
	Values      []float64
}

const (
	// mostPoints is how many points one question asks for; Prometheus gives 11,000.
	mostPoints = 5_000
	// mostLabels is how many values a label may have: versions are few.
	mostLabels = 1_000
)

// Labels evaluates an expression at every step of a past time.
func (s *Source) Labels(ctx context.Context, expression string, from, to time.Time, step time.Duration) ([]Label, error) {
	labels, err := s.labels(ctx, expression, from, to, step)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus for versions: %w", err)
	}
	return labels, nil
}

func (s *Source) labels(ctx context.Context, expression string, from, to time.Time, step time.Duration) ([]Label, error) {
	c, err := newClient(s.cfg, s.http)
	if err != nil {
		return nil, err
	}
	var all []Label
	by := map[string]int{}
	for at := from; !at.After(to); at = at.Add(mostPoints * step) {
		until := at.Add((mostPoints - 1) * step)
		if until.After(to) {
			until = to
		}
		matrix, err := c.between(ctx, expression, v1.Range{Start: at, End: until, Step: step})
		if err != nil {
			return nil, err
		}
		for _, series := range matrix {
			name, value, err := onlyLabel(series.Metric)
			if err != nil {
				return nil, err
			}
			i, known := by[value]
			if !known {
				if len(all) >= mostLabels {
					return nil, fmt.Errorf("the answer has more than %d values of %s; narrow it to one service", mostLabels, name)
				}
				i = len(all)
				by[value] = i
				all = append(all, Label{Name: name, Value: value})
			}
			for _, p := range series.Values {
				all[i].Times = append(all[i].Times, p.Timestamp.Time())
				all[i].Values = append(all[i].Values, float64(p.Value))
			}
		}
	}
	return all, nil
}

func onlyLabel(metric model.Metric) (name, value string, err error) {
	for l, v := range metric {
		if l != model.MetricNameLabel {
			name, value = cmp.Or(name, string(l)), string(v)
		}
	}
	n := len(metric)
	if _, named := metric[model.MetricNameLabel]; named {
		n--
	}
	if n != 1 || value == "" {
		return "", "", fmt.Errorf("the series %s has not just the label of its version; write an expression such as sum by (version) (…)", metric)
	}
	return name, value, nil
}

// between evaluates an expression at every step of a range.
func (c *client) between(ctx context.Context, expression string, r v1.Range) (model.Matrix, error) {
	const patience = time.Minute // a range is much more than a tick
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, warnings, _, err := c.api.QueryRange(ctx, expression, r, v1.WithTimeout(patience))
	switch {
	case errors.Is(err, guarded.ErrTooLarge):
		return nil, fmt.Errorf("the answer has more than %d MiB; narrow the range or the expression", maxBody>>20)
	case err != nil:
		return nil, errors.New(c.scrubber.Scrub(guarded.Explain(ctx, err)))
	case len(warnings) > 0:
		return nil, fmt.Errorf("the answer is not complete: %s", c.scrubber.Scrub(warnings[0]))
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, errors.New("the answer holds no series; is this address a Prometheus?")
	}
	return matrix, nil
}

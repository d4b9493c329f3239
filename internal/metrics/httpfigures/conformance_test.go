package httpfigures_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/metrics/metricstest"
	"serin.dev/serin/internal/rollout"
)

// counted measures requests that a test says there were: what business figures
// are joined to.
type counted struct {
	mu   sync.Mutex
	arms map[rollout.Arm][2]int
}

func (c *counted) load(_ *testing.T, arm rollout.Arm, requests, errors int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.arms[arm]
	c.arms[arm] = [2]int{n[0] + requests, n[1] + errors}
}

// reader takes what came since it was made.
type reader struct {
	of   *counted
	last map[rollout.Arm][2]int
}

func (c *counted) reader() *reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &reader{of: c, last: map[rollout.Arm][2]int{}}
	for arm, n := range c.arms {
		r.last[arm] = n
	}
	return r
}

func (r *reader) Collect(ctx context.Context, _, _ time.Time) (rollout.Arms, error) {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	take := func(arm rollout.Arm) *rollout.Sample {
		now, before := r.of.arms[arm], r.last[arm]
		r.last[arm] = now
		return &rollout.Sample{Requests: new(float64(now[0] - before[0])), Errors: new(float64(now[1] - before[1]))}
	}
	return rollout.Arms{Stable: take(rollout.Stable), Canary: take(rollout.Canary)}, ctx.Err()
}

func (r *reader) Close() error { return nil }

// Joined to a source of requests, the figures keep that source what it is,
// whether the endpoint answers or not.
func TestASourceWithFiguresConforms(t *testing.T) {
	for _, answer := range []string{"broken", `{"versions":{"v1":{"complaints":3},"v2":{"complaints":0}}}`} {
		t.Run(answer, func(t *testing.T) {
			e := serve(t)
			e.answer.Store(answer)
			metricstest.Run(t, func(t *testing.T) metricstest.Harness {
				c := &counted{arms: map[rollout.Arm][2]int{}}
				join := func(t *testing.T) metrics.Source { return metrics.Join(c.reader(), open(t, e.url), nil) }
				return metricstest.Harness{Source: join(t), Load: c.load, Reopen: join}
			})
		})
	}
}

func TestFiguresComeBesideRequests(t *testing.T) {
	e := serve(t)
	c := &counted{arms: map[rollout.Arm][2]int{}}
	s := metrics.Join(c.reader(), open(t, e.url), nil)
	e.answer.Store(`{"versions":{"v1":{"complaints":3},"v2":{"complaints":0}}}`)
	if _, err := s.Collect(t.Context(), time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	e.answer.Store(`{"versions":{"v1":{"complaints":5},"v2":{"complaints":1}}}`)
	c.load(t, rollout.Canary, 7, 1)
	arms, err := s.Collect(t.Context(), time.Time{}, time.Now())
	if err != nil || *arms.Stable.Complaints != 2 || *arms.Canary.Complaints != 1 || *arms.Canary.Requests != 7 {
		t.Errorf("%+v %+v, %v", arms.Stable, arms.Canary, err)
	}
}

// Package proxystats measures both arms by what Serin's own reverse proxy has
// counted. It knows the proxy's counters; it must not know what is concluded
// from them.
package proxystats

import (
	"context"
	"sync"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/proxy"
	"serin.dev/serin/internal/rollout"
)

// Config is what a file says under metrics.proxy: nothing.
type Config struct{}

// NewConfig returns a pointer to a configuration with its defaults set, for
// the catalog.
func NewConfig() any { return &Config{} }

// Counters is the part of a reverse proxy that is read: *proxy.Proxy.
type Counters interface {
	Snapshot() proxy.Stats
	Split() proxy.Split
}

// Source turns the proxy's cumulative counters into samples.
type Source struct {
	counters Counters

	mu   sync.Mutex
	last map[rollout.Arm]*reading
}

var _ metrics.Source = (*Source)(nil)

// New makes a source whose first sample begins now.
func New(counters Counters) *Source {
	s := &Source{counters: counters, last: map[rollout.Arm]*reading{}}
	stats := counters.Snapshot()
	for _, arm := range []rollout.Arm{rollout.Stable, rollout.Canary, rollout.Baseline} {
		s.last[arm] = &reading{}
		s.last[arm].next(stats.Arm(proxy.Arm(arm)))
	}
	return s
}

// Collect implements metrics.Source. What the proxy counted before New belongs
// to no sample.
func (s *Source) Collect(ctx context.Context, _, _ time.Time) (rollout.Arms, error) {
	if err := ctx.Err(); err != nil {
		return rollout.Arms{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stats, split := s.counters.Snapshot(), s.counters.Split()
	stable := s.last[rollout.Stable].next(stats.Stable)
	stable.Instances = new(len(split.Stable))
	canary := s.last[rollout.Canary].next(stats.Canary)
	canary.Instances = new(len(split.Canary))
	arms := rollout.Arms{Stable: stable, Canary: canary}
	baseline := s.last[rollout.Baseline].next(stats.Baseline)
	if split.BaselineWeight > 0 {
		baseline.Instances = new(len(split.Baseline))
		arms.Baseline = baseline
	}
	return arms, nil
}

// Close implements metrics.Source.
func (s *Source) Close() error { return nil }

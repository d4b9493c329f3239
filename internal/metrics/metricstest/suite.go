// Package metricstest is the conformance suite of the metrics port: what every
// source of samples must do, checked against requests that really happened. It
// knows no adapter.
package metricstest

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/rollout"
)

// Harness is one source under test and a way to make something to measure.
type Harness struct {
	// Source was opened just now.
	Source metrics.Source
	// Load sends requests to an arm, of which the first so many are answered
	// with an error of the server. It returns when all have been answered, and
	// may be called at once from many goroutines.
	Load func(t *testing.T, arm rollout.Arm, requests, errors int)
	// Reopen closes the source and opens another, as a new Serin does; the
	// instances and what counts their requests go on.
	Reopen func(t *testing.T) metrics.Source
	// Lose makes an arm impossible to measure until restore is called. Its
	// instances may count on meanwhile. Nil where every arm can always be
	// measured.
	Lose func(t *testing.T, arm rollout.Arm) (restore func())
	// Latency and ByInstance say that the source measures these.
	Latency, ByInstance bool
	// Patience bounds how long what happened takes to be measured; 0 means
	// that the next Collect has it all.
	Patience time.Duration
}

// Run runs the suite; start makes a new harness for each test.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *suite)
	}{
		{"an idle interval has no requests", idle},
		{"what an arm did is in its own sample, once", countsOnce},
		{"samples taken during the load add up to it", addsUpUnderLoad},
		{"the distribution holds every request", distributes},
		{"instances add up to their arm", addsUpInstances},
		{"a new source counts nothing from before it", forgetsTheOld},
		{"a call that is given up ends", ends},
		{"an arm that cannot be measured is nil, and is counted once when it can", missed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{Harness: start(t), last: time.Now()}
			t.Cleanup(func() {
				if err := s.Source.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			c.run(t, s)
		})
	}
}

type suite struct {
	Harness
	last time.Time
}

// collect takes the next samples and checks what holds for every sample.
func (s *suite) collect(t *testing.T) rollout.Arms {
	t.Helper()
	now := time.Now()
	arms, err := s.Source.Collect(t.Context(), s.last, now)
	if err != nil {
		t.Fatalf("Collect: %v", err)
	}
	s.last = now
	for arm, sample := range map[rollout.Arm]*rollout.Sample{rollout.Stable: arms.Stable, rollout.Canary: arms.Canary} {
		if sample == nil {
			continue
		}
		requests, errors := value(sample.Requests), value(sample.Errors)
		if requests < 0 || errors < 0 || errors > requests {
			t.Errorf("%s: %v errors of %v requests cannot be", arm, errors, requests)
		}
		checkHistogram(t, arm, sample.Latency)
	}
	return arms
}

func checkHistogram(t *testing.T, arm rollout.Arm, h *rollout.Histogram) {
	t.Helper()
	if h == nil {
		return
	}
	if len(h.Counts) != len(h.Bounds)+1 {
		t.Errorf("%s: %d counts for %d bounds, want one more", arm, len(h.Counts), len(h.Bounds))
	}
	for n := 1; n < len(h.Bounds); n++ {
		if h.Bounds[n] <= h.Bounds[n-1] {
			t.Errorf("%s: bound %v comes after %v", arm, h.Bounds[n], h.Bounds[n-1])
		}
	}
	if len(h.Counts) > 0 && slices.Min(h.Counts) < 0 {
		t.Errorf("%s: a count is negative: %v", arm, h.Counts)
	}
}

// total is what samples add up to, by arm.
type total map[rollout.Arm]*counts

type counts struct{ requests, errors, timed float64 }

func (sum total) add(arms rollout.Arms) {
	for arm, sample := range map[rollout.Arm]*rollout.Sample{rollout.Stable: arms.Stable, rollout.Canary: arms.Canary} {
		if sum[arm] == nil {
			sum[arm] = &counts{}
		}
		if sample == nil {
			continue
		}
		sum[arm].requests += value(sample.Requests)
		sum[arm].errors += value(sample.Errors)
		if sample.Latency != nil {
			for _, n := range sample.Latency.Counts {
				sum[arm].timed += n
			}
		}
	}
}

// until collects until the sum is as wanted or patience ends, and then once
// more: nothing may come after.
func (s *suite) until(t *testing.T, sum total, want map[rollout.Arm]counts) {
	t.Helper()
	enough := func() bool {
		for arm, w := range want {
			if sum[arm].requests < w.requests || sum[arm].errors < w.errors {
				return false
			}
		}
		return true
	}
	deadline := time.Now().Add(s.Patience)
	for {
		sum.add(s.collect(t))
		if enough() || !time.Now().Before(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	sum.add(s.collect(t))
	for arm, w := range want {
		if got := sum[arm]; got.requests != w.requests || got.errors != w.errors {
			t.Errorf("%s: measured %v requests and %v errors, want %v and %v", arm, got.requests, got.errors, w.requests, w.errors)
		}
	}
}

func value(p *float64) float64 {
	if p == nil {
		return 0
	}
	return *p
}

func idle(t *testing.T, s *suite) {
	s.until(t, total{}, map[rollout.Arm]counts{rollout.Stable: {}, rollout.Canary: {}})
}

func countsOnce(t *testing.T, s *suite) {
	for _, c := range []struct{ stable, stableErrors, canary, canaryErrors int }{
		{30, 0, 10, 0}, {20, 20, 0, 0}, {0, 0, 5, 3}, {0, 0, 0, 0}, {1, 1, 1, 0},
	} {
		s.Load(t, rollout.Stable, c.stable, c.stableErrors)
		s.Load(t, rollout.Canary, c.canary, c.canaryErrors)
		s.until(t, total{}, map[rollout.Arm]counts{
			rollout.Stable: {requests: float64(c.stable), errors: float64(c.stableErrors)},
			rollout.Canary: {requests: float64(c.canary), errors: float64(c.canaryErrors)},
		})
	}
}

func addsUpUnderLoad(t *testing.T, s *suite) {
	const users, each, errors = 4, 100, 30
	var load sync.WaitGroup
	for range users {
		load.Go(func() { s.Load(t, rollout.Stable, each, errors) })
		load.Go(func() { s.Load(t, rollout.Canary, each, errors) })
	}
	done := make(chan struct{})
	go func() { load.Wait(); close(done) }()
	sum := total{}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			sum.add(s.collect(t))
		}
	}
	want := counts{requests: users * each, errors: users * errors}
	s.until(t, sum, map[rollout.Arm]counts{rollout.Stable: want, rollout.Canary: want})
}

func distributes(t *testing.T, s *suite) {
	if !s.Latency {
		t.Skip("this source measures no latency")
	}
	began := time.Now()
	s.Load(t, rollout.Stable, 50, 0)
	longest := time.Since(began).Seconds()
	timed, took := 0.0, 0.0
	for deadline := time.Now().Add(s.Patience); ; time.Sleep(20 * time.Millisecond) {
		if arms := s.collect(t); arms.Stable != nil && arms.Stable.Latency != nil {
			h := arms.Stable.Latency
			low, high := bounds(h)
			if value(h.Sum) < low || value(h.Sum) > high {
				t.Errorf("the sum %v does not lie within what the buckets allow, %v to %v", value(h.Sum), low, high)
			}
			for _, n := range h.Counts {
				timed += n
			}
			took += value(h.Sum)
		}
		if timed >= 50 || !time.Now().Before(deadline) {
			break
		}
	}
	if timed != 50 {
		t.Errorf("the distribution holds %v requests, want 50", timed)
	}
	if took <= 0 || took > longest {
		t.Errorf("the latencies' sum is %v, want it above 0 and at most the %v s that all took one after another", took, longest)
	}
}

// bounds is the least and the greatest sum of what a histogram's buckets hold.
func bounds(h *rollout.Histogram) (low, high float64) {
	for n, count := range h.Counts {
		if count == 0 {
			continue
		}
		if n > 0 {
			low += count * h.Bounds[n-1]
		}
		if n == len(h.Bounds) {
			return low, math.Inf(1)
		}
		high += count * h.Bounds[n]
	}
	return low, high
}

func addsUpInstances(t *testing.T, s *suite) {
	if !s.ByInstance {
		t.Skip("this source does not tell instances apart")
	}
	requests, errors := 0.0, 0.0
	s.Load(t, rollout.Stable, 40, 10)
	deadline := time.Now().Add(s.Patience)
	for {
		arms := s.collect(t)
		if arms.Stable != nil {
			for name, i := range arms.Stable.ByInstance {
				if name == "" || value(i.Errors) > value(i.Requests) {
					t.Errorf("instance %q: %v errors of %v requests", name, value(i.Errors), value(i.Requests))
				}
				requests += value(i.Requests)
				errors += value(i.Errors)
			}
		}
		if requests >= 40 || !time.Now().Before(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if requests != 40 || errors != 10 {
		t.Errorf("the instances have %v requests and %v errors together, want 40 and 10", requests, errors)
	}
}

func forgetsTheOld(t *testing.T, s *suite) {
	s.Load(t, rollout.Stable, 25, 5)
	s.until(t, total{}, map[rollout.Arm]counts{rollout.Stable: {requests: 25, errors: 5}})
	s.Source = s.Reopen(t)
	s.last = time.Now()
	s.Load(t, rollout.Stable, 10, 2)
	s.until(t, total{}, map[rollout.Arm]counts{rollout.Stable: {requests: 10, errors: 2}, rollout.Canary: {}})
}

func ends(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Source.Collect(ctx, s.last, time.Now()); err == nil {
		t.Error("Collect that was given up returned no error")
	}
	// What happened meanwhile comes with the next call.
	s.Load(t, rollout.Stable, 5, 0)
	s.until(t, total{}, map[rollout.Arm]counts{rollout.Stable: {requests: 5}})
}

func missed(t *testing.T, s *suite) {
	if s.Lose == nil {
		// Then both arms are in every sample.
		for range 3 {
			if arms := s.collect(t); arms.Stable == nil || arms.Canary == nil {
				t.Errorf("an arm is nil although it can always be measured: %+v", arms)
			}
		}
		return
	}
	s.Load(t, rollout.Stable, 6, 1)
	s.Load(t, rollout.Canary, 4, 1)
	want := map[rollout.Arm]counts{rollout.Stable: {requests: 6, errors: 1}, rollout.Canary: {requests: 4, errors: 1}}
	s.until(t, total{}, want)

	restore := s.Lose(t, rollout.Canary)
	s.Load(t, rollout.Stable, 9, 2)
	sum := total{}
	for deadline := time.Now().Add(s.Patience); ; time.Sleep(20 * time.Millisecond) {
		arms := s.collect(t)
		sum.add(arms)
		if arms.Canary == nil && sum[rollout.Stable].requests == 9 {
			break
		}
		if !time.Now().Before(deadline) {
			t.Fatalf("after %s the lost canary is not nil, or stable is: %+v", s.Patience, arms)
		}
	}
	restore()
	s.Load(t, rollout.Canary, 5, 3)
	s.until(t, sum, map[rollout.Arm]counts{rollout.Stable: {requests: 9, errors: 2}, rollout.Canary: {requests: 5, errors: 3}})
}

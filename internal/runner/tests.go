package runner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/workload"
)

// Test is one configured continuous test.
type Test struct {
	Name              string
	Gate              gate.Gate
	Interval, Timeout time.Duration
}

// BackgroundTests runs continuous tests in goroutines of its own, one each, so
// that a hanging test holds up nothing.
type BackgroundTests struct {
	tests []Test
	store store.Store
	log   *slog.Logger
	wake  func()

	mu      sync.Mutex
	phase   int
	call    gate.Call
	results map[string]engine.TestResult
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// NewTests returns the tests of one run. wake is called when one has failed.
func NewTests(tests []Test, st store.Store, log *slog.Logger, wake func()) *BackgroundTests {
	return &BackgroundTests{tests: tests, store: st, log: log, wake: wake, results: map[string]engine.TestResult{}}
}

// Watch implements Tests.
func (b *BackgroundTests) Watch(phase, weight int, run store.Run, status workload.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.call = gateCall(run, status)
	b.call.Phase, b.call.Weight = phase, weight
	if phase == b.phase {
		return
	}
	b.phase = phase
	b.results = map[string]engine.TestResult{}
	if b.cancel != nil {
		b.cancel()
		b.cancel = nil
	}
	if phase == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	for _, t := range b.tests {
		b.wg.Go(func() { b.repeat(ctx, t, phase) })
	}
}

// Results implements Tests.
func (b *BackgroundTests) Results() []engine.TestResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []engine.TestResult
	for _, t := range b.tests {
		if r, ok := b.results[t.Name]; ok {
			out = append(out, r)
		}
	}
	return out
}

// Close stops the tests and waits for them.
func (b *BackgroundTests) Close() {
	b.mu.Lock()
	if b.cancel != nil {
		b.cancel()
	}
	b.mu.Unlock()
	b.wg.Wait()
}

func (b *BackgroundTests) repeat(ctx context.Context, t Test, phase int) {
	tick := time.NewTicker(t.Interval)
	defer tick.Stop()
	for {
		b.once(ctx, t, phase)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (b *BackgroundTests) once(ctx context.Context, t Test, phase int) {
	b.mu.Lock()
	call := b.call
	b.mu.Unlock()
	call.Name, call.Key = t.Name, call.Run+"/test/"+t.Name
	ctxRun, cancel := context.WithTimeout(ctx, t.Timeout)
	res := t.Gate.Run(ctxRun, call)
	cancel()
	if ctx.Err() != nil {
		return // the phase is over; what was asked of it says nothing
	}
	b.mu.Lock()
	if b.phase != phase {
		b.mu.Unlock()
		return
	}
	was := b.results[t.Name]
	now := engine.TestResult{Name: t.Name, Passes: was.Passes, Message: res.Message}
	if res.Passed {
		now.Passes++
	} else {
		now.Failures = was.Failures + 1
	}
	b.results[t.Name] = now
	b.mu.Unlock()
	// Every change of standing is recorded; a test that goes on passing, or
	// failing, is recorded once.
	if !res.Passed && now.Failures <= 10 || res.Passed && (was.Failures > 0 || was.Passes == 0) {
		appendGate(ctx, b.store, b.log, call.Run, call, res)
	}
	if !res.Passed {
		b.wake()
	}
}

package runner

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/workload"
)

// Hook is one configured hook, ready to be called.
type Hook struct {
	Gate    gate.Gate
	Timeout time.Duration
	Retries int
}

// Chore is a piece of Serin's own work; it returns what it did in one line.
type Chore func(ctx context.Context, run store.Run, status workload.Status) (string, error)

// choreTimeout bounds one chore with its retries, as it may need what comes back, such
// as room on a disk; the engine waits no longer.
const choreTimeout = 45 * time.Second

// retryPause is the wait before a failed hook is called again, and before a failed
// chore is the first time.
const retryPause = time.Second

// BackgroundJobs runs hooks and chores in goroutines of its own.
type BackgroundJobs struct {
	hooks  map[string]Hook
	chores map[engine.JobKind]Chore
	store  store.Store
	log    *slog.Logger
	wake   func()

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	begun   map[string]bool
	results []engine.JobResult
}

// NewJobs returns jobs for one run. wake is called whenever one has finished.
func NewJobs(hooks map[string]Hook, chores map[engine.JobKind]Chore, st store.Store, log *slog.Logger, wake func()) *BackgroundJobs {
	ctx, cancel := context.WithCancel(context.Background())
	return &BackgroundJobs{
		hooks: hooks, chores: chores, store: st, log: log, wake: wake,
		ctx: ctx, cancel: cancel, begun: map[string]bool{},
	}
}

// Start implements Jobs.
func (b *BackgroundJobs) Start(j engine.Job, run store.Run, status workload.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun[j.Key] {
		return
	}
	b.begun[j.Key] = true
	b.wg.Go(func() {
		res := b.do(j, run, status)
		if b.ctx.Err() != nil {
			return // Serin is stopping: the next one asks again, under the same key
		}
		b.mu.Lock()
		b.results = append(b.results, res)
		b.mu.Unlock()
		b.wake()
	})
}

// Results implements Jobs.
func (b *BackgroundJobs) Results() []engine.JobResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]engine.JobResult(nil), b.results...)
}

// Close stops what is under way and waits for it.
func (b *BackgroundJobs) Close() {
	b.cancel()
	b.wg.Wait()
}

func (b *BackgroundJobs) do(j engine.Job, run store.Run, status workload.Status) engine.JobResult {
	if j.Kind == engine.JobHook {
		return b.call(j, run, status)
	}
	chore, ok := b.chores[j.Kind]
	if !ok {
		return engine.JobResult{Key: j.Key, Passed: true, Message: "nothing to do"}
	}
	ctx, cancel := context.WithTimeout(b.ctx, choreTimeout)
	defer cancel()
	for pause := retryPause; ; pause *= 2 {
		message, err := chore(ctx, run, status)
		if err == nil {
			return engine.JobResult{Key: j.Key, Passed: true, Message: message}
		}
		b.log.Warn("chore failed", "run", run.ID, "chore", j.Kind, "error", err)
		if until, _ := ctx.Deadline(); !time.Now().Add(pause).Before(until) {
			return engine.JobResult{Key: j.Key, Message: err.Error()}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return engine.JobResult{Key: j.Key, Message: err.Error()}
		}
	}
}

func (b *BackgroundJobs) call(j engine.Job, run store.Run, status workload.Status) engine.JobResult {
	h, ok := b.hooks[j.Hook]
	if !ok {
		return engine.JobResult{Key: j.Key, Message: fmt.Sprintf("hook %q is not configured", j.Hook)}
	}
	c := gateCall(run, status)
	c.Key, c.Name, c.Point, c.Phase = run.ID+"/"+j.Key, j.Hook, j.Point, j.Phase
	if j.Phase > 0 && j.Phase <= len(run.Plan.Phases) {
		c.Weight = run.Plan.Phases[j.Phase-1].Weight
	}
	if len(run.State.Cause) > 0 {
		c.Reason = run.State.Cause[0].Message
	}
	var res gate.Result
	for attempt := 0; ; attempt++ {
		ctx, cancel := context.WithTimeout(b.ctx, h.Timeout)
		res = h.Gate.Run(ctx, c)
		cancel()
		if b.ctx.Err() != nil {
			return engine.JobResult{}
		}
		appendGate(b.ctx, b.store, b.log, run.ID, c, res)
		if res.Passed || attempt >= h.Retries || b.ctx.Err() != nil {
			return engine.JobResult{Key: j.Key, Passed: res.Passed, Message: res.Message}
		}
		select {
		case <-time.After(retryPause):
		case <-b.ctx.Done():
		}
	}
}

// gateCall fills in what every gate is told.
func gateCall(run store.Run, status workload.Status) gate.Call {
	return gate.Call{
		Rollout: run.Rollout, Run: run.ID,
		StableVersion: run.StableVersion, CanaryVersion: run.CanaryVersion,
		Canary: status.Canary.Instances, Stable: status.Stable.Instances,
	}
}

// appendGate records an answer. A store that cannot take it delays nothing: what
// the answer means for the run is in the observations too.
func appendGate(ctx context.Context, st store.Store, log *slog.Logger, run string, c gate.Call, res gate.Result) {
	line, err := record.Encode(record.Gate{
		Gate: c.Name, Point: c.Point, At: time.Now().UTC().Round(0), Actor: record.Serin,
		Passed: res.Passed, Message: res.Message, Output: res.Output,
	})
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		err = st.Append(ctx, run, []record.Line{line})
	}
	if err != nil {
		log.Warn("an answer of a test or hook is not in the record", "run", run, "gate", c.Name, "passed", res.Passed, "message", res.Message, "error", err)
	}
}

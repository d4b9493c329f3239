package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/runner"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/workload"
)

// begin makes the run's candidate the workload's canary.
func (h *home) begin(run store.Run) error {
	var candidate workload.Version
	if err := json.Unmarshal(run.Candidate, &candidate); err != nil {
		return fmt.Errorf("read the candidate of %s: %w", run.ID, err)
	}
	if err := h.parts.Workload.BeginRun(candidate); err != nil && !errors.Is(err, workload.ErrServing) {
		return fmt.Errorf("go on with %s: %w", run.ID, err)
	}
	return nil
}

// unbegun is the workload of a run whose candidate cannot be made the canary. So
// it has none: the run is carried without traffic on a canary, hears what people
// ask for, and goes back when that lasts too long. It is tried again at every
// look; begun is called once it has worked.
type unbegun struct {
	builtin.Workload
	version string
	begin   func() error
	begun   func()
}

// Apply implements workload.Workload: stable alone.
func (w *unbegun) Apply(ctx context.Context, want workload.Want) error {
	return w.Workload.Apply(ctx, workload.Want{Stable: want.Stable})
}

// Observe implements workload.Workload.
func (w *unbegun) Observe(ctx context.Context) (workload.Status, error) {
	err := w.begin()
	if err == nil {
		w.begun()
	}
	s, errObserve := w.Workload.Observe(ctx)
	s.Canary, s.Baseline = workload.Group{Version: w.version}, nil
	if err != nil {
		s.Canary.Detail = err.Error()
	}
	return s, errObserve
}

// workload returns what the run is carried over, and what ends with the context
// that it returns: a workload that has no canary is given up once it can have one.
func (h *home) workload(ctx context.Context, run store.Run) (workload.Workload, context.Context, context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(ctx)
	err := h.begin(run)
	switch {
	case err == nil:
		return h.parts.Workload, ctx, cancel, nil
	case run.State.Status == engine.Promoting:
		// What serves may be the candidate by now: it is left as it is.
		h.mu.Lock()
		h.stuck = run.ID
		h.mu.Unlock()
		h.tellStuck(ctx, run, err)
		return nil, ctx, cancel, err
	}
	h.log.Error("the run is carried without its canary, and with no traffic on it, until the canary can be had", "run", run.ID, "error", err)
	return &unbegun{Workload: h.parts.Workload, version: run.CanaryVersion, begin: func() error { return h.begin(run) }, begun: cancel}, ctx, cancel, nil
}

// tellStuck tells people, once, of a promotion that nobody goes on with, and who
// asks something of it that it cannot be done: a run that is carried by nobody is
// told of by nobody else.
func (h *home) tellStuck(ctx context.Context, run store.Run, trouble error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	told := run
	told.State.At = time.Now().UTC().Round(0)
	text := fmt.Sprintf("%s: the promotion of %s cannot be gone on with: %v", run.Rollout, run.CanaryVersion, trouble)
	messages := runner.Address(told, rollout.Held, text, fmt.Sprintf("traffic stays where it is, and it is tried again; look at \"serin describe %s\"", run.Rollout), "")
	change := store.Change{Messages: messages}
	intents, err := h.store.Intents(ctx, run.ID)
	if err != nil {
		h.log.Warn("what people ask of a promotion that is stuck cannot be read", "run", run.ID, "error", err)
	}
	for _, i := range intents {
		change.Answered = append(change.Answered, engine.Answer{ID: i.ID, Message: fmt.Sprintf(
			"the promotion of %s can neither be gone on with nor be taken back, so traffic stays where it is: %v", run.CanaryVersion, trouble)})
	}
	if len(change.Messages)+len(change.Answered) == 0 {
		return
	}
	if _, err := h.store.Save(ctx, run, change); err != nil {
		h.log.Warn("people cannot be told that the promotion is stuck", "run", run.ID, "error", err)
		return
	}
	h.outbox.Wake()
}

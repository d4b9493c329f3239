package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// past is what is asked once, at the run's beginning: what stable's instances
// used before. Nothing waits for it. The tick that ends when it is there takes it
// along, and a run without it is judged as well, if more slowly.
type past struct {
	asked  bool
	answer chan recollection
}

type recollection struct {
	history *rollout.History
	err     error
}

const (
	// recallTime bounds all attempts together, recallTimes is how many there are,
	// and recallPause what is between two.
	recallTime  = 30 * time.Second
	recallTimes = 3
	recallPause = 2 * time.Second
)

// recall asks for the history unless it was asked for, or the run has been judged
// already.
func (r *Runner) recall(ctx context.Context) {
	if r.past.asked {
		return
	}
	r.past.asked = true
	uses := slices.ContainsFunc(r.run.Plan.Analysis.Checks, func(c rollout.Check) bool { return c.Type == rollout.CPU || c.Type == rollout.Memory })
	if !uses || !r.run.State.Analysis.At.IsZero() {
		return
	}
	answer := make(chan recollection, 1)
	r.past.answer = answer
	now, tick := r.opts.Now(), time.Duration(r.run.Plan.Analysis.Interval)
	ask := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recallTime)
		defer cancel()
		var got recollection
		for i := range recallTimes {
			if got.history, got.err = r.remember(ctx, now, tick); got.err == nil || r.opts.Synchronous || i == recallTimes-1 {
				break
			}
			if !sleep(ctx, recallPause, nil, nil) {
				break
			}
		}
		answer <- got
	}
	if r.opts.Synchronous {
		ask()
		return
	}
	go ask()
}

// remember asks what measures, and else what runs the instances.
func (r *Runner) remember(ctx context.Context, now time.Time, tick time.Duration) (h *rollout.History, err error) {
	if m, ok := r.ports.Metrics.(metrics.Historian); ok {
		if h, err = m.History(ctx, now, tick); h != nil || err != nil {
			return h, err
		}
	}
	if w, ok := r.ports.Workload.(workload.Historian); ok {
		return w.History(ctx, now, tick)
	}
	return nil, nil
}

// recalled is the history when it has come, once.
func (r *Runner) recalled() *rollout.History {
	select {
	case got := <-r.past.answer:
		switch {
		case got.err != nil:
			r.opts.Logger.Warn("what stable used before the run could not be read", "run", r.id, "error", got.err)
			r.effects.failed("read history", r.opts.Now(), got.err)
		case got.history != nil:
			r.effects.add("read history", r.opts.Now(), describe(got.history), nil)
		}
		return got.history
	default:
		return nil
	}
}

func describe(h *rollout.History) string {
	longest := 0
	for _, use := range []map[string][]float64{h.CPU, h.Memory} {
		for _, list := range use {
			longest = max(longest, len(list))
		}
	}
	return fmt.Sprintf("stable's use before the run: processor time of %d and memory of %d, %s at most", len(h.CPU), len(h.Memory), time.Duration(h.Interval)*time.Duration(longest))
}

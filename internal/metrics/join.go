package metrics

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Join returns a source that measures what main does, and takes the business
// figures and complaints that more has to them. Without more's figures a tick is
// still a tick.
func Join(main, more Source, log *slog.Logger) Source {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &joined{main: main, more: more, log: log}
}

type joined struct {
	main, more Source
	log        *slog.Logger
}

// Collect implements Source.
func (j *joined) Collect(ctx context.Context, since, now time.Time) (rollout.Arms, error) {
	type answer struct {
		arms rollout.Arms
		err  error
	}
	extra := make(chan answer, 1)
	go func() {
		arms, err := j.more.Collect(ctx, since, now)
		extra <- answer{arms, err}
	}()
	arms, err := j.main.Collect(ctx, since, now)
	more := <-extra
	if more.err != nil {
		j.log.Warn("business figures could not be collected", "error", more.err)
	}
	if err != nil {
		return arms, err
	}
	arms.Stable, arms.Canary = with(arms.Stable, more.arms.Stable), with(arms.Canary, more.arms.Canary)
	return arms, nil
}

// with adds what is missing in s. An arm that was not measured stays so: its
// business figures alone would look like those of an arm without requests.
func with(s, more *rollout.Sample) *rollout.Sample {
	if s == nil || more == nil {
		return s
	}
	out := *s
	if out.Complaints == nil {
		out.Complaints = more.Complaints
	}
	for name, b := range more.Business {
		if out.Business == nil {
			out.Business = map[string]rollout.BusinessSample{}
		}
		if _, has := out.Business[name]; !has {
			out.Business[name] = b
		}
	}
	return &out
}

// History implements Historian.
func (j *joined) History(ctx context.Context, now time.Time, tick time.Duration) (*rollout.History, error) {
	h, ok := j.main.(Historian)
	if !ok {
		return nil, nil
	}
	return h.History(ctx, now, tick)
}

// Close implements Source.
func (j *joined) Close() error { return errors.Join(j.main.Close(), j.more.Close()) }

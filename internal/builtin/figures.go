package builtin

import (
	"context"
	"errors"
	"log/slog"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/metrics/httpfigures"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
)

// withFigures adds the business figures that a rollout names to what measures
// it.
func withFigures(main metrics.Source, r rollout.Rollout, log *slog.Logger, observe func(context.Context) (workload.Status, error)) (metrics.Source, error) {
	a := r.Spec.Analysis.Business
	if a.IsZero() {
		return main, nil
	}
	build, err := find(business, rollout.BusinessPort, a.Kind)
	if err != nil {
		return nil, errors.Join(err, main.Close())
	}
	more, err := build(a, httpfigures.Env{Logger: log, Versions: func(ctx context.Context) (map[rollout.Arm]string, error) {
		status, err := observe(ctx)
		if err != nil {
			return nil, err
		}
		return map[rollout.Arm]string{rollout.Stable: status.Stable.Version, rollout.Canary: status.Canary.Version}, nil
	}})
	if err != nil {
		return nil, errors.Join(err, main.Close())
	}
	return metrics.Join(main, more, log), nil
}

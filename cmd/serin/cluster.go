package main

import (
	"context"
	"path/filepath"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/cli"
)

func control(ctx context.Context, o cli.ControllerOptions) error {
	if o.Archive == "" {
		state, err := app.StateDir()
		if err != nil {
			return err
		}
		o.Archive = filepath.Join(state, "archive")
	}
	return app.Controller(ctx, app.ControllerOptions{
		Target: o.Target, Version: version, Namespaces: o.Namespaces,
		LeaderElection: o.LeaderElection, Namespace: o.Namespace,
		MetricsAddress: o.MetricsAddress, HealthAddress: o.HealthAddress,
		Archive: o.Archive, Prometheus: o.Prometheus, Preset: o.Preset,
		HoldAlways: o.HoldAlways, Keep: o.Keep, Logger: o.Logger,
	})
}

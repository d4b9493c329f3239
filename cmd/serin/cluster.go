package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/cli"
)

// collectAt is by how many percent the heap of a controller may grow before it
// is collected. Most of it is what the cluster's caches hold, which hardly
// changes: room for it to grow by as much again, as is usual, would only be
// room. Whoever sets GOGC decides.
const collectAt = 50

func control(ctx context.Context, o cli.ControllerOptions) error {
	if o.Archive == "" {
		state, err := app.StateDir()
		if err != nil {
			return err
		}
		o.Archive = filepath.Join(state, "archive")
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	return app.Controller(ctx, app.ControllerOptions{
		Target: o.Target, Version: version, Namespaces: o.Namespaces,
		LeaderElection: o.LeaderElection, Namespace: o.Namespace, Pod: o.Pod,
		MetricsAddress: o.MetricsAddress, HealthAddress: o.HealthAddress,
		Archive: o.Archive, Prometheus: o.Prometheus, Preset: o.Preset,
		HoldAlways: o.HoldAlways, Keep: o.Keep, Logger: o.Logger,
	})
}

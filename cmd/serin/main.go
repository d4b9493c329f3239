// Command serin is the program: it wires the command line to the program's
// modes and does nothing else.
package main

import (
	"context"
	"net/http"
	"os"
	"time"

	"serin.dev/serin/internal/app"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/cli"
	"serin.dev/serin/internal/demo/shop"
	"serin.dev/serin/internal/guarded"
)

// version is set by the release build.
var version = "dev"

func main() {
	// Some notification services can only be reached through the default
	// transport; it is the guarded one, so that no address a user wrote leads
	// where it must not.
	http.DefaultTransport = guarded.NewTransport(guarded.Options{Timeout: 30 * time.Second, Proxy: true})
	catalog := builtin.Catalog()
	p := cli.Program{
		Version:        version,
		Catalog:        catalog,
		Schema:         func() ([]byte, error) { return builtin.Schema(catalog) },
		ScenarioSchema: app.ScenarioSchema,
		StateDir:       stateDir,
		ReadOnly:       readOnly,
		Run:            run,
		Serve:          serve,
		Controller:     control,
		Demo:           demonstrate,
		Shop:           shop.Main,
		Recorded:       cli.Recorder(app.Recorded),
		Unmakeable:     app.Unmakeable,
		Claims:         app.Claims,
		Instances:      app.Instances,
		Cluster:        cli.Cluster{Permissions: app.Permissions, Router: app.ClusterRouter, Open: app.Cluster, Revert: app.Revert, Restart: app.Restart, Parse: app.ClusterParser(), Metrics: app.ClusterMetrics, Asides: app.ClusterAsides, Refusals: app.ClusterRefusals},
		Code:           code,
	}
	os.Exit(p.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

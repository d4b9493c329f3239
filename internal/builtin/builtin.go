// Package builtin is the switchboard: the one place that knows which adapters
// exist. An adapter is a line here, a folder, and a call of its port's
// conformance suite; nothing else changes when one comes or goes.
package builtin

import (
	"fmt"
	"log/slog"
	"maps"
	"os"

	"serin.dev/serin/internal/archive"
	archivefile "serin.dev/serin/internal/archive/file"
	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/gate/command"
	httpgate "serin.dev/serin/internal/gate/http"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/metrics/httpfigures"
	"serin.dev/serin/internal/metrics/prometheus"
	"serin.dev/serin/internal/metrics/proxystats"
	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/notify/cloudevents"
	"serin.dev/serin/internal/notify/shoutrrr"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/gatewayapi"
	"serin.dev/serin/internal/traffic/istio"
	trafficproxy "serin.dev/serin/internal/traffic/proxy"
	"serin.dev/serin/internal/traffic/service"
	"serin.dev/serin/internal/workload/deployment"
	"serin.dev/serin/internal/workload/endpoints"
	"serin.dev/serin/internal/workload/process"
)

// Env is what adapters on this machine need to know about where they run.
type Env struct {
	// Rollout is the rollout's name.
	Rollout string
	// BaseDir is the folder of the rollout's file; relative paths start there.
	BaseDir string
	// StateDir is the rollout's own folder.
	StateDir string
	// Fresh forgets what an earlier program left running there.
	Fresh bool
	// Router, when it is not nil, serves already and is used as it is.
	Router Router
	// Inherited are a predecessor's listening sockets, by the router's names.
	Inherited map[string]*os.File
	Logger    *slog.Logger
}

type (
	newWorkload func(rollout.Adapter, Env) (Workload, error)
	newRouter   func(rollout.Adapter, Env) (Router, error)
	newSource   func(rollout.Adapter, *Machine, Env) (metrics.Source, error)
	newFigures  func(rollout.Adapter, httpfigures.Env) (metrics.Source, error)
	newTest     func(rollout.Adapter, string) (gate.Gate, error)
	newNotifier func(rollout.Adapter, *slog.Logger) (notify.Notifier, error)
	newArchive  func(rollout.Adapter, string) (archive.Archive, error)

	newClusterRouter func(rollout.Adapter, kube.Env) (traffic.Router, error)
)

type line[T any] struct {
	config func() any
	build  T
}

// The adapters, one line each.
var (
	workloads = map[string]line[newWorkload]{
		"process":    {process.NewConfig, configured(func(c process.Config, e Env) (Workload, error) { return newProcess(c, e) })},
		"endpoints":  {endpoints.NewConfig, configured(func(c endpoints.Config, e Env) (Workload, error) { return newEndpoints(c, e) })},
		"deployment": {deployment.NewConfig, nil}, // a cluster alone has them
	}
	routers = map[string]line[newRouter]{
		"proxy": {trafficproxy.NewConfig, configured(func(c trafficproxy.Config, e Env) (Router, error) { return newProxy(c, e) })},
	}
	clusterRouters = map[string]line[newClusterRouter]{
		"gatewayAPI": {gatewayapi.NewConfig, configured(func(c gatewayapi.Config, e kube.Env) (traffic.Router, error) { return gatewayapi.New(c, e) })},
		"istio":      {istio.NewConfig, configured(func(c istio.Config, e kube.Env) (traffic.Router, error) { return istio.New(c, e) })},
		"service":    {service.NewConfig, configured(func(c service.Config, e kube.Env) (traffic.Router, error) { return service.New(c, e) })},
	}
	sources = map[string]line[newSource]{
		"proxy":      {proxystats.NewConfig, newProxyStats},
		"prometheus": {prometheus.NewConfig, newPrometheus},
	}
	business = map[string]line[newFigures]{
		"http": {httpfigures.NewConfig, configured(func(c httpfigures.Config, e httpfigures.Env) (metrics.Source, error) { return httpfigures.New(c, e) })},
	}
	tests = map[string]line[newTest]{
		"command": {command.NewConfig, configured(func(c command.Config, dir string) (gate.Gate, error) { return newCommand(c, dir) })},
		"http":    {httpgate.NewTestConfig, configured(func(c httpgate.TestConfig, _ string) (gate.Gate, error) { return httpgate.NewTest(c) })},
	}
	hooks = map[string]line[newTest]{
		"command": {command.NewConfig, configured(func(c command.Config, dir string) (gate.Gate, error) { return newCommand(c, dir) })},
		"http":    {httpgate.NewHookConfig, configured(func(c httpgate.HookConfig, _ string) (gate.Gate, error) { return httpgate.NewHook(c) })},
	}
	notifiers = map[string]line[newNotifier]{
		"shoutrrr": {shoutrrr.NewConfig, configured(func(c shoutrrr.Config, log *slog.Logger) (notify.Notifier, error) {
			return shoutrrr.New(c, shoutrrr.Env{Log: log})
		})},
		"cloudevents": {cloudevents.NewConfig, configured(func(c cloudevents.Config, _ *slog.Logger) (notify.Notifier, error) { return cloudevents.New(c) })},
	}
	archives = map[string]line[newArchive]{
		"file": {archivefile.NewConfig, configured(func(c archivefile.Config, dir string) (archive.Archive, error) { return archivefile.New(c, dir) })},
	}
)

// The defaults where a file names no adapter.
const (
	defaultSource  = "proxy"
	defaultArchive = "file"
)

// configured turns a constructor that takes its own configuration type into
// one that takes the configuration still encoded.
func configured[C, E, T any](build func(C, E) (T, error)) func(rollout.Adapter, E) (T, error) {
	return func(a rollout.Adapter, env E) (T, error) {
		var config C
		var none T
		if err := a.Decode(&config); err != nil {
			return none, err
		}
		return build(config, env)
	}
}

// Catalog lists the adapters for readers of a rollout's file.
func Catalog() rollout.Catalog {
	catalog := rollout.Catalog{
		rollout.WorkloadPort: configs(workloads),
		rollout.TrafficPort:  configs(routers, configs(clusterRouters)),
		rollout.MetricsPort:  configs(sources),
		rollout.BusinessPort: configs(business),
		rollout.TestPort:     configs(tests),
		rollout.HookPort:     configs(hooks),
		rollout.NotifyPort:   configs(notifiers),
		rollout.ArchivePort:  configs(archives),
	}
	catalog[rollout.HookPort][rollout.ApprovalKind] = func() any { return &struct{}{} }
	return catalog
}

// configs lists the configurations of adapters, those of more first.
func configs[T any](lines map[string]line[T], more ...map[string]func() any) map[string]func() any {
	out := map[string]func() any{}
	for _, m := range more {
		maps.Copy(out, m)
	}
	for kind, l := range lines {
		out[kind] = l.config
	}
	return out
}

// find returns the constructor of an adapter; the file was validated against
// Catalog, so a miss is a file written by another version of the program.
func find[T any](lines map[string]line[T], port rollout.Port, kind string) (T, error) {
	l, ok := lines[kind]
	if !ok {
		return l.build, fmt.Errorf("%s adapter %q is not part of this program", port, kind)
	}
	return l.build, nil
}

// NewNotifier builds one receiver of messages.
func NewNotifier(n rollout.Notifier, log *slog.Logger) (notify.Notifier, error) {
	build, err := find(notifiers, rollout.NotifyPort, n.Kind)
	if err != nil {
		return nil, err
	}
	return build(n.Adapter, log)
}

// NewArchive builds a rollout's archive; dir is the default folder.
func NewArchive(a rollout.Adapter, dir string) (archive.Archive, error) {
	if a.IsZero() {
		a = rollout.Adapter{Kind: defaultArchive, Config: []byte("{}")}
	}
	build, err := find(archives, rollout.ArchivePort, a.Kind)
	if err != nil {
		return nil, err
	}
	return build(a, dir)
}

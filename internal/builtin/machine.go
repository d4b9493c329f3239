package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/metrics/prometheus"
	"serin.dev/serin/internal/metrics/proxystats"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	trafficproxy "serin.dev/serin/internal/traffic/proxy"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/endpoints"
	"serin.dev/serin/internal/workload/process"
)

// Workload is what a workload on this machine offers: it outlives runs.
type Workload interface {
	workload.Workload
	workload.Releaser
}

// Router is what a router inside this process offers.
type Router interface {
	traffic.Router
	// Bind binds its addresses, or takes the inherited ones: who connects waits.
	Bind(ctx context.Context) error
	// Start serves there; it binds what has not been bound.
	Start(ctx context.Context) error
	// Listen is the address users reach.
	Listen() string
	// Files returns copies of the listening sockets by name, to be inherited by
	// a successor; the caller closes them.
	Files() (map[string]*os.File, error)
	// Failed yields an error when serving ends by itself.
	Failed() <-chan error
	// Close finishes requests in flight until ctx ends.
	Close(ctx context.Context) error
}

// Machine is the adapters of one rollout on one machine.
type Machine struct {
	Workload Workload
	Router   Router
	Metrics  metrics.Source
}

// MachineProblems says what a rollout asks for that only a cluster has, or that
// its adapters cannot have together.
func MachineProblems(r rollout.Rollout) []rollout.Problem {
	var ps []rollout.Problem
	elsewhere := func(port rollout.Port, kind, instead string) {
		ps = append(ps, rollout.Problem{
			Field: fmt.Sprintf("spec.%s.%s", port, kind), Message: "needs a cluster",
			Mend: fmt.Sprintf("apply this file to one that runs serin controller, or write %s for this machine", instead),
		})
	}
	if l, ok := workloads[r.Spec.Workload.Kind]; ok && l.build == nil {
		elsewhere(rollout.WorkloadPort, r.Spec.Workload.Kind, "process: {…} or endpoints: {…}")
	}
	if _, ok := clusterRouters[r.Spec.Traffic.Kind]; ok {
		elsewhere(rollout.TrafficPort, r.Spec.Traffic.Kind, "proxy: {…}")
	}
	return append(ps, baselineProblems(r)...)
}

// NewMachine builds a rollout's adapters. It starts nothing.
func NewMachine(r rollout.Rollout, env Env) (*Machine, error) {
	if err := asError(MachineProblems(r)); err != nil {
		return nil, err
	}
	build, err := find(workloads, rollout.WorkloadPort, r.Spec.Workload.Kind)
	if err != nil {
		return nil, err
	}
	route, err := find(routers, rollout.TrafficPort, r.Spec.Traffic.Kind)
	if err != nil {
		return nil, err
	}
	source := r.Spec.Analysis.Metrics
	if source.IsZero() {
		source = rollout.Adapter{Kind: defaultSource, Config: []byte("{}")}
	}
	measure, err := find(sources, rollout.MetricsPort, source.Kind)
	if err != nil {
		return nil, err
	}
	m := &Machine{}
	if m.Router = env.Router; m.Router == nil {
		if m.Router, err = route(r.Spec.Traffic, env); err != nil {
			return nil, err
		}
	}
	if m.Workload, err = build(r.Spec.Workload, env); err != nil {
		return nil, err
	}
	if m.Metrics, err = measure(source, m, env); err != nil {
		return nil, errors.Join(err, m.Workload.Close())
	}
	if m.Metrics, err = withFigures(m.Metrics, r, env.Logger, m.Workload.Observe); err != nil {
		return nil, errors.Join(err, m.Workload.Close())
	}
	return m, nil
}

// Changed signals changes of the workload; nil where it cannot say.
func (m *Machine) Changed() <-chan struct{} {
	if n, ok := m.Workload.(workload.Notifier); ok {
		return n.Changed()
	}
	return nil
}

// Close releases everything but the router, which is closed by itself so that
// requests can finish. Instances go on running.
func (m *Machine) Close() error { return errors.Join(m.Metrics.Close(), m.Workload.Close()) }

// FileCandidate is the candidate that a rollout's file names: the canary of
// its workload, or stable's way to run where it names none.
func FileCandidate(r rollout.Rollout) (workload.Version, error) {
	var versions struct {
		Stable workload.Version `json:"stable"`
		Canary workload.Version `json:"canary"`
	}
	if err := json.Unmarshal(r.Spec.Workload.Config, &versions); err != nil {
		return workload.Version{}, fmt.Errorf("read the workload of %s: %w", r.Metadata.Name, err)
	}
	v := versions.Canary
	if len(v.Command) == 0 && len(v.URLs) == 0 {
		version := v.Version
		v = versions.Stable
		v.Version, v.URLs = version, nil
	}
	return v, nil
}

func newProcess(c process.Config, e Env) (Workload, error) {
	return process.New(c, process.Env{Rollout: e.Rollout, BaseDir: e.BaseDir, StateDir: e.StateDir, Fresh: e.Fresh, Logger: e.Logger})
}

func newEndpoints(c endpoints.Config, e Env) (Workload, error) {
	return endpoints.New(c, endpoints.Env{Rollout: e.Rollout, StateDir: e.StateDir, Fresh: e.Fresh, Logger: e.Logger})
}

func newProxy(c trafficproxy.Config, e Env) (Router, error) {
	return trafficproxy.New(c, trafficproxy.Env{
		Rollout: e.Rollout, BaseDir: e.BaseDir, StateDir: e.StateDir, Fresh: e.Fresh, Logger: e.Logger,
		Inherited: e.Inherited,
	})
}

func newProxyStats(_ rollout.Adapter, m *Machine, _ Env) (metrics.Source, error) {
	p, ok := m.Router.(*trafficproxy.Router)
	if !ok {
		return nil, errors.New("the proxy's statistics need traffic: {proxy: …}; name another metrics adapter")
	}
	return proxystats.New(p.Proxy()), nil
}

// newPrometheus tells the arms apart by their versions.
func newPrometheus(a rollout.Adapter, m *Machine, e Env) (metrics.Source, error) {
	var c prometheus.Config
	if err := a.Decode(&c); err != nil {
		return nil, err
	}
	return prometheus.New(c, prometheus.Env{Rollout: e.Rollout, Logger: e.Logger, Groups: func(ctx context.Context) (map[rollout.Arm]prometheus.Group, error) {
		status, err := m.Workload.Observe(ctx)
		if err != nil {
			return nil, err
		}
		return map[rollout.Arm]prometheus.Group{
			rollout.Stable: {Version: status.Stable.Version, Instances: len(status.Stable.Instances)},
			rollout.Canary: {Version: status.Canary.Version, Instances: len(status.Canary.Instances)},
		}, nil
	}})
}

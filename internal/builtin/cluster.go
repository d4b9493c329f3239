package builtin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/metrics/prometheus"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/istio"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/deployment"
)

// Crowd spreads the questions of many runs. All runs share one.
type Crowd = prometheus.Crowd

// Events tell runs of changes of their workloads. All runs share one.
type Events = deployment.Events

// NewEvents returns what tells of changes that a cache sees.
func NewEvents(informers cache.Informers) *Events { return deployment.NewEvents(informers) }

// ClusterEnv is what adapters on a cluster need to know about where they run.
type ClusterEnv struct {
	kube.Env
	Pods       corev1client.PodsGetter
	Events     *Events
	Crowd      *Crowd
	HoldAlways bool
	// Prometheus is asked where a rollout names no metrics, and Preset whose
	// counters it has.
	Prometheus, Preset string

	// Run is the run that goes on, and its two revisions; only NewCluster needs
	// them.
	Run            string
	RunUID         types.UID
	Stable, Canary serinv1.Revision
}

// ClusterRouter is what a router on a cluster offers.
type ClusterRouter interface {
	traffic.Router
	traffic.Rester
	traffic.Preparer
	traffic.Checker
}

// Cluster is the adapters of one run on a cluster.
type Cluster struct {
	Workload workload.Workload
	Router   ClusterRouter
	Metrics  metrics.Source
}

// NewCluster builds the adapters of a run. It starts nothing.
func NewCluster(r rollout.Rollout, env ClusterEnv) (*Cluster, error) {
	w, err := newDeployment(r, env)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Workload: w}
	if c.Router, err = NewClusterRouter(r, env); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if c.Metrics, err = newClusterSource(r, env, w); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return c, nil
}

// Changed signals changes of the workload.
func (c *Cluster) Changed() <-chan struct{} {
	if n, ok := c.Workload.(workload.Notifier); ok {
		return n.Changed()
	}
	return nil
}

// Close releases everything. Instances and routes stay as they are.
func (c *Cluster) Close() error { return errors.Join(c.Metrics.Close(), c.Workload.Close()) }

// NewClusterRouter builds a rollout's router.
func NewClusterRouter(r rollout.Rollout, env ClusterEnv) (ClusterRouter, error) {
	build, err := find(clusterRouters, rollout.TrafficPort, r.Spec.Traffic.Kind)
	if err != nil {
		return nil, err
	}
	env.Baseline = r.Spec.Plan.Baseline
	router, err := build(r.Spec.Traffic, env.Env)
	if err != nil {
		return nil, err
	}
	whole, ok := router.(ClusterRouter)
	if !ok {
		return nil, fmt.Errorf("the router %q cannot be put to rest between runs", r.Spec.Traffic.Kind)
	}
	return whole, nil
}

// newDeployment builds the one workload that a cluster has.
func newDeployment(r rollout.Rollout, env ClusterEnv) (*deployment.Workload, error) {
	config, err := deploymentConfig(r)
	if err != nil {
		return nil, err
	}
	return deployment.New(config, env.deployment(r))
}

func (e ClusterEnv) deployment(r rollout.Rollout) deployment.Env {
	return deployment.Env{
		Env: e.Env, Pods: e.Pods, Events: e.Events, HoldAlways: e.HoldAlways,
		Run: deployment.Run{
			Name: e.Run, UID: e.RunUID, Stable: e.Stable, Canary: e.Canary,
			PodRatio: r.Spec.Traffic.Kind == podRatio, Baseline: r.Spec.Plan.Baseline,
		},
	}
}

// podRatio is the router whose weights are made by the number of pods.
const podRatio = "service"

func deploymentConfig(r rollout.Rollout) (deployment.Config, error) {
	var config deployment.Config
	if kind := r.Spec.Workload.Kind; kind != "deployment" {
		return config, fmt.Errorf("a cluster runs no workload %q; write workload: {deployment: {name: …}}", kind)
	}
	err := r.Spec.Workload.Decode(&config)
	return config, err
}

// DeploymentName is the name of a rollout's Deployment.
func DeploymentName(r rollout.Rollout) (string, error) {
	config, err := deploymentConfig(r)
	return config.Name, err
}

// newTarget is a rollout's Deployment, with or without a run.
func newTarget(r rollout.Rollout, env ClusterEnv) (*deployment.Target, error) {
	config, err := deploymentConfig(r)
	if err != nil {
		return nil, err
	}
	return deployment.NewTarget(config, env.deployment(r))
}

// Inspect says what a rollout's Deployment asks for, beside what serves.
func Inspect(ctx context.Context, r rollout.Rollout, env ClusterEnv) (deployment.Situation, error) {
	d, err := newTarget(r, env)
	if err != nil {
		return deployment.Situation{}, err
	}
	return d.Inspect(ctx)
}

// Attach labels a rollout's Deployment, so that changes of its template wait
// for a run.
func Attach(ctx context.Context, r rollout.Rollout, env ClusterEnv) error {
	d, err := newTarget(r, env)
	if err != nil {
		return err
	}
	return d.Attach(ctx)
}

// Detach undoes Attach for every Deployment with the label of the rollout in env.
// Held are those that ask for a version that does not serve, and stay paused so
// that they do not roll it out at once.
func Detach(ctx context.Context, env ClusterEnv) (held []string, err error) {
	return deployment.DetachAll(ctx, env.deployment(rollout.Rollout{}))
}

// DetachOthers is Detach for all but the Deployment that the rollout names.
func DetachOthers(ctx context.Context, r rollout.Rollout, env ClusterEnv) (held []string, err error) {
	config, err := deploymentConfig(r)
	if err != nil {
		return nil, err
	}
	return deployment.DetachOthers(ctx, env.deployment(r), config.Name)
}

// Revert makes a rollout's Deployment ask for what serves.
func Revert(ctx context.Context, r rollout.Rollout, env ClusterEnv) (serinv1.Revision, error) {
	d, err := newTarget(r, env)
	if err != nil {
		return serinv1.Revision{}, err
	}
	return d.Revert(ctx)
}

// Restart makes a rollout's Deployment ask for new pods of what serves.
func Restart(ctx context.Context, r rollout.Rollout, env ClusterEnv) error {
	d, err := newTarget(r, env)
	if err != nil {
		return err
	}
	return d.Restart(ctx)
}

// Release lets a held Deployment go on.
func Release(ctx context.Context, r rollout.Rollout, env ClusterEnv) error {
	d, err := newTarget(r, env)
	if err != nil {
		return err
	}
	return d.Release(ctx)
}

// Diagnose says of each query by which a rollout would be measured whether there
// is an answer for the version that serves.
func Diagnose(ctx context.Context, r rollout.Rollout, env ClusterEnv) ([]prometheus.Finding, error) {
	at, err := Inspect(ctx, r, env)
	if err != nil {
		return nil, err
	}
	serves := workload.Group{Version: at.Stable.Version, ID: at.Stable.Hash}
	if err := CheckMetrics(r, env); err != nil {
		return nil, err
	}
	source, err := sourceOf(r, env, armServices(r), func(context.Context) (workload.Status, error) {
		return workload.Status{Stable: serves}, nil
	})
	if err != nil {
		return nil, err
	}
	return source.Diagnose(ctx)
}

// Finish carries a promotion that its run left open to its end, and says whether
// there is nothing left to do.
func Finish(ctx context.Context, r rollout.Rollout, env ClusterEnv) (done bool, err error) {
	w, err := newDeployment(r, env)
	if err != nil {
		return false, err
	}
	done, err = w.Finish(ctx)
	if errors.Is(err, deployment.ErrMissing) {
		done, err = true, nil // nothing is left that could have the pods
	}
	return done, errors.Join(err, w.Close())
}

// OnlyRefused reports that only a person can mend what an error of a router is
// about, all of it. A missing permission is not among it: with it there is work
// to do.
func OnlyRefused(err error) bool {
	if err == nil {
		return false
	}
	switch e := err.(type) { //nolint:errorlint // it walks the tree of errors itself: every branch counts
	case arms.Refusal:
		return !apierrors.IsForbidden(e)
	case interface{ Unwrap() error }:
		return OnlyRefused(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if one != traffic.ErrRefused && !OnlyRefused(one) { //nolint:errorlint // the mark itself, not what wraps it
				return false
			}
		}
		return true
	}
	return false
}

// newClusterSource builds what measures both arms.
func newClusterSource(r rollout.Rollout, env ClusterEnv, w workload.Workload) (metrics.Source, error) {
	observe := func(ctx context.Context) (workload.Status, error) { return w.Observe(ctx) }
	source, err := sourceOf(r, env, armServices(r), observe)
	if err != nil {
		return nil, err
	}
	return withFigures(source, r, env.Logger, observe)
}

// sourceOf builds the source of counters; services are the names of the arms'
// Services, nil where the arms have one.
func sourceOf(r rollout.Rollout, env ClusterEnv, services map[rollout.Arm]string, observe func(context.Context) (workload.Status, error)) (*prometheus.Source, error) {
	config, err := clusterMetrics(r, env)
	if err != nil {
		return nil, err
	}
	deployed, err := deploymentConfig(r)
	if err != nil {
		return nil, err
	}
	return prometheus.New(config, prometheus.Env{
		Rollout: r.Metadata.Name, Namespace: r.Metadata.Namespace, Workload: deployed.Name,
		Services: services, Cluster: true, Interval: time.Duration(r.Spec.Analysis.Interval), Logger: env.Logger, Crowd: env.Crowd,
		Groups: func(ctx context.Context) (map[rollout.Arm]prometheus.Group, error) {
			status, err := observe(ctx)
			if err != nil {
				return nil, err
			}
			groups := map[rollout.Arm]prometheus.Group{
				rollout.Stable: measured(deployed.Name, status.Stable),
				rollout.Canary: measured(deployed.Name, status.Canary),
			}
			if b := status.Baseline; b != nil && len(b.Instances) > 0 {
				groups[rollout.Baseline] = measured(deployed.Name, *b)
			}
			return groups, nil
		},
	})
}

// CheckMetrics says what keeps a rollout from being measured, as far as that can
// be known before a run.
func CheckMetrics(r rollout.Rollout, env ClusterEnv) error {
	if bySubsets(r) {
		// A run that has begun is measured as it was pinned.
		source, err := sourceOf(r, env, nil, nil)
		if err != nil {
			return fmt.Errorf("%w; with the subsets of a DestinationRule both arms are of one Service: the preset istioDestination tells them apart by their pods", err)
		}
		if err := source.Close(); err != nil {
			return err
		}
	}
	source, err := newClusterSource(r, env, nil)
	if err != nil {
		return err
	}
	return source.Close()
}

// bySubsets reports whether the arms are two subsets of one Service.
func bySubsets(r rollout.Rollout) bool {
	var route istio.Config
	t := r.Spec.Traffic
	return t.Kind == "istio" && t.Decode(&route) == nil && route.DestinationRule != ""
}

// armServices are the names of the two arms' Services; nil for a route that has
// one for both.
func armServices(r rollout.Rollout) map[rollout.Arm]string {
	if r.Spec.Traffic.Kind == podRatio {
		return nil
	}
	var named struct {
		Stable   string `json:"stableService"`
		Canary   string `json:"canaryService"`
		Baseline string `json:"baselineService"`
	}
	_ = json.Unmarshal(r.Spec.Traffic.Config, &named) // other fields are the router's to read
	return map[rollout.Arm]string{
		rollout.Baseline: cmp.Or(named.Baseline, kube.BaselineService(r.Metadata.Name)),
		rollout.Stable:   cmp.Or(named.Stable, kube.StableService(r.Metadata.Name)),
		rollout.Canary:   cmp.Or(named.Canary, kube.CanaryService(r.Metadata.Name)),
	}
}

func measured(deploymentName string, g workload.Group) prometheus.Group {
	m := prometheus.Group{Version: g.Version, Instances: len(g.Instances)}
	if g.ID != "" {
		m.PodPrefixes = []string{deploymentName + "-" + g.ID}
	}
	return m
}

// clusterMetrics is the configuration of what measures a rollout: its own, or
// the cluster's.
func clusterMetrics(r rollout.Rollout, env ClusterEnv) (prometheus.Config, error) {
	config := *prometheus.NewConfig().(*prometheus.Config)
	source := r.Spec.Analysis.Metrics
	if source.IsZero() {
		if env.Prometheus == "" {
			return config, errors.New("nothing says which Prometheus to ask: write analysis: {metrics: {prometheus: {url: …}}}, or start the controller with --prometheus-url")
		}
		preset := env.Preset
		if preset == "" {
			preset = presetOf[r.Spec.Traffic.Kind]
		}
		if preset == "istio" && bySubsets(r) {
			preset = "istioDestination" // to who asks, both subsets are one Service
		}
		data, err := json.Marshal(map[string]any{"url": env.Prometheus, "preset": preset})
		if err != nil {
			return config, err
		}
		source = rollout.Adapter{Kind: "prometheus", Config: data}
	}
	if source.Kind != "prometheus" {
		return config, fmt.Errorf("a cluster is not measured by %q; write analysis: {metrics: {prometheus: {url: …}}}", source.Kind)
	}
	err := source.Decode(&config)
	return config, err
}

// presetOf is whose counters there are where nothing else is said, by the kind
// of route.
var presetOf = map[string]string{"istio": "istio", "gatewayAPI": "traefik", "service": "otel"}

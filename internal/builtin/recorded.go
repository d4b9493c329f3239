package builtin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/metrics/prometheus"
	"serin.dev/serin/internal/rollout"
)

// RecordedEnv says where a rollout's figures were recorded, and what its queries
// speak of that the file does not say.
type RecordedEnv struct {
	// URL is the address of Prometheus; empty: the file's.
	URL string
	// Versions are the arms' versions, where not the file's.
	Versions map[rollout.Arm]string
	// ReplicaSets are the names of the ReplicaSets that the arms' pods had.
	ReplicaSets map[rollout.Arm]string
	Logger      *slog.Logger
}

// Recording reads what was recorded of a rollout's arms.
type Recording struct{ *prometheus.Source }

// Recorded is the Prometheus that has recorded what a rollout is judged by, to
// be read as of past times. The rollout's adapters may be unchecked: it was read
// for its plan.
func Recorded(r rollout.Rollout, env RecordedEnv) (*Recording, error) {
	config := *prometheus.NewConfig().(*prometheus.Config)
	source := r.Spec.Analysis.Metrics
	switch {
	case source.Kind == "prometheus":
		if err := source.Decode(&config); err != nil {
			return nil, fmt.Errorf("spec.analysis.metrics.prometheus: %w", err)
		}
	case presetOf[r.Spec.Traffic.Kind] != "":
		config.Preset = prometheus.Preset(presetOf[r.Spec.Traffic.Kind])
	default:
		return nil, errors.New("the file does not say which series tell of its arms: write analysis: {metrics: {prometheus: {url: …, queries: {…}}}}")
	}
	if env.URL != "" {
		config.URL = credential.Value{Text: env.URL}
	}
	var workload struct {
		Name   string `json:"name"`
		Stable struct {
			Version string `json:"version"`
		} `json:"stable"`
		Canary struct {
			Version string `json:"version"`
		} `json:"canary"`
	}
	_ = json.Unmarshal(r.Spec.Workload.Config, &workload) // what is not there is not known
	group := func(arm rollout.Arm, version string) prometheus.Group {
		g := prometheus.Group{Version: cmp.Or(env.Versions[arm], version)}
		if name := env.ReplicaSets[arm]; name != "" {
			g.PodPrefixes = []string{name}
		}
		return g
	}
	groups := map[rollout.Arm]prometheus.Group{
		rollout.Stable: group(rollout.Stable, workload.Stable.Version),
		rollout.Canary: group(rollout.Canary, workload.Canary.Version),
	}
	pe := prometheus.Env{
		Rollout: r.Metadata.Name, Workload: cmp.Or(workload.Name, r.Metadata.Name), Recorded: true,
		Interval: time.Duration(r.Spec.Analysis.Interval), Logger: env.Logger,
		Groups: func(context.Context) (map[rollout.Arm]prometheus.Group, error) { return groups, nil },
	}
	if _, onCluster := clusterRouters[r.Spec.Traffic.Kind]; onCluster {
		pe.Namespace = cmp.Or(r.Metadata.Namespace, "default")
		pe.Services = armServices(r)
		// Pods whose names nobody said cannot be told apart.
		pe.Cluster = len(env.ReplicaSets) > 0
	}
	s, err := prometheus.New(config, pe)
	if err != nil {
		return nil, err
	}
	return &Recording{s}, nil
}

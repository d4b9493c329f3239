package app

import (
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

// ClusterRouter reaches the route of a rollout of a cluster, as a run pinned it
// when there is one.
func ClusterRouter(client.Client, *serinv1.CanaryRollout, *serinv1.CanaryRun) (install.Router, error) {
	return nil, errors.New("no adapter of this program reaches a route of a cluster")
}

// ClusterParser reads rollouts with the adapters that a cluster has.
func ClusterParser() func(*serinv1.CanaryRollout) (rollout.Rollout, []rollout.Problem, error) {
	catalog := builtin.ClusterCatalog()
	return func(obj *serinv1.CanaryRollout) (rollout.Rollout, []rollout.Problem, error) {
		return kube.ParseRollout(obj, catalog)
	}
}

package app

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

// ClusterRouter reaches the route of a rollout of a cluster, as a run pinned it
// when there is one.
func ClusterRouter(c client.Client, r *serinv1.CanaryRollout, run *serinv1.CanaryRun) (install.Router, error) {
	of, err := pinned(r, run)
	if err != nil {
		return nil, err
	}
	return builtin.NewClusterRouter(of, builtin.ClusterEnv{Env: kube.Env{Client: c, Namespace: r.Namespace, Rollout: r.Name}})
}

// pinned is the rollout as its run pinned it, or as it is written when there is
// no run.
func pinned(r *serinv1.CanaryRollout, run *serinv1.CanaryRun) (rollout.Rollout, error) {
	var of rollout.Rollout
	if run != nil {
		err := json.Unmarshal(run.Spec.Pinned.Raw, &of)
		return of, err
	}
	of, problems, err := ClusterParser()(r)
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("the CanaryRollout %s cannot be read: %s %s", r.Name, problems[0].Field, problems[0].Message)
	}
	return of, err
}

// ClusterParser reads rollouts with the adapters that a cluster has.
func ClusterParser() func(*serinv1.CanaryRollout) (rollout.Rollout, []rollout.Problem, error) {
	catalog := builtin.ClusterCatalog()
	return func(obj *serinv1.CanaryRollout) (rollout.Rollout, []rollout.Problem, error) {
		r, problems, err := kube.ParseRollout(obj, catalog)
		if err == nil {
			problems = append(problems, builtin.ClusterProblems(r)...)
		}
		return r, problems, err
	}
}

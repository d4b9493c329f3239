package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/doctor"
	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
)

// ClusterRouter reaches the route of a rollout of a cluster, as a run pinned it
// when there is one.
func ClusterRouter(c client.Client, o *serinv1.CanaryRollout, run *serinv1.CanaryRun) (install.Router, error) {
	r, err := rolloutOf(o, run)
	if err != nil {
		return nil, err
	}
	return builtin.NewClusterRouter(r, builtin.ClusterEnv{
		Env: kube.Env{Client: c, Live: c, Namespace: r.Metadata.Namespace, Rollout: r.Metadata.Name},
	})
}

// ClusterAsides says which requests reach an arm of a rollout of a cluster beside
// the split.
func ClusterAsides(c client.Client) doctor.Asides {
	return func(ctx context.Context, r rollout.Rollout) ([]traffic.Aside, error) {
		return builtin.ClusterAsides(ctx, r, builtin.ClusterEnv{
			Env: kube.Env{Client: c, Live: c, Namespace: r.Metadata.Namespace, Rollout: r.Metadata.Name},
		})
	}
}

// ClusterRefusals says what would keep a run of a rollout of a cluster from
// beginning.
func ClusterRefusals(c client.Client) doctor.Refusals {
	return func(ctx context.Context, r rollout.Rollout) ([]rollout.Problem, error) {
		return builtin.Refusals(ctx, r, builtin.ClusterEnv{
			Env: kube.Env{Client: c, Live: c, Namespace: r.Metadata.Namespace, Rollout: r.Metadata.Name},
		})
	}
}

func rolloutOf(o *serinv1.CanaryRollout, run *serinv1.CanaryRun) (rollout.Rollout, error) {
	if run != nil {
		var r rollout.Rollout
		if err := json.Unmarshal(run.Spec.Pinned.Raw, &r); err != nil {
			return r, fmt.Errorf("read what the run %s pinned: %w", run.Name, err)
		}
		return r, nil
	}
	r, problems, err := ClusterParser()(o)
	if len(problems) > 0 {
		err = errors.Join(err, fmt.Errorf("its spec has a mistake: %s %s", problems[0].Field, problems[0].Message))
	}
	return r, err
}

// ClusterParser reads rollouts with the adapters that a cluster has, and by its
// rules: nobody who writes a rollout has the controller read its own secrets.
func ClusterParser() func(*serinv1.CanaryRollout) (rollout.Rollout, []rollout.Problem, error) {
	catalog := builtin.ClusterCatalog()
	return func(obj *serinv1.CanaryRollout) (rollout.Rollout, []rollout.Problem, error) {
		r, problems, err := kube.ParseRollout(obj, catalog)
		if err == nil && len(problems) == 0 {
			problems = builtin.ClusterProblems(r)
		}
		return r, problems, err
	}
}

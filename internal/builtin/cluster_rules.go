package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic/service"
)

// What a rollout on a cluster may refer to. Who writes a CanaryRollout may be
// somebody else than who runs the controller, and must not reach the
// controller's own secrets, such as its service account's token.
const (
	CredentialDir    = "/etc/serin/credentials" //nolint:gosec // a folder, no credential
	CredentialPrefix = "SERIN_CREDENTIAL_"      //nolint:gosec // a prefix, no credential
)

// ClusterProblems returns what a rollout refers to and may not on a cluster.
func ClusterProblems(r rollout.Rollout) []rollout.Problem {
	catalog := ClusterCatalog()
	var problems []rollout.Problem
	check := func(port rollout.Port, field string, a rollout.Adapter) {
		config, ok := catalog[port][a.Kind]
		if !ok {
			return
		}
		into := config()
		if json.Unmarshal(a.Config, into) != nil {
			return // the parser has said what is wrong
		}
		for _, ref := range credential.Refs(into) {
			if p, ok := forbidden(ref); ok {
				p.Field = field + "." + a.Kind
				problems = append(problems, p)
			}
		}
	}
	check(rollout.MetricsPort, "spec.analysis.metrics", r.Spec.Analysis.Metrics)
	check(rollout.BusinessPort, "spec.analysis.business", r.Spec.Analysis.Business)
	for i, t := range r.Spec.Tests {
		check(rollout.TestPort, fmt.Sprintf("spec.tests[%d]", i), t.Adapter)
	}
	for i, h := range r.Spec.Hooks {
		check(rollout.HookPort, fmt.Sprintf("spec.hooks[%d]", i), h.Adapter)
	}
	for i, n := range r.Spec.Notify {
		check(rollout.NotifyPort, fmt.Sprintf("spec.notify[%d]", i), n.Adapter)
	}
	return problems
}

// CheckWeights says which weights of a rollout its router cannot make of the
// pods that the Deployment has now.
func CheckWeights(ctx context.Context, r rollout.Rollout, env ClusterEnv) error {
	problems, err := weightProblems(ctx, r, env)
	return errors.Join(asError(problems), err)
}

func weightProblems(ctx context.Context, r rollout.Rollout, env ClusterEnv) ([]rollout.Problem, error) {
	if r.Spec.Traffic.Kind != podRatio {
		return nil, nil
	}
	at, err := Inspect(ctx, r, env)
	if err != nil || at.Replicas == 0 {
		return nil, err // scaled to nothing, it has no weights at all
	}
	return service.CheckRatio(at.Replicas, weightsOf(r)), nil
}

// Refusals says what would keep a run of a rollout from beginning, beside its
// Deployment and its figures: what of the plan cannot be made, and in the error
// what its route lacks. It writes nothing.
func Refusals(ctx context.Context, r rollout.Rollout, env ClusterEnv) ([]rollout.Problem, error) {
	weights, errWeights := weightProblems(ctx, r, env)
	problems := append(baselineProblems(r), weights...)
	router, err := NewClusterRouter(r, env)
	if err == nil {
		err = router.Check(ctx)
	}
	return problems, errors.Join(err, errWeights)
}

// forbidden reports that a reference leads where a rollout on a cluster must
// not.
func forbidden(ref credential.Ref) (rollout.Problem, bool) {
	switch {
	case ref.File != "" && (path.Clean(ref.File) != ref.File || !strings.HasPrefix(ref.File, CredentialDir+"/")):
		return rollout.Problem{
			Message: fmt.Sprintf("refers to the %s, and the controller reads secrets for rollouts under %s alone", ref, CredentialDir),
			Mend:    "mount the secret into the controller at " + CredentialDir + "/NAME and write that path",
		}, true
	case ref.Env != "" && !strings.HasPrefix(ref.Env, CredentialPrefix):
		return rollout.Problem{
			Message: fmt.Sprintf("refers to the %s, and the controller reads secrets for rollouts from variables that begin with %s alone", ref, CredentialPrefix),
			Mend:    "give the controller the secret as " + CredentialPrefix + "NAME and write that name",
		}, true
	}
	return rollout.Problem{}, false
}

// Unmakeable says what of a rollout's plan its adapters cannot make: a baseline,
// or weights where so many instances of stable are what splits the traffic; 0:
// nobody knows how many there are.
func Unmakeable(r rollout.Rollout, stable int) []rollout.Problem {
	if problems := baselineProblems(r); len(problems) > 0 {
		return problems
	}
	if r.Spec.Traffic.Kind != podRatio || stable == 0 {
		return nil
	}
	return service.CheckRatio(stable, weightsOf(r))
}

// Instances is how many instances of stable a rollout's file names; 0 when that
// is not in the file. Its adapters may be unchecked.
func Instances(r rollout.Rollout) int {
	var config struct {
		Replicas int `json:"replicas"`
		Stable   struct {
			URLs []string `json:"urls"`
		} `json:"stable"`
	}
	if json.Unmarshal(r.Spec.Workload.Config, &config) != nil {
		return 0
	}
	switch r.Spec.Workload.Kind {
	case "process":
		return max(1, config.Replicas)
	case "endpoints":
		return len(config.Stable.URLs)
	}
	return 0
}

func weightsOf(r rollout.Rollout) []int {
	var weights []int
	for _, p := range r.Spec.Plan.Phases {
		weights = append(weights, p.Weight)
	}
	return weights
}

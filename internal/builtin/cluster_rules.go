package builtin

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/rollout"
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
	problems := ratioProblems(r)
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

// ratioProblems: where the number of pods is the weight, pods for the next weight
// get requests before it is theirs, so a run cannot get on from its first weight.
// Until that is solved nobody is let into it.
func ratioProblems(r rollout.Rollout) []rollout.Problem {
	if r.Spec.Traffic.Kind != podRatio {
		return nil
	}
	return []rollout.Problem{{
		Field:   "spec.traffic.service",
		Message: "is not ready for releases yet: with a plain Service a run does not get on from its first weight",
		Mend:    "split by a gateway (gatewayAPI) or a mesh (istio)",
	}}
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

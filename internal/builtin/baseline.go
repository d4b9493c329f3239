package builtin

import (
	"errors"
	"fmt"
	"slices"

	"serin.dev/serin/internal/metrics/prometheus"
	"serin.dev/serin/internal/rollout"
)

// baselineWorkloads can run fresh instances of stable's version beside its own.
var baselineWorkloads = []string{"process", "deployment"}

// baselineProblems says why a rollout's plan.baseline cannot be had, if it
// cannot.
func baselineProblems(r rollout.Rollout) []rollout.Problem {
	if !r.Spec.Plan.Baseline {
		return nil
	}
	const field = "spec.plan.baseline"
	switch kind, source := r.Spec.Workload.Kind, r.Spec.Analysis.Metrics; {
	case !slices.Contains(baselineWorkloads, kind):
		return []rollout.Problem{{
			Field: field, Message: fmt.Sprintf("cannot be had with the workload %q: Serin starts no instances of stable's version there", kind),
			Mend: "remove it; a fresh canary's response times are then compared once it is warm",
		}}
	case kind == "deployment":
		return clusterBaselineProblems(r, field)
	case !source.IsZero() && source.Kind != defaultSource:
		return []rollout.Problem{{
			Field: field, Message: fmt.Sprintf("cannot be had with the metrics %q, which do not tell a baseline from stable", source.Kind),
			Mend: "remove spec.analysis.metrics, so that the proxy's own figures are used, or remove the baseline",
		}}
	}
	return nil
}

// clusterBaselineProblems is baselineProblems on a cluster.
func clusterBaselineProblems(r rollout.Rollout, field string) []rollout.Problem {
	problem := func(message, mend string) []rollout.Problem {
		return []rollout.Problem{{Field: field, Message: message, Mend: mend}}
	}
	switch {
	case r.Spec.Traffic.Kind == podRatio:
		return problem("cannot be had behind a plain Service, which gives every pod the same share", "remove it, or route by the Gateway API or Istio")
	case bySubsets(r):
		return problem("cannot be had with the subsets of a DestinationRule", "remove it, or let the VirtualService name a Service for each arm")
	}
	var config prometheus.Config
	source := r.Spec.Analysis.Metrics
	if source.Kind != "prometheus" || source.Decode(&config) != nil {
		return nil // the cluster's own, whose presets tell it apart; or what the parser has refused
	}
	found := config.BaselineProblems()
	for i := range found {
		found[i].Field = "spec.analysis.metrics.prometheus." + found[i].Field
	}
	return found
}

// CheckBaseline is baselineProblems as an error.
func CheckBaseline(r rollout.Rollout) error { return asError(baselineProblems(r)) }

func asError(problems []rollout.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("%s: %s; %s", p.Field, p.Message, p.Mend))
	}
	return errors.Join(errs...)
}

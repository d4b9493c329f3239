package builtin

import (
	"errors"
	"fmt"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// baselineWorkloads can run fresh instances of stable's version beside its own.
var baselineWorkloads = []string{"process"}

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
	case !source.IsZero() && source.Kind != defaultSource:
		return []rollout.Problem{{
			Field: field, Message: fmt.Sprintf("cannot be had with the metrics %q, which do not tell a baseline from stable", source.Kind),
			Mend: "remove spec.analysis.metrics, so that the proxy's own figures are used, or remove the baseline",
		}}
	}
	return nil
}

// CheckBaseline is baselineProblems as an error.
func CheckBaseline(r rollout.Rollout) error {
	var errs []error
	for _, p := range baselineProblems(r) {
		errs = append(errs, fmt.Errorf("%s: %s; %s", p.Field, p.Message, p.Mend))
	}
	return errors.Join(errs...)
}

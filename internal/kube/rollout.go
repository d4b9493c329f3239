package kube

import (
	"encoding/json"
	"errors"
	"fmt"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/rollout"
)

// ParseRollout turns an object into the rollout it describes, by the same
// decoder, defaults and rules as a file's. The problems are mistakes of the
// user's, each with the field it is about; when there are any the rollout is
// empty. Warnings, what can be run, are left to "serin lint". An error is
// anything else.
//
// Name and namespace are the object's. Its labels and annotations are left out:
// a run pins the rollout, and they are about the object.
func ParseRollout(o *serinv1.CanaryRollout, catalog rollout.Catalog) (rollout.Rollout, []rollout.Problem, error) {
	spec := json.RawMessage(o.Spec.Raw)
	if len(spec) == 0 {
		spec = json.RawMessage("{}")
	}
	data, err := json.Marshal(map[string]any{
		"apiVersion": rollout.APIVersion,
		"kind":       rollout.Kind,
		"metadata":   rollout.Metadata{Name: o.Name, Namespace: o.Namespace},
		"spec":       spec,
	})
	if err != nil {
		return rollout.Rollout{}, nil, fmt.Errorf("read the CanaryRollout %s/%s: %w", o.Namespace, o.Name, err)
	}
	all, _, err := rollout.ParseAll(o.Namespace+"/"+o.Name, data, catalog)
	var mistakes *rollout.FileError
	switch {
	case errors.As(err, &mistakes):
		return rollout.Rollout{}, problems(mistakes.Problems), nil
	case err != nil:
		return rollout.Rollout{}, nil, fmt.Errorf("read the CanaryRollout %s/%s: %w", o.Namespace, o.Name, err)
	case len(all) != 1:
		return rollout.Rollout{}, nil, fmt.Errorf("read the CanaryRollout %s/%s: it holds %d rollouts", o.Namespace, o.Name, len(all))
	}
	return *all[0], nil, nil
}

// problems leaves out places in a text that nobody wrote.
func problems(located []rollout.Located) []rollout.Problem {
	var out []rollout.Problem
	for _, l := range located {
		out = append(out, l.Problem)
	}
	return out
}

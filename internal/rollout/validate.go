package rollout

// written reports whether the file itself has a value at a path, for rules
// that treat a default more leniently than what somebody wrote.
type written func(path string) bool

// sound reports whether nothing was wrong at or below a path when it was
// decoded. What could not be decoded has a value that is not the user's: rules
// that hold one field against another ask first.
type sound func(path string) bool

// validate returns everything that is wrong with a decoded rollout that has
// its defaults. Problems of fields that are not sound may be among them; the
// caller has said what is wrong with those already.
func validate(r *Rollout, w written, ok sound) []Problem {
	s := r.Spec
	var all []Problem
	all = append(all, validateMetadata(r.Metadata)...)
	all = append(all, validatePlan(s.Plan)...)
	all = append(all, validateAnalysis(s.Analysis)...)
	all = append(all, validateChecks(s.Analysis.Checks, w, ok)...)
	all = append(all, validateTests(s.Tests, ok)...)
	all = append(all, validateHooks(s.Hooks)...)
	all = append(all, validateNotifiers(s.Notify)...)
	if ok("spec.plan.phases") {
		all = append(all, validateEarly(s.Plan)...)
		all = append(all, validateHookWeights(s.Hooks, s.Plan, ok)...)
		if ok("spec.analysis.interval") {
			all = append(all, validateInterval(s.Analysis, s.Plan)...)
		}
	}
	return all
}

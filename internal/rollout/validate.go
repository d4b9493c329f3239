package rollout

// written reports whether the file itself has a value at a path, for rules
// that treat a default more leniently than what somebody wrote.
type written func(path string) bool

// sound reports whether nothing at or below a path failed to decode.
type sound func(path string) bool

// validate returns everything that is wrong with a decoded rollout that has
// its defaults. A section that could not be decoded is left alone: what is
// wrong with it was said already, and its values are not the user's.
func validate(r *Rollout, w written, ok sound) []Problem {
	var all []Problem
	if ok("metadata") {
		all = append(all, validateMetadata(r.Metadata)...)
	}
	if ok("spec.plan") {
		all = append(all, validatePlan(r.Spec.Plan)...)
	}
	if ok("spec.analysis") {
		all = append(all, validateAnalysis(r.Spec.Analysis)...)
		all = append(all, validateChecks(r.Spec.Analysis.Checks, w)...)
	}
	if ok("spec.analysis") && ok("spec.plan") && len(all) == 0 {
		all = append(all, validateInterval(r.Spec.Analysis, r.Spec.Plan)...)
	}
	if ok("spec.tests") {
		all = append(all, validateTests(r.Spec.Tests)...)
	}
	if ok("spec.hooks") {
		all = append(all, validateHooks(r.Spec.Hooks)...)
	}
	if ok("spec.hooks") && ok("spec.plan") {
		all = append(all, validateHookWeights(r.Spec.Hooks, r.Spec.Plan)...)
	}
	if ok("spec.notify") {
		all = append(all, validateNotifiers(r.Spec.Notify)...)
	}
	return all
}

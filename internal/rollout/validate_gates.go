package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

const (
	minTestInterval = Duration(100 * time.Millisecond)
	maxTestInterval = Duration(time.Hour)
	maxHookTimeout  = Duration(24 * time.Hour)
	maxFailures     = 100
	maxRetries      = 10
)

func validateTests(tests []Test, ok sound) []Problem {
	var all []Problem
	taken := map[string]int{}
	for i, t := range tests {
		at := fmt.Sprintf("spec.tests[%d]", i)
		all = append(all, validateName(at+".name", t.Name, taken, i)...)
		interval := within(at+".interval", t.Interval, minTestInterval, maxTestInterval, DefaultTestInterval)
		timeout := within(at+".timeout", t.Timeout, 1, maxTestInterval, DefaultTestTimeout)
		all = append(append(all, interval...), timeout...)
		if len(interval)+len(timeout) == 0 && t.Timeout > t.Interval && ok(at+".interval") {
			all = append(all, Problem{Field: at + ".timeout", Message: fmt.Sprintf("%s is longer than the interval (%s), so runs of the test would overlap", short(t.Timeout), short(t.Interval)), Mend: fmt.Sprintf("write at most %s, or a longer interval", short(t.Interval))})
		}
		if t.Failures < 1 || t.Failures > maxFailures {
			all = append(all, Problem{Field: at + ".failures", Message: fmt.Sprintf("%d is not a number of failures from 1 to %d", t.Failures, maxFailures), Mend: fmt.Sprintf("write one such as %d", DefaultTestFailures)})
		}
	}
	return all
}

func validateHooks(hooks []Hook) []Problem {
	var all []Problem
	taken := map[string]int{}
	for i, h := range hooks {
		at := fmt.Sprintf("spec.hooks[%d]", i)
		all = append(all, validateName(at+".name", h.Name, taken, i)...)
		least := Duration(1)
		if h.Kind == ApprovalKind {
			least = 0 // no bound
		}
		all = append(all, within(at+".timeout", h.Timeout, least, maxHookTimeout, DefaultHookTimeout)...)
		if h.Retries < 0 || h.Retries > maxRetries {
			all = append(all, Problem{Field: at + ".retries", Message: fmt.Sprintf("%d is not a number of repetitions from 0 to %d", h.Retries, maxRetries), Mend: "write one such as 2"})
		}
		all = append(all, validateHookFailure(at, h)...)
	}
	return all
}

// validateHookWeights: a hook limited to a weight that no phase has would never
// run, and nobody would notice.
func validateHookWeights(hooks []Hook, p Plan, ok sound) []Problem {
	var all []Problem
	var planned []string
	for _, ph := range p.Phases {
		planned = append(planned, strconv.Itoa(ph.Weight))
	}
	for i, h := range hooks {
		at := fmt.Sprintf("spec.hooks[%d].weights", i)
		if !ok(fmt.Sprintf("spec.hooks[%d].at", i)) {
			continue
		}
		if len(h.Weights) > 0 && h.At != BeforePhase {
			all = append(all, Problem{Field: at, Message: fmt.Sprintf("means something at %s only, and this hook is at %s", BeforePhase, h.At), Mend: "remove it, or write at: " + string(BeforePhase)})
			continue
		}
		for k, weight := range h.Weights {
			path := fmt.Sprintf("%s[%d]", at, k)
			switch {
			case !slices.Contains(planned, strconv.Itoa(weight)):
				all = append(all, Problem{Field: path, Message: fmt.Sprintf("no phase of the plan has the weight %d", weight), Mend: "write " + oneOf(planned)})
			case slices.Index(h.Weights, weight) < k:
				all = append(all, Problem{Field: path, Message: fmt.Sprintf("%d is written twice", weight), Mend: "keep one"})
			}
		}
	}
	return all
}

// validateHookFailure refuses what cannot happen: a run that is over cannot be
// rolled back or held, and nobody is waited for during a rollback.
func validateHookFailure(at string, h Hook) []Problem {
	if h.At != AfterPromote && h.At != OnRollback {
		return nil
	}
	over := "when the new version has already won"
	if h.At == OnRollback {
		over = "when the rollback has already happened"
	}
	var all []Problem
	if h.OnFailure != FailIgnore {
		all = append(all, Problem{Field: at + ".onFailure", Message: fmt.Sprintf("%s makes no sense at %s, %s", h.OnFailure, h.At, over), Mend: "write ignore, or remove it; the failure is recorded and reported"})
	}
	if h.Kind == ApprovalKind {
		all = append(all, Problem{Field: at + "." + ApprovalKind, Message: fmt.Sprintf("an approval makes no sense at %s, %s", h.At, over), Mend: "move it to " + string(BeforePromote) + " or " + string(BeforePhase)})
	}
	return all
}

func validateNotifiers(list []Notifier) []Problem {
	var all []Problem
	taken := map[string]int{}
	for i, n := range list {
		at := fmt.Sprintf("spec.notify[%d]", i)
		if n.Name != "" || n.Kind != "" { // without an adapter it has not got the adapter's name
			all = append(all, validateName(at+".name", n.Name, taken, i)...)
		}
		for k, e := range n.Events {
			if slices.Index(n.Events, e) < k {
				all = append(all, Problem{Field: fmt.Sprintf("%s.events[%d]", at, k), Message: fmt.Sprintf("%s is written twice", e), Mend: "keep one"})
			}
		}
	}
	return all
}

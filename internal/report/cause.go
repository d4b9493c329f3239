package report

import (
	"fmt"
	"slices"
	"strings"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// causeOf draws the suspected cause of a rollback from its deciding reason.
func (b *builder) causeOf() *Cause {
	if b.decided.At.IsZero() {
		return nil
	}
	c := &Cause{Suspect: "The record does not say why."}
	for _, reason := range b.decided.Because {
		if reason.Against() {
			c.Because = append(c.Because, reason.Message)
		}
	}
	if len(b.decided.Because) == 0 {
		return c
	}
	deciding := b.decided.Because[0]
	if deciding.Result == nil {
		c.Rule = deciding.Rule
		rule := deciding.Rule
		if rule == "intent" && b.givenUp() {
			rule = "abandoned"
		}
		s, ok := suspects[rule]
		if !ok {
			s = suspect{"Serin's rule \"" + spaced(deciding.Rule) + "\" decided", nil}
		}
		c.Suspect, c.Where = s.text+": "+deciding.Message+".", slices.Clone(s.where)
	} else {
		c.Check = deciding.Check
		s := checkSuspects[deciding.Type]
		if s.text == "" {
			s = suspect{"The canary is worse than stable", nil}
		}
		c.Suspect, c.Where = s.text+": "+deciding.Message+".", slices.Clone(s.where)
		if i, ok := b.checks[deciding.Check]; ok {
			row := b.r.Checks[i]
			for _, sample := range []struct {
				label string
				row   *SampleRow
			}{{"first beyond the margin", row.first}, {"worst", row.worst}, {"last before the decision", row.last}} {
				if sample.row != nil {
					s := *sample.row
					s.Label = sample.label
					c.Samples = append(c.Samples, s)
				}
			}
			if row.first != nil {
				b.r.Felt.FirstSign = row.first.At
			}
		}
		if i := b.begins(deciding); i != "" {
			c.Where = append(c.Where, i)
		}
	}
	if slices.ContainsFunc(b.r.Evidence.Events, func(e string) bool { return strings.Contains(e, "OOMKilled") }) {
		c.Where = append(c.Where, "memory: the canary was ended because it used more than its limit; what it holds, and whether the limit is enough")
	}
	if len(b.r.Exceptions) > 0 {
		c.Where = append(c.Where, fmt.Sprintf("the %s of exceptions that stable does not have, %q first", plural(len(b.r.Exceptions), "class"), b.r.Exceptions[0].Class))
	}
	return c
}

// givenUp reports whether Serin itself asked for the rollback, as it does when a
// run waits for a person and nobody is there.
func (b *builder) givenUp() bool {
	return slices.ContainsFunc(b.decided.Answered, func(a engine.Answer) bool {
		asked := b.actors[a.ID]
		return asked.Kind == rollout.Rollback && asked.Actor == record.Serin
	})
}

// begins says whether the fault was there from the first request.
func (b *builder) begins(r engine.Reason) string {
	p := b.phases[1]
	if r.Since == nil || p == nil || r.Verdict != analysis.Fail {
		return ""
	}
	if late := r.Since.Sub(p.from); late > 5*intervalOf(b.r.Header.Plan) {
		return fmt.Sprintf("what changed at %s (load, a job, a cache, a dependency): the evidence begins there, %s after the canary's first traffic", clock(*r.Since), lasted(late))
	}
	return "the version and its configuration rather than what happened later: the evidence begins with the canary's first traffic"
}

type suspect struct {
	text  string
	where []string
}

var checkSuspects = map[rollout.CheckType]suspect{
	rollout.ErrorRate: {"The new version answers more requests with errors than the old one under the same traffic", []string{
		"which routes and status codes failed: the canary's log from the first sign on",
		"what the two versions do differently on those routes: code, configuration, schema, credentials, feature flags",
	}},
	rollout.ResponseTime: {"The new version is slower than the old one under the same traffic", []string{
		"whether all requests are slower or only the slowest: compare p50 with p95 and p99 below",
		"new queries, calls, locks or allocations on the path of a request; cold caches and pools",
	}},
	rollout.CPU:        {"The new version uses more CPU than the old one under the same traffic", []string{"a CPU profile of both versions side by side"}},
	rollout.Memory:     {"The new version uses more memory than the old one under the same traffic", []string{"a heap profile of both versions side by side"}},
	rollout.Exceptions: {"The new version throws exceptions that the old one does not", []string{"the stacks below"}},
	rollout.Business:   {"Users of the new version do less of what the business counts", []string{"the pages or calls on the way to it, tried by hand on the new version"}},
	rollout.Complaints: {"Users of the new version complain more", []string{"the complaints themselves"}},
}

var suspects = map[string]suspect{
	"intent":        {"A person decided it", []string{"what the person who rolled back saw"}},
	"abandoned":     {"Serin gave the run up, not for what it saw of the new version but because nobody ended it", []string{"what the run waited for, in the decisions below"}},
	"canaryFailed":  {"The new version cannot run here", []string{"the end of its log; the command, its files, permissions and libraries"}},
	"canaryCrashed": {"The new version crashed while it served", []string{"the last lines of its log and the exit status; memory limits"}},
	"canarySilent":  {"The new version stopped giving figures while the old one went on, as after a crash or a hang", []string{"whether its process lives; deadlocks; its metrics endpoint"}},
	"testFailed":    {"A continuous test against the new version failed", []string{"the test's answer below, tried by hand against the new version"}},
	"hookFailed":    {"A hook failed", []string{"the hook's output below: it may be the hook and not the new version"}},
	"notReady":      {"The new version did not become ready in time", []string{"its log from the start; its readiness path; what it waits for"}},
	"unready":       {"The new version lost its readiness under traffic", []string{"its log at that moment; what its readiness depends on"}},
	"noData":        {"No figures arrived, so nobody could say that the new version is good", []string{"the metrics source rather than the new version"}},
	"unobserved":    {"Router or workload could not be observed for too long", []string{"the router and the workload rather than the new version"}},
	"superseded":    {"Another version was asked for meanwhile", nil},
	"foundAtZero":   {"The canary was found without traffic, as after a rollback that could not be written down", []string{"whether Serin or its disk was down at that time"}},
}

// checklist is what there is to do after a rollback: the boxes of the source
// document's rollback, the fitting ones filled with what is known.
func (b *builder) checklist() []Step {
	c := b.r.Cause
	if c == nil {
		return nil
	}
	steps := []Step{
		{"Identify the issue", "Confirm that users are well: error rate and response time are back to what they were (traffic on " + b.r.Header.Run.StableVersion + ")"},
		{"Identify the issue", "Read the suspected cause above; agree or correct it: ____"},
		{"Identify the issue", "Decide who is told (users, support, on-call): ____"},
	}
	for _, w := range c.Where {
		steps = append(steps, Step{"Investigate the root cause", "Look into: " + w})
	}
	steps = append(steps,
		Step{"Investigate the root cause", "Reproduce it outside production; how: ____"},
		Step{"Investigate the root cause", "Root cause: ____"},
		Step{"Investigate the root cause", "Why no test found it before the release: ____"},
		Step{"Plan the remediation", "Fix, with its owner and date: ____"},
		Step{"Plan the remediation", "Test, check or alert that would find it next time: ____"},
		Step{"Plan the remediation", "Data written by " + b.r.Header.Run.CanaryVersion + " while it served: is it right, does it need a repair? ____"},
		Step{"Plan the remediation", "Release again; what must be true before: ____"},
	)
	return steps
}

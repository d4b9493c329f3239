package dialogue

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// planAction writes one line of a plan.
type planAction func(*draft)

// newDraft is the source document's plan, judged by the error rate alone.
func newDraft() draft {
	spec := rollout.DefaultSpec()
	spec.Analysis.Checks = spec.Analysis.Checks[:1]
	return draft{engine.PlanOf(spec)}
}

// planForms are the lines of a plan.
var planForms = []form[planAction]{
	{"phases <...>", readPhases},
	{"prepare <duration>", setDuration(func(d *draft) *rollout.Duration { return &d.Prepare })},
	{"hold timeout <duration>", setDuration(func(d *draft) *rollout.Duration { return &d.HoldTimeout })},
	{"drain <duration>", setDuration(func(d *draft) *rollout.Duration { return &d.Drain })},
	{"baseline", func(fields) (planAction, error) { return func(d *draft) { d.Baseline = true }, nil }},
	{"interval <duration>", setDuration(func(d *draft) *rollout.Duration { return &d.Analysis.Interval })},
	{"early after <duration>", setDuration(func(d *draft) *rollout.Duration {
		d.Early = &rollout.Early{}
		return &d.Early.After
	})},
	{"checks <...>", readChecks},
	{"test <name> <count> failures mean <policy>", readTest},
	{"hook <name> at <point> , <...>", readHook},
	{"hook <name> at <point>", readHook},
	{"approval <name> at <point> , <...>", readApproval},
	{"approval <name> at <point>", readApproval},
}

func setDuration(of func(*draft) *rollout.Duration) func(fields) (planAction, error) {
	return func(f fields) (planAction, error) {
		v, err := f.duration()
		return func(d *draft) { *of(d) = rollout.Duration(v) }, err
	}
}

// readPhases reads "5% 30m, 25% 30m with approval".
func readPhases(f fields) (planAction, error) {
	var phases []rollout.Phase
	for _, part := range listOf(f.rest) {
		approval := len(part) == 4 && part[2].text == "with" && part[3].text == "approval"
		if len(part) != 2 && !approval {
			return nil, fmt.Errorf("a phase is a weight and a duration, and may end in \"with approval\"")
		}
		weight, err := weightOf(part[0].text)
		if err != nil {
			return nil, err
		}
		length, err := durationOf(part[1].text)
		if err != nil {
			return nil, err
		}
		if n := len(phases); weight == 0 || n > 0 && weight <= phases[n-1].Weight {
			return nil, fmt.Errorf("the weights of phases rise, and %d %% does not", weight)
		}
		phases = append(phases, rollout.Phase{Weight: weight, Duration: rollout.Duration(length), Approval: approval})
	}
	return func(d *draft) { d.Phases = phases }, nil
}

// readChecks reads "errorRate, responseTime": the checks with their usual
// margins, named as they are named when a file does not say.
func readChecks(f fields) (planAction, error) {
	var checks []rollout.Check
	for _, part := range listOf(f.rest) {
		i := slices.IndexFunc(rollout.DefaultChecks(), func(c rollout.Check) bool {
			return len(part) == 1 && string(c.Type) == part[0].text
		})
		if i < 0 {
			return nil, fmt.Errorf("a check is one of errorRate, responseTime, cpu, memory, exceptions")
		}
		checks = append(checks, rollout.DefaultChecks()[i])
	}
	return func(d *draft) { d.Analysis.Checks = checks }, nil
}

// readTest reads a test's "3 failures mean rollback".
func readTest(f fields) (planAction, error) {
	t := engine.Test{Name: f.text(0)}
	var err error
	if t.Failures, err = f.whole(1); err != nil {
		return nil, err
	}
	if t.OnFailure, err = policyOf(f.text(2)); err != nil {
		return nil, err
	}
	return func(d *draft) { d.Tests = append(d.Tests, t) }, nil
}

func readApproval(f fields) (planAction, error) {
	h := engine.Hook{Approval: true, OnFailure: rollout.FailHold}
	return readHookAs(f, h)
}

func readHook(f fields) (planAction, error) {
	h := engine.Hook{Timeout: rollout.DefaultHookTimeout, OnFailure: rollout.FailRollback}
	return readHookAs(f, h)
}

// readHookAs reads "before 25%, timeout 30s, retries 1, failure means hold".
func readHookAs(f fields, h engine.Hook) (planAction, error) {
	h.Name, h.At = f.text(0), rollout.Point(f.text(1))
	if !slices.Contains(rollout.Points(), h.At) {
		return nil, fmt.Errorf("%q is not a point of a run; it is one of %v", h.At, rollout.Points())
	}
	for _, part := range listOf(f.rest) {
		if err := readHookOption(&h, part); err != nil {
			return nil, err
		}
	}
	return func(d *draft) { d.Hooks = append(d.Hooks, h) }, nil
}

func readHookOption(h *engine.Hook, part []word) error {
	var err error
	key, value := "", ""
	if n := len(part); n >= 2 {
		value = part[n-1].text
		key = part[0].text
		if n == 3 {
			key += " " + part[1].text
		}
	}
	switch key {
	case "before":
		var w int
		w, err = weightOf(value)
		h.Weights = append(h.Weights, w)
	case "timeout":
		var d time.Duration
		d, err = durationOf(value)
		h.Timeout = rollout.Duration(d)
	case "retries":
		h.Retries, err = wholeOf(value)
	case "failure means":
		h.OnFailure, err = policyOf(value)
	default:
		err = fmt.Errorf("a hook may say, after its point: before 25%%, timeout 30s, retries 1, failure means hold")
	}
	return err
}

func policyOf(s string) (rollout.OnFailure, error) {
	p := rollout.OnFailure(s)
	if !slices.Contains(p.Choices(), s) {
		return p, fmt.Errorf("%s is not what a failure can mean; it is one of %v", strconv.Quote(s), p.Choices())
	}
	return p, nil
}

// listOf cuts words at their commas.
func listOf(words []word) [][]word {
	if len(words) == 0 {
		return nil
	}
	parts := [][]word{nil}
	for _, w := range words {
		if w.text == "," && !w.quoted {
			parts = append(parts, nil)
			continue
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], w)
	}
	return parts
}

// plan completes the draft: what a phase's approval means for the engine is
// worked out where it always is.
func (d draft) plan() (engine.Plan, error) {
	spec := rollout.Spec{Plan: d.Plan.Plan, Analysis: d.Analysis}
	p := engine.PlanOf(spec)
	p.Tests = d.Tests
	p.Hooks = append(p.Hooks, d.Hooks...)
	for _, h := range p.Hooks {
		for _, w := range h.Weights {
			if !slices.ContainsFunc(p.Phases, func(ph rollout.Phase) bool { return ph.Weight == w }) {
				return p, fmt.Errorf("hook %q is before %d %%, and no phase has that weight", h.Name, w)
			}
		}
	}
	return p, nil
}

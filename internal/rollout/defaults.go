package rollout

import (
	"fmt"
	"reflect"
	"time"
)

// Defaults of tests and hooks.
const (
	DefaultTestInterval = Duration(10 * time.Second)
	DefaultTestTimeout  = Duration(5 * time.Second)
	DefaultTestFailures = 3
	DefaultHookTimeout  = Duration(time.Minute)
)

// newRollout returns a rollout with the defaults that do not depend on what
// the file says.
func newRollout() *Rollout {
	return &Rollout{
		APIVersion: APIVersion,
		Kind:       Kind,
		Spec: Spec{
			Plan:     Plan{Prepare: DefaultPrepare, HoldTimeout: DefaultHoldTimeout, Drain: DefaultDrain},
			Analysis: Analysis{Interval: DefaultInterval, Alpha: DefaultAlpha},
		},
	}
}

// DefaultSpec returns what a file gets that names a workload and its traffic
// and nothing else.
func DefaultSpec() Spec {
	s := newRollout().Spec
	s.Plan.Phases = DefaultPhases()
	s.Analysis.Checks = DefaultChecks()
	return s
}

// DefaultTest returns what a test gets that says only how it is carried out.
func DefaultTest() Test {
	return Test{Interval: DefaultTestInterval, Timeout: DefaultTestTimeout, Failures: DefaultTestFailures, OnFailure: FailRollback}
}

// setDefaults fills an element of a list before it is decoded.
func setDefaults(v reflect.Value) {
	switch e := v.Addr().Interface().(type) {
	case *Phase:
		e.Duration = DefaultPhase
	case *Test:
		*e = DefaultTest()
	}
}

// fillDefaults completes what depends on what the file says.
func (d *decoder) fillDefaults(r *Rollout) {
	s := &r.Spec
	if !d.written("spec.plan.phases") {
		s.Plan.Phases = DefaultPhases()
	}
	if s.Plan.Prepare == 0 {
		// "No preparation": the run begins as soon as the canary is ready in any case,
		// and no version is ready at once.
		s.Plan.Prepare = DefaultPrepare
		d.report(Problem{Warning: true, Field: "spec.plan.prepare", Message: fmt.Sprintf("0s is no bound: the run begins as soon as the canary is ready, and that may take %s", short(DefaultPrepare)), Mend: "write how long it may take, such as 2m, or remove the field"})
	}
	s.Plan.holdBack()
	if !d.written("spec.analysis.checks") {
		s.Analysis.Checks = DefaultChecks()
	}
	for i := range s.Analysis.Checks {
		c := &s.Analysis.Checks[i]
		if c.Name == "" && !d.written(fmt.Sprintf("spec.analysis.checks[%d].name", i)) {
			c.Name = defaultCheckName(c.Type)
		}
		if c.Rollback == (Margin{}) && !d.written(fmt.Sprintf("spec.analysis.checks[%d].rollback", i)) {
			c.Rollback = DefaultMargin(c.Type)
		}
	}
	for i := range s.Tests {
		t := &s.Tests[i]
		if !d.written(fmt.Sprintf("spec.tests[%d].timeout", i)) && t.Interval > 0 {
			t.Timeout = min(t.Timeout, t.Interval)
		}
	}
	for i := range s.Hooks {
		h := &s.Hooks[i]
		if !d.written(fmt.Sprintf("spec.hooks[%d].timeout", i)) && h.Kind != ApprovalKind {
			h.Timeout = DefaultHookTimeout
		}
		if h.OnFailure == "" {
			h.OnFailure = defaultHookFailure(h.At)
		}
	}
	nameNotifiers(s.Notify)
}

// defaultCheckName is empty for a business check, whose name is its key in the
// samples and must be written.
func defaultCheckName(t CheckType) string {
	for _, c := range DefaultChecks() {
		if c.Type == t {
			return c.Name
		}
	}
	if t == Complaints {
		return string(t)
	}
	return ""
}

// defaultHookFailure: what fails before the new version has won stops it; what
// fails afterwards changes nothing any more.
func defaultHookFailure(at Point) OnFailure {
	if at == AfterPromote || at == OnRollback {
		return FailIgnore
	}
	return FailRollback
}

// nameNotifiers names those without a name after their kind and, when there
// are several, their number.
func nameNotifiers(list []Notifier) {
	taken := map[string]bool{}
	for _, n := range list {
		taken[n.Name] = true
	}
	for i := range list {
		if list[i].Name != "" || list[i].IsZero() {
			continue
		}
		name := list[i].Kind
		for k := 2; taken[name]; k++ {
			name = fmt.Sprintf("%s-%d", list[i].Kind, k)
		}
		list[i].Name, taken[name] = name, true
	}
}

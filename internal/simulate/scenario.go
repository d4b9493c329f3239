package simulate

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"serin.dev/serin/internal/rollout"
)

// Scenario is a family of releases: what the service is like, and what is wrong
// with the new version, if anything.
type Scenario struct {
	// Name is how the scenario is called in tables and by --scenario.
	Name string `json:"name" jsonschema:"required,example=slow-checkout"`
	// Description says in a few words what happens.
	Description string `json:"description,omitempty"`
	// Expect is what should become of the release; by default what follows from
	// the faults and the checks' margins.
	Expect Expectation `json:"expect,omitempty"`

	// Traffic replaces single figures of the expected traffic.
	Traffic Change `json:"traffic,omitzero"`
	// Clumps is the mean number of errors that come together, in both versions;
	// 1 when each comes by itself.
	Clumps float64 `json:"clumps,omitempty"`
	// Incidents hit both versions now and then, such as a shared database's.
	Incidents *Incidents `json:"incidents,omitempty"`
	// Daily is by how much the load swings, over two hours instead of a day.
	Daily rollout.Percent `json:"daily,omitempty"`
	// InstanceSpread is by how much instances of one version differ in their
	// response times.
	InstanceSpread rollout.Percent `json:"instanceSpread,omitempty"`
	// Wander is by how much the canary's response times wander on their own,
	// forgetting in a minute.
	Wander rollout.Percent `json:"wander,omitempty"`

	// Faults are what is wrong with the new version.
	Faults []Fault `json:"faults,omitempty"`
}

// Change replaces figures of the traffic; what is zero stays.
type Change struct {
	// RequestsPerSecond is the rate of all requests.
	RequestsPerSecond float64 `json:"requestsPerSecond,omitempty"`
	// ErrorRate is the usual part of requests that fail.
	ErrorRate rollout.Percent `json:"errorRate,omitempty"`
	// ResponseTime is the median response time.
	ResponseTime rollout.Duration `json:"responseTime,omitempty"`
	// Slowest is what one request in a hundred takes longer than.
	Slowest rollout.Duration `json:"slowest,omitempty"`
	// Instances is how many instances stable has.
	Instances int `json:"instances,omitempty"`
}

func (c Change) apply(t Traffic) Traffic {
	if c.RequestsPerSecond != 0 {
		t.RequestsPerSecond = c.RequestsPerSecond
	}
	if c.ErrorRate != 0 {
		t.ErrorRate = c.ErrorRate
	}
	if c.ResponseTime != 0 {
		t.ResponseTime = c.ResponseTime
	}
	if c.Slowest != 0 {
		t.Slowest = c.Slowest
	}
	if c.Instances != 0 {
		t.Instances = c.Instances
	}
	return t
}

// Incidents are times of trouble that both versions share.
type Incidents struct {
	// Every is the mean time from one to the next.
	Every rollout.Duration `json:"every" jsonschema:"required,example=10m"`
	// Lasts is how long each lasts.
	Lasts rollout.Duration `json:"lasts" jsonschema:"required,example=1m"`
	// Errors is how many times the usual errors there are meanwhile.
	Errors float64 `json:"errors,omitempty" jsonschema:"example=20"`
	// ResponseTime is how many times as long requests take meanwhile.
	ResponseTime float64 `json:"responseTime,omitempty" jsonschema:"example=2"`
}

// Fault is one thing that is wrong with the new version. Ratios are to stable.
type Fault struct {
	// After is how long after the first phase's beginning it begins.
	After rollout.Duration `json:"after,omitempty"`
	// FromWeight is the weight from which on it shows; below it the version is
	// as good as stable.
	FromWeight int `json:"fromWeight,omitempty"`
	// Lasts is how long it lasts; 0: to the end.
	Lasts rollout.Duration `json:"lasts,omitempty"`
	// Fades makes it shrink evenly to nothing while it lasts.
	Fades bool `json:"fades,omitempty"`

	// Errors is how many times stable's errors there are.
	Errors float64 `json:"errors,omitempty" jsonschema:"example=2.5"`
	// ResponseTime is how many times as long requests take.
	ResponseTime float64 `json:"responseTime,omitempty" jsonschema:"example=1.2"`
	// Slowest is how many times as long the slowest twentieth of them takes.
	Slowest float64 `json:"slowest,omitempty" jsonschema:"example=2"`
	// CrashEvery is the time after which the new version's instances end by
	// themselves, again and again.
	CrashEvery rollout.Duration `json:"crashEvery,omitempty" jsonschema:"example=2m"`
	// NoFigures is whose figures are missing.
	NoFigures Missing `json:"noFigures,omitempty"`
	// Exceptions is how many exceptions of a new class there are in a thousand
	// requests; Critical says that they are of a critical class.
	Exceptions float64 `json:"exceptions,omitempty" jsonschema:"example=1"`
	Critical   bool    `json:"critical,omitempty"`
	// Conversion is how many times stable's part of users converts, below 1.
	Conversion float64 `json:"conversion,omitempty" jsonschema:"example=0.9"`
	// Complaints is how many times stable's complaints there are.
	Complaints float64 `json:"complaints,omitempty" jsonschema:"example=3"`
	// CPU and Memory are how many times stable's an instance uses.
	CPU    float64 `json:"cpu,omitempty" jsonschema:"example=1.5"`
	Memory float64 `json:"memory,omitempty" jsonschema:"example=1.5"`
	// Leak is by how much an instance's memory grows in an hour.
	Leak rollout.Percent `json:"leak,omitempty" jsonschema:"example=100%"`
}

// Expectation is what should become of a release.
type Expectation string

// What should become of a release: a healthy version is promoted, a bad one is
// rolled back, and of one that is worse by less than the margins either is right.
const (
	Promote  Expectation = "promote"
	Rollback Expectation = "rollback"
	Either   Expectation = "either"
)

// Choices implements rollout.Chooser.
func (Expectation) Choices() []string {
	return []string{string(Promote), string(Rollback), string(Either)}
}

// Missing says whose figures are missing.
type Missing string

// Whose figures are missing.
const (
	MissingCanary Missing = "canary"
	MissingStable Missing = "stable"
	MissingBoth   Missing = "both"
)

// Choices implements rollout.Chooser.
func (Missing) Choices() []string {
	return []string{string(MissingCanary), string(MissingStable), string(MissingBoth)}
}

// File is a file of scenarios.
type File struct {
	// Scenarios are tried one after the other.
	Scenarios []Scenario `json:"scenarios" jsonschema:"required"`
}

// ParseScenarios reads a file of scenarios.
func ParseScenarios(filename string, data []byte) ([]Scenario, error) {
	var f File
	err := rollout.DecodeFile(filename, data, &f, func() []rollout.Problem { return f.problems() })
	return f.Scenarios, err
}

var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

func (f File) problems() []rollout.Problem {
	var ps []rollout.Problem
	add := func(field, message, mend string) {
		ps = append(ps, rollout.Problem{Field: field, Message: message, Mend: mend})
	}
	if len(f.Scenarios) == 0 {
		add("scenarios", "holds no scenario", "write one, such as {name: bad, faults: [{errors: 2.5}]}")
	}
	named := map[string]bool{}
	for i, s := range f.Scenarios {
		at := fmt.Sprintf("scenarios[%d].", i)
		if !plainName.MatchString(s.Name) {
			add(at+"name", fmt.Sprintf("%q is no name of a scenario", s.Name), "write small letters, digits, dots and dashes, such as slow-checkout")
		}
		if named[s.Name] {
			add(at+"name", fmt.Sprintf("%q is the name of two scenarios", s.Name), "give one of them another name")
		}
		named[s.Name] = true
		for _, p := range s.Traffic.apply(DefaultTraffic()).Problems() {
			add(at+"traffic."+p.Field, p.Message, p.Mend)
		}
		ps = append(ps, s.problems(at)...)
	}
	return ps
}

// problems says what of a scenario cannot be played.
func (s Scenario) problems(at string) []rollout.Problem {
	var ps []rollout.Problem
	within := func(field string, v, low, high float64, mend string) {
		if v != 0 && !(v >= low && v <= high) {
			ps = append(ps, rollout.Problem{Field: at + field, Message: fmt.Sprintf("%v is not from %v to %v", v, low, high), Mend: mend})
		}
	}
	lasting := func(field string, v rollout.Duration, low time.Duration) {
		if v < 0 || v != 0 && time.Duration(v) < low {
			ps = append(ps, rollout.Problem{Field: at + field, Message: fmt.Sprintf("%s is shorter than %s", v, low), Mend: "write a time such as 10m"})
		}
	}
	within("clumps", s.Clumps, 1, 1000, "write how many errors come together, such as 5")
	within("daily", float64(s.Daily), 0, 0.95, "write by how much the load swings, such as 60%")
	within("instanceSpread", float64(s.InstanceSpread), 0, 1, "write by how much instances differ, such as 5%")
	within("wander", float64(s.Wander), 0, 1, "write by how much the canary wanders, such as 5%")
	if n := s.Incidents; n != nil {
		lasting("incidents.every", n.Every, time.Second)
		lasting("incidents.lasts", n.Lasts, time.Second)
		within("incidents.errors", n.Errors, 0.01, 1000, "write how many times the usual errors there are, such as 20")
		within("incidents.responseTime", n.ResponseTime, 0.1, 20, "write how many times as long requests take, such as 2")
		if n.Every < n.Lasts {
			ps = append(ps, rollout.Problem{Field: at + "incidents.every", Message: "is shorter than an incident lasts", Mend: "write a longer time, or let them last shorter"})
		}
	}
	for i, f := range s.Faults {
		in := fmt.Sprintf("faults[%d].", i)
		lasting(in+"after", f.After, 0)
		lasting(in+"lasts", f.Lasts, time.Second)
		lasting(in+"crashEvery", f.CrashEvery, time.Second)
		within(in+"fromWeight", float64(f.FromWeight), 1, rollout.Full, "write a weight, such as 25")
		within(in+"errors", f.Errors, 0.01, 10000, "write how many times stable's errors there are, such as 2.5")
		within(in+"responseTime", f.ResponseTime, 0.05, 20, "write how many times as long requests take, such as 1.2")
		within(in+"slowest", f.Slowest, 1, 20, "write how many times as long the slowest take, such as 2")
		within(in+"exceptions", f.Exceptions, 0.0001, 1000, "write how many there are in a thousand requests, such as 1")
		within(in+"conversion", f.Conversion, 0.01, 1, "write how many times stable's part converts, such as 0.9")
		within(in+"complaints", f.Complaints, 1, 1000, "write how many times stable's complaints there are, such as 3")
		within(in+"cpu", f.CPU, 0.05, 100, "write how many times stable's an instance uses, such as 1.5")
		within(in+"memory", f.Memory, 0.05, 100, "write how many times stable's an instance uses, such as 1.5")
		within(in+"leak", float64(f.Leak), 0.0001, 1000, "write by how much it grows in an hour, such as 100%")
		if f.Fades && f.Lasts == 0 {
			ps = append(ps, rollout.Problem{Field: at + in + "fades", Message: "does not say by when", Mend: "write lasts too, such as 5m"})
		}
	}
	return ps
}

// active says how much of a fault shows, from 0 to 1.
func (f Fault) active(since time.Duration, weight int) float64 {
	from := time.Duration(f.After)
	lasts := time.Duration(f.Lasts)
	switch {
	case since < from || weight < f.FromWeight:
		return 0
	case lasts > 0 && since >= from+lasts:
		return 0
	case f.Fades:
		return 1 - float64(since-from)/float64(lasts)
	}
	return 1
}

// Expected is what should become of the scenario's releases under a plan's
// checks: of several faults the worst counts.
func (s Scenario) Expected(a rollout.Analysis) Expectation {
	if s.Expect != "" {
		return s.Expect
	}
	if len(s.Faults) == 0 {
		return Promote
	}
	for _, f := range s.Faults {
		if f.beyond(a) {
			return Rollback
		}
	}
	return Either
}

// beyond says whether a fault goes beyond a margin.
func (f Fault) beyond(a rollout.Analysis) bool {
	if f.CrashEvery > 0 || f.NoFigures != "" || f.Exceptions > 0 {
		return !f.Fades
	}
	if f.Fades || f.Lasts > 0 {
		return false
	}
	for _, c := range a.Checks {
		margin := c.Rollback.AsRatio()
		if margin == 0 {
			margin = rollout.DefaultMargin(c.Type).AsRatio()
		}
		if slices.ContainsFunc(f.sizes(c.Type), func(r float64) bool { return r != 0 && (margin > 1 && r >= margin || margin < 1 && r <= margin) }) {
			return true
		}
	}
	return false
}

// sizes are a fault's ratios that a check of this type compares.
func (f Fault) sizes(t rollout.CheckType) []float64 {
	switch t {
	case rollout.ErrorRate:
		return []float64{f.Errors}
	case rollout.ResponseTime:
		return []float64{f.ResponseTime, f.Slowest}
	case rollout.CPU:
		return []float64{f.CPU}
	case rollout.Memory:
		return []float64{f.Memory, 1 + float64(f.Leak)}
	case rollout.Business:
		return []float64{f.Conversion}
	case rollout.Complaints:
		if f.Complaints > 0 {
			return []float64{f.Complaints, 2}
		}
	}
	return nil
}

// Needs are the types of checks that can see the scenario's faults; nil when any
// plan can.
func (s Scenario) Needs() []rollout.CheckType {
	var needs []rollout.CheckType
	for _, f := range s.Faults {
		if f.CrashEvery > 0 || f.NoFigures != "" {
			return nil
		}
		for _, n := range []struct {
			there bool
			t     rollout.CheckType
		}{
			{f.Errors > 0, rollout.ErrorRate},
			{f.ResponseTime > 0 || f.Slowest > 0, rollout.ResponseTime},
			{f.Exceptions > 0, rollout.Exceptions},
			{f.Conversion > 0, rollout.Business},
			{f.Complaints > 0, rollout.Complaints},
			{f.CPU > 0, rollout.CPU},
			{f.Memory > 0 || f.Leak > 0, rollout.Memory},
		} {
			if n.there && !slices.Contains(needs, n.t) {
				needs = append(needs, n.t)
			}
		}
	}
	return needs
}

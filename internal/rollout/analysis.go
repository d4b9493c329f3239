package rollout

// Analysis says what is compared and how strictly.
type Analysis struct {
	// Interval is the length of a tick.
	Interval Duration `json:"interval"`
	// Alpha bounds the probability that a canary no worse than stable is ever
	// rolled back by statistics, over the whole run and all checks.
	Alpha float64 `json:"alpha" jsonschema:"exclusiveMinimum=0,maximum=0.5"`
	// Metrics is where samples come from; at most one adapter. None means the
	// traffic adapter's own statistics, or Prometheus on a cluster.
	Metrics Adapter `json:"metrics"`
	// Business is where business figures and complaints come from that Metrics
	// has none of; at most one adapter.
	Business Adapter `json:"business,omitzero"`
	// Checks are the criteria; any of them can roll the run back.
	Checks []Check `json:"checks" jsonschema:"minItems=1"`
}

// CheckType is the kind of signal a check compares.
type CheckType string

const (
	ErrorRate    CheckType = "errorRate"
	ResponseTime CheckType = "responseTime"
	CPU          CheckType = "cpu"
	Memory       CheckType = "memory"
	Exceptions   CheckType = "exceptions"
	Business     CheckType = "business"
	Complaints   CheckType = "complaints"
)

// CheckTypes lists every check type, in the order the source document does.
func CheckTypes() []CheckType {
	return []CheckType{ErrorRate, ResponseTime, CPU, Memory, Exceptions, Business, Complaints}
}

// Check is one criterion.
type Check struct {
	// Name is how the check is called in verdicts; for a business check it is
	// also its key in the samples.
	Name string `json:"name"`
	// Type is the kind of signal that is compared.
	Type CheckType `json:"type" jsonschema:"required"`
	// Rollback is the margin: the size of harm that is not tolerated.
	Rollback Margin `json:"rollback,omitzero"`
	// Strict asks for evidence of harm beyond the margin itself, instead of
	// evidence of any harm together with an estimate beyond the margin.
	Strict bool `json:"strict,omitempty"`
	// ExactOnly drops the evidence whose error bound is only approximate.
	ExactOnly bool `json:"exactOnly,omitempty"`
	// Critical are classes of exceptions that are critical besides panics, lack of
	// memory and corrupt data: of a class that stable does not have, one
	// occurrence in the canary holds and two roll back. A * stands for any
	// characters; case does not count.
	Critical []string `json:"critical,omitempty" jsonschema:"example=PaymentLost*"`
}

// Margin is a bound on the ratio canary : stable; exactly one field is set.
type Margin struct {
	// Ratio 2 means: twice stable's.
	Ratio float64 `json:"ratio,omitempty" jsonschema:"exclusiveMinimum=1,example=2"`
	// Increase 10% means: 1.1 times stable's.
	Increase Percent `json:"increase,omitempty" jsonschema:"example=10%"`
	// Decrease 5% means: 0.95 times stable's; lower is worse.
	Decrease Percent `json:"decrease,omitempty" jsonschema:"example=5%"`
}

// AsRatio returns the margin as a ratio canary : stable; 0 when none is set.
func (m Margin) AsRatio() float64 {
	switch {
	case m.Ratio > 0:
		return m.Ratio
	case m.Increase > 0:
		return 1 + float64(m.Increase)
	case m.Decrease > 0:
		return 1 - float64(m.Decrease)
	}
	return 0
}

// DefaultMargin returns the source document's margin for a check type.
func DefaultMargin(t CheckType) Margin {
	switch t {
	case ErrorRate:
		return Margin{Ratio: 2}
	case ResponseTime:
		return Margin{Increase: 0.10}
	case CPU, Memory:
		return Margin{Increase: 0.20}
	case Business:
		return Margin{Decrease: 0.05}
	}
	return Margin{}
}

// DefaultChecks returns what is judged when a file names no checks.
func DefaultChecks() []Check {
	var checks []Check
	for _, c := range []struct {
		name string
		typ  CheckType
	}{{"errors", ErrorRate}, {"latency", ResponseTime}, {"cpu", CPU}, {"memory", Memory}, {"exceptions", Exceptions}} {
		checks = append(checks, Check{Name: c.name, Type: c.typ, Rollback: DefaultMargin(c.typ)})
	}
	return checks
}

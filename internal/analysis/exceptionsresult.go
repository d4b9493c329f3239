package analysis

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// ExceptionClass is a class of exceptions that only the canary has had.
type ExceptionClass struct {
	Class string `json:"class"`
	// Count is how often it occurred, Ticks in how many ticks.
	Count    float64   `json:"count"`
	Ticks    int       `json:"ticks"`
	First    time.Time `json:"first"`
	Critical bool      `json:"critical,omitempty"`
}

// mostShown is how many new classes a result tells of.
const mostShown = 5

func (e *exceptionCheck) result(r rules, t reading) Result {
	births := e.Births.evidence(birthRule(r), &[maxStarts]float64{}).log
	log, keyed, lead := e.weigh(births)
	res := Result{Judged: true, Verdict: Inconclusive, Evidence: eValue(log)}
	total := e.Births.Sums.Total
	res.Ratio = boundedRatio(total[countNumerator], total[countDenominator])
	for _, o := range e.Open {
		res.Affected += o.Count
	}
	res.NewClasses = e.shown()
	if !t.control {
		res.Flags = append(res.Flags, "no-control")
	}
	if !r.check.ExactOnly {
		res.Flags = append(res.Flags, "approximate")
	}
	if e.cut() {
		res.Flags = append(res.Flags, "cut")
	}
	needed := math.Log(1 / r.alpha)
	critical, worst := e.critical()
	switch {
	case critical >= criticalLimit:
		res.Verdict = Fail
		res.Flags = append(res.Flags, "policy")
		res.Since = new(e.Open[worst].First)
		res.Message = fmt.Sprintf("critical exception %s in the canary, %s in all, and never in stable (policy, not statistics)",
			e.Open[worst].Class, plural(int(min(critical, 1e9)), "occurrence"))
		return res
	case keyed >= needed && lead >= 0:
		o := e.Open[lead]
		res.Verdict, res.Since = Fail, new(o.First)
		res.Message = fmt.Sprintf("%s is new: in the canary %s in %s, never in stable%s, %s",
			o.Class, plural(int(min(o.Count, 1e9)), "time"), plural(o.Ticks, "tick"), e.others(), odds(res.Evidence, 1/r.alpha))
		return res
	case keyed >= needed:
		res.Verdict = Fail
		res.Message = e.births(res, r)
		return res
	}
	e.proceed(r, t, births >= math.Log(1/beta) && e.manyBirths(), &res)
	return res
}

// proceed says whether the phase may end by this check: early only when no
// class of this phase is the canary's alone, at its end when none is likely its
// own.
func (e *exceptionCheck) proceed(r rules, t reading, births bool, res *Result) {
	inPhase, suspect := -1, -1
	for i, o := range e.Open {
		if o.InPhase && (inPhase < 0 || o.Log > e.Open[inPhase].Log) {
			inPhase = i
		}
		if e.suspicious(o) && (suspect < 0 || o.Log > e.Open[suspect].Log) {
			suspect = i
		}
	}
	_, held := e.holding()
	res.Acceptable = e.Measured && !e.cut() && suspect < 0 && !births && !held
	res.NonInferior = res.Acceptable && inPhase < 0
	switch {
	case res.NonInferior:
		res.Verdict = Pass
	case res.Acceptable && t.weight < lowShare:
		res.Flags = append(res.Flags, "low-evidence")
	}
	res.Message = e.message(r, *res, inPhase, suspect, births)
}

func (e *exceptionCheck) message(r rules, res Result, inPhase, suspect int, births bool) string {
	if at, held := e.holding(); held {
		return fmt.Sprintf("critical exception %s, once in the canary and never in stable: one holds, two roll back (policy, not statistics)", e.Open[at].Class)
	}
	if suspect < 0 {
		suspect = inPhase
	}
	switch {
	case e.cut():
		return fmt.Sprintf("more classes of exceptions than can be told apart (%d of stable, %d of the canary alone): class names that hold ids or texts cannot be judged",
			len(e.Known), len(e.Open)+len(e.Shed))
	case suspect >= 0:
		o := e.Open[suspect]
		return fmt.Sprintf("%s only in the canary so far, %s in %s%s; %s",
			o.Class, plural(int(min(o.Count, 1e9)), "time"), plural(o.Ticks, "tick"), e.others(), odds(res.Evidence, 1/r.alpha))
	case births:
		return e.births(res, r)
	case !e.Measured:
		return "no request has reached the canary in this phase yet"
	case len(e.Known) == 0 && len(e.Open) == 0:
		return "no exceptions in either arm yet"
	case len(e.Open) > 0:
		return fmt.Sprintf("no class of exceptions is the canary's alone in this phase; earlier %s was", e.Open[0].Class)
	}
	return fmt.Sprintf("no class of exceptions is the canary's alone; stable has had %d", len(e.Known))
}

// cut says that some classes could not be judged.
func (e *exceptionCheck) cut() bool { return e.Cut || e.Left > 0 }

// births tells of the classes that are new.
func (e *exceptionCheck) births(res Result, r rules) string {
	first := ""
	if len(e.Open) > 0 {
		first = ", " + e.shown()[0].Class + " the worst"
	}
	return fmt.Sprintf("%d classes of exceptions are new in the canary and %.0f in stable%s; %s",
		len(e.Open)+len(e.Shed), e.StableBorn, first, odds(res.Evidence, 1/r.alpha))
}

// others tells of the open classes beside one.
func (e *exceptionCheck) others() string {
	n := len(e.Open) + len(e.Shed) - 1
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (and %s more)", number(float64(n)))
}

// critical is how often critical classes that stable never had occurred, and
// which occurred most.
func (e *exceptionCheck) critical() (n float64, worst int) {
	for i, o := range e.Open {
		n += o.Critical
		if o.Critical > e.Open[worst].Critical {
			worst = i
		}
	}
	return n, worst
}

// certain says that a check fails whatever was compared: a policy needs no
// figures of stable.
func (c *checkState) certain() bool {
	if c.Exceptions == nil {
		return false
	}
	n, _ := c.Exceptions.critical()
	return n >= criticalLimit
}

// holding is the class whose single critical occurrence in this phase holds the
// run.
func (e *exceptionCheck) holding() (at int, held bool) {
	if n, worst := e.critical(); n >= criticalLimit {
		return worst, false // it is over
	}
	at = slices.IndexFunc(e.Open, func(o openClass) bool { return o.Held })
	return at, at >= 0
}

// hold says why the weight is to stay, or nothing.
func (e *exceptionCheck) hold() string {
	at, held := e.holding()
	if !held {
		return ""
	}
	return fmt.Sprintf("critical exception %s, once in the canary and never in stable (policy): look at it, then promote or roll back; a second one rolls back", e.Open[at].Class)
}

// shown are the new classes that a result tells of: critical ones first, then
// by evidence and by how often they occurred.
func (e *exceptionCheck) shown() []ExceptionClass {
	open := slices.Clone(e.Open)
	slices.SortStableFunc(open, func(a, b openClass) int {
		switch {
		case (a.Critical > 0) != (b.Critical > 0):
			return sign(b.Critical - a.Critical)
		case a.Log != b.Log:
			return sign(b.Log - a.Log)
		}
		return sign(b.Count - a.Count)
	})
	var out []ExceptionClass
	for _, o := range open[:min(len(open), mostShown)] {
		out = append(out, ExceptionClass{Class: o.Class, Count: o.Count, Ticks: o.Ticks, First: o.First, Critical: o.Critical > 0})
	}
	return out
}

func sign(v float64) int {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return 0
}

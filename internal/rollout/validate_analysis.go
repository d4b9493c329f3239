package rollout

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	minInterval = Duration(100 * time.Millisecond)
	maxInterval = Duration(10 * time.Minute)
	maxAlpha    = 0.5
	maxRatio    = 1000
)

func validateAnalysis(a Analysis) []Problem {
	all := within("spec.analysis.interval", a.Interval, minInterval, maxInterval, DefaultInterval)
	if !(a.Alpha > 0 && a.Alpha <= maxAlpha) {
		all = append(all, Problem{Field: "spec.analysis.alpha", Message: fmt.Sprintf("%v is not a probability above 0 and up to %v", a.Alpha, maxAlpha), Mend: fmt.Sprintf("write one such as %v: at most one in a hundred healthy releases is rolled back by chance", DefaultAlpha)})
	}
	return all
}

// validateInterval: a phase shorter than a tick would end before it was seen.
func validateInterval(a Analysis, p Plan) []Problem {
	shortest := p.shortestPhase()
	if a.Interval <= shortest || a.Interval < minInterval || a.Interval > maxInterval || shortest <= 0 {
		return nil
	}
	return []Problem{{Field: "spec.analysis.interval", Message: fmt.Sprintf("%s is longer than the shortest phase (%s), which would end before anything is seen", short(a.Interval), short(shortest)), Mend: "write interval: " + short(max(minInterval, shortest/10))}}
}

// label is what checks, tests, hooks and notifiers may be called.
var label = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// validateName checks one name of a list; taken holds the names before it.
func validateName(path, name string, taken map[string]int, i int) []Problem {
	if !label.MatchString(name) {
		return []Problem{{Field: path, Message: fmt.Sprintf("%q is not a name: it takes 1 to 63 letters, digits, dots, hyphens and underscores, with a letter or digit first and last", name), Mend: "write one such as checkout"}}
	}
	if first, ok := taken[name]; ok {
		list := path[:strings.LastIndexByte(path, '[')]
		return []Problem{{Field: path, Message: fmt.Sprintf("%q is already the name of %s[%d]", name, list, first), Mend: "give one of them another name"}}
	}
	taken[name] = i
	return nil
}

func validateChecks(checks []Check, w written, ok sound) []Problem {
	if len(checks) == 0 {
		return []Problem{{Field: "spec.analysis.checks", Message: "names no check, so nothing would be compared", Mend: "write one such as {type: errorRate}, or remove the field for the default checks"}}
	}
	var all []Problem
	taken := map[string]int{}
	for i, c := range checks {
		at := fmt.Sprintf("spec.analysis.checks[%d]", i)
		if !ok(at + ".type") {
			continue // neither name nor margin can be judged
		}
		if c.Name == "" && !w(at+".name") {
			all = append(all, Problem{Field: at + ".name", Message: "is missing; a business check's name is its key in the samples", Mend: "add name: conversion"})
		} else {
			all = append(all, validateName(at+".name", c.Name, taken, i)...)
		}
		all = append(all, validateMargin(at+".rollback", c, w)...)
		all = append(all, validateCritical(at+".critical", c, w)...)
	}
	return all
}

// unmeasured warns of business checks whose figures nothing in the file brings:
// they would never be judged. A complaint may also come by command.
func (d *decoder) unmeasured(checks []Check) []Problem {
	if d.catalog == nil {
		return nil
	}
	var all []Problem
	for i, c := range checks {
		if c.Type != Business || slices.ContainsFunc(d.measurers, func(m Measurer) bool { return m.Measures(c.Type, c.Name) }) {
			continue
		}
		all = append(all, Problem{
			Field: fmt.Sprintf("spec.analysis.checks[%d]", i), Warning: true,
			Message: fmt.Sprintf("nothing measures %q, so the check is never judged", c.Name),
			Mend:    "add spec.analysis.business: {http: {url: …}}, or " + c.Name + " to the queries.business of metrics: {prometheus: …}; to serin judge the figures come with the ticks",
		})
	}
	return all
}

// validateMargin: a margin must lie on the side of harm of its check's type,
// and be said in one way.
func validateMargin(path string, c Check, w written) []Problem {
	m := c.Rollback
	instead := marginExample(c.Type)
	if DefaultMargin(c.Type) == (Margin{}) {
		if w(path) {
			return []Problem{{Field: path, Message: fmt.Sprintf("a check of type %s takes no margin: it rolls back on evidence of any increase", c.Type), Mend: "remove it"}}
		}
		return nil
	}
	var named []string
	for _, f := range []string{"ratio", "increase", "decrease"} {
		if w(path + "." + f) {
			named = append(named, f)
		}
	}
	switch {
	case len(named) > 1:
		return []Problem{{Field: path, Message: "names " + strings.Join(named, " and ") + " where one margin belongs", Mend: "keep one, such as " + instead}}
	case len(named) == 0 && w(path):
		return []Problem{{Field: path, Message: "names no margin", Mend: "write one such as " + instead + ", or remove the field for the default"}}
	case len(named) == 0:
		return nil
	}
	if c.Type == Business {
		return validateDecrease(path, named[0], m, instead)
	}
	switch named[0] {
	case "decrease":
		return []Problem{{Field: path + ".decrease", Message: fmt.Sprintf("a check of type %s is worse when it rises", c.Type), Mend: "write a margin such as " + instead}}
	case "ratio":
		if !(m.Ratio > 1 && m.Ratio <= maxRatio) {
			return []Problem{{Field: path + ".ratio", Message: fmt.Sprintf("%v is not a ratio above 1 (stable's own) and up to %d", m.Ratio, maxRatio), Mend: "write one such as 2: twice stable's"}}
		}
	case "increase":
		if !(m.Increase > 0 && m.Increase <= maxRatio-1) {
			return []Problem{{Field: path + ".increase", Message: fmt.Sprintf("%s is not an increase above 0%%", m.Increase), Mend: "write one such as 10%"}}
		}
	}
	return nil
}

func validateDecrease(path, named string, m Margin, instead string) []Problem {
	if named != "decrease" {
		return []Problem{{Field: path + "." + named, Message: "a business check is worse when it falls", Mend: "write a margin such as " + instead}}
	}
	if !(m.Decrease > 0 && m.Decrease < 1) {
		return []Problem{{Field: path + ".decrease", Message: fmt.Sprintf("%s is not a decrease between 0%% and 100%%", m.Decrease), Mend: "write one such as 5%"}}
	}
	return nil
}

func marginExample(t CheckType) string {
	m := DefaultMargin(t)
	switch {
	case m.Ratio > 0:
		return fmt.Sprintf("{ratio: %v}", m.Ratio)
	case m.Increase > 0:
		return fmt.Sprintf("{increase: %s}", m.Increase)
	}
	return fmt.Sprintf("{decrease: %s}", m.Decrease)
}

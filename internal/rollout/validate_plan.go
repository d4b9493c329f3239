package rollout

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of what can be asked for. They are wide: they catch slips such as 30h
// for 30m, not taste.
const (
	maxPrepare     = Duration(24 * time.Hour)
	maxPhase       = Duration(30 * 24 * time.Hour)
	maxHoldTimeout = Duration(24 * time.Hour)
	maxDrain       = Duration(time.Hour)
)

// startSmall is the largest first weight that goes without a warning: the
// source document routes 5-10 % at first.
const startSmall = 10

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func validateMetadata(m Metadata) []Problem {
	var all []Problem
	if !dnsLabel.MatchString(m.Name) {
		all = append(all, Problem{Field: "metadata.name", Message: fmt.Sprintf("%q is not a name: it takes 1 to 63 lower-case letters, digits and hyphens, with no hyphen first or last", m.Name), Mend: "write one such as " + nearestLabel(m.Name)})
	}
	if m.Namespace != "" && !dnsLabel.MatchString(m.Namespace) {
		all = append(all, Problem{Field: "metadata.namespace", Message: fmt.Sprintf("%q is not a namespace: it takes 1 to 63 lower-case letters, digits and hyphens, with no hyphen first or last", m.Namespace), Mend: "write one such as " + nearestLabel(m.Namespace)})
	}
	return all
}

var notInLabel = regexp.MustCompile(`[^a-z0-9]+`)

// nearestLabel turns what somebody wrote into a name that is allowed.
func nearestLabel(name string) string {
	label := notInLabel.ReplaceAllString(strings.ToLower(name), "-")
	label = strings.Trim(label[:min(len(label), 63)], "-")
	if label == "" {
		return "shop"
	}
	return label
}

func validatePlan(p Plan) []Problem {
	var all []Problem
	all = append(all, within("spec.plan.prepare", p.Prepare, 1, maxPrepare, DefaultPrepare)...)
	all = append(all, within("spec.plan.holdTimeout", p.HoldTimeout, 1, maxHoldTimeout, DefaultHoldTimeout)...)
	all = append(all, within("spec.plan.drain", p.Drain, 0, maxDrain, DefaultDrain)...)
	if p.Holdback < 0 || p.Holdback > maxHoldback {
		all = append(all, Problem{Field: "spec.plan.holdback", Message: fmt.Sprintf("%d is not a percentage from 0 to %d", p.Holdback, maxHoldback), Mend: "write one such as 5: stable then keeps 5 % of the traffic until the canary has won"})
	}
	all = append(all, validatePhases(p.Phases, p.Holdback)...)
	if p.Baseline && len(p.Phases) > 0 && !slices.ContainsFunc(p.Phases, func(ph Phase) bool { return p.BaselineWeight(ph.Weight) > 0 }) {
		all = append(all, Problem{Field: "spec.plan.baseline", Message: "no phase leaves any traffic for a baseline", Mend: "begin with a phase such as {weight: 5, duration: 30m}, or remove the baseline"})
	}
	return all
}

func validatePhases(phases []Phase, holdback int) []Problem {
	const path = "spec.plan.phases"
	if len(phases) == 0 {
		return []Problem{{Field: path, Message: "names no phase", Mend: "write one such as {weight: 5, duration: 30m}, or remove the field for 5, 10, 25, 50 and 100 % of 30m each"}}
	}
	var all []Problem
	before := 0
	for i, ph := range phases {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case ph.Weight < 1 || ph.Weight > Full:
			all = append(all, Problem{Field: at + ".weight", Message: fmt.Sprintf("%d is not a percentage from 1 to 100", ph.Weight), Mend: "write one such as 5"})
		case ph.Weight <= before && holdback > 0 && before == Full-holdback:
			all = append(all, Problem{Field: at + ".weight", Message: fmt.Sprintf("is not above the phase before: with %d %% held back neither goes beyond %d", holdback, before), Mend: "remove one of the two phases, or write a smaller holdback"})
		case ph.Weight <= before:
			all = append(all, Problem{Field: at + ".weight", Message: fmt.Sprintf("%d is not above the phase before (%d)", ph.Weight, before), Mend: "weights must rise, " + risingExample(before)})
		}
		before = max(before, ph.Weight)
		all = append(all, within(at+".duration", ph.Duration, 1, maxPhase, DefaultPhase)...)
	}
	if len(all) > 0 {
		return all
	}
	if first := phases[0].Weight; first > startSmall && len(phases) > 1 {
		all = append(all, Problem{Warning: true, Field: path + "[0].weight", Message: fmt.Sprintf("the first phase exposes %d %% of the traffic to a version that nobody has used yet", first), Mend: "start small: the source practice is 5 %"})
	} else if first > startSmall {
		all = append(all, Problem{Warning: true, Field: path + "[0].weight", Message: fmt.Sprintf("the only phase exposes %d %% of the traffic at once", first), Mend: "start small and grow: 5, 10, 25, 50, 100"})
	}
	if last := phases[len(phases)-1].Weight; last < Full-holdback {
		all = append(all, Problem{Warning: true, Field: fmt.Sprintf("%s[%d].weight", path, len(phases)-1), Message: fmt.Sprintf("the last phase watches %d %% of the traffic; promotion then moves the rest without watching it", last), Mend: "add a phase such as {weight: 100, duration: 30m}"})
	}
	return all
}

func risingExample(before int) string {
	for _, ph := range DefaultPhases() {
		if ph.Weight > before {
			return fmt.Sprintf("for example %d", ph.Weight)
		}
	}
	return "and 100 is the last"
}

func validateEarly(p Plan) []Problem {
	if p.Early == nil {
		return nil
	}
	const path = "spec.plan.early.after"
	all := within(path, p.Early.After, 1, maxPhase, Duration(5*time.Minute))
	if longest := p.longestPhase(); len(all) == 0 && longest > 0 && p.Early.After >= longest {
		all = append(all, Problem{Warning: true, Field: path, Message: fmt.Sprintf("no phase lasts longer than %s, so none can end early", short(p.Early.After)), Mend: fmt.Sprintf("write less than %s, or remove early", short(longest))})
	}
	return all
}

func (p Plan) longestPhase() Duration {
	var d Duration
	for _, ph := range p.Phases {
		d = max(d, ph.Duration)
	}
	return d
}

func (p Plan) shortestPhase() Duration {
	d := maxPhase
	for _, ph := range p.Phases {
		d = min(d, ph.Duration)
	}
	return d
}

// within holds a duration against its bounds; instead is one to write.
func within(path string, d, least, most, instead Duration) []Problem {
	mend := "write one such as " + short(instead)
	switch {
	case d < 0:
		return []Problem{{Field: path, Message: short(d) + " is negative", Mend: mend}}
	case d < least && least == 1:
		return []Problem{{Field: path, Message: short(d) + " is no time at all", Mend: mend}}
	case d < least:
		return []Problem{{Field: path, Message: fmt.Sprintf("%s is shorter than %s", short(d), short(least)), Mend: mend}}
	case d > most:
		return []Problem{{Field: path, Message: fmt.Sprintf("%s is longer than %s", short(d), short(most)), Mend: mend}}
	}
	return nil
}

// short writes a duration as a person would: 30m, not 30m0s.
func short(d Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// flagWords say what a verdict's flag means for the reader.
var flagWords = map[string]string{
	"low-evidence":            "passed a phase although it was not proven to be no worse: there was too little traffic for a proof",
	"approximate":             "its error bound is approximate, not exact: part of the evidence rests on an estimate of how noise comes in bursts",
	"single-instance":         "the canary was one instance, so a difference between versions cannot be told from one between instances as well as with several",
	"no-control":              "at 100 % there was no stable traffic beside it; it was compared with stable's earlier figures, which is weaker",
	"warming-up":              "the canary's first moments were left out while it warmed up",
	"coarse-buckets":          "the latency buckets were too coarse to see its margin",
	"instance-spread":         "instances of the same version differ much, which hides differences between versions",
	"no-baseline":             "it was compared with stable's instances, which were warm already, and not with a baseline",
	"instance-spread-unknown": "the spread between stable's instances is not known",
}

// unseen lists what the reader must not take for granted.
func (b *builder) unseen() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if b.broken != nil {
		add("The record breaks off: %v. What came later is not in this report.", b.broken)
	}
	for _, c := range b.r.Checks {
		switch {
		case c.Judged:
		case c.Result.Result == nil:
			add("Check %s never came to a result.", c.Name)
		default:
			add("Check %s was not judged: %s.", c.Name, strings.TrimSuffix(c.Result.Message, "."))
		}
	}
	for _, c := range b.r.Checks {
		if !c.Judged || c.Finest == 0 {
			continue
		}
		text := fmt.Sprintf("Check %s could still have missed a rise of less than %s: that much is found by the end of phase %d, where the figures said most", c.Name, ratio(c.Finest), c.FinestIn)
		if c.Margin > 1 && c.Finest > c.Margin {
			text += fmt.Sprintf("; its margin is %s", ratio(c.Margin))
		}
		add("%s.", text)
	}
	for _, f := range slices.Sorted(maps.Keys(b.flags)) {
		words := flagWords[f]
		if words == "" {
			words = "flagged " + f
		}
		add("Check %s: %s.", b.flags[f], words)
	}
	if b.noBaseline != "" {
		add("%s.", strings.ToUpper(b.noBaseline[:1])+strings.TrimSuffix(b.noBaseline[1:], "."))
	}
	m := b.missing
	if m.canary > 0 {
		add("In %d of %s the canary's figures were missing.", m.canary, plural(m.ticks, "tick"))
	}
	if m.stable > 0 {
		add("In %d of %s stable's figures were missing.", m.stable, plural(m.ticks, "tick"))
	}
	if m.ticks == 0 {
		add("No tick closed: no figures of either version were ever compared.")
	}
	if m.router > 0 {
		add("The router could not be observed %s of %d.", plural(m.router, "time"), m.looks)
	}
	if m.workload > 0 {
		add("The workload could not be observed %s of %d.", plural(m.workload, "time"), m.looks)
	}
	if m.resumed > 0 {
		add("Serin was started again %s during the run; what happened while it was down was not watched.", plural(m.resumed, "time"))
	}
	if m.gaps > 0 {
		add("%s at the run are not in the record, as nothing could be saved for long; their requests are not counted here.", plural(m.gaps, "look"))
	}
	if m.failedEffects > 0 {
		add("%s outside failed and was tried again; the timeline has them.", plural(m.failedEffects, "action"))
	}
	if m.undelivered > 0 {
		add("%s could not be delivered.", plural(m.undelivered, "notification"))
	}
	for _, n := range b.r.Evidence.Notes {
		add("Evidence: %s.", strings.TrimSuffix(n, "."))
	}
	for what, n := range map[string]int{"decisions": b.skipped.moves} {
		if n > 0 {
			add("%d %s in the middle are left out of the tables; the record has them.", n, what)
		}
	}
	if b.skipped.timeline > 0 {
		add("%d entries in the middle are left out of the timeline; the record has them.", b.skipped.timeline)
	}
	if b.skipped.notices > 0 {
		add("%d notifications in the middle are left out; the record has them.", b.skipped.notices)
	}
	return out
}

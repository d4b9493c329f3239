package dialogue

import (
	"fmt"
	"strings"
	"time"

	"serin.dev/serin/internal/engine"
)

// A line that begins with one of these is the engine's.
const (
	saysMark = "→"
	alsoMark = "·"
)

// words remembers what was said, so that only what changed is said again.
type words struct {
	look, reason, wants string
}

// say writes down a decision.
func (p *player) say(d engine.Decision) {
	p.words.look = signature(d)
	said := fmt.Sprintf("%s %s %s [%s]", saysMark, p.now.Sub(p.began).Round(time.Millisecond), kind(d), d.Next.Position())
	if r := reason(d); r != p.words.reason {
		p.words.reason = r
		said += ": " + r
	}
	p.said = append(p.said, said)
	for _, a := range d.Answered {
		said := fmt.Sprintf("%s intent %s is refused: %s", alsoMark, a.ID, a.Message)
		if a.Accepted {
			said = fmt.Sprintf("%s intent %s: %s", alsoMark, a.ID, a.Message)
		}
		p.said = append(p.said, said)
	}
	for _, r := range besides(d) {
		p.said = append(p.said, fmt.Sprintf("%s (%s) %s", alsoMark, r.Rule, r.Message))
	}
	if w := wants(d.Want); w != p.words.wants {
		p.words.wants = w
		p.said = append(p.said, alsoMark+" wants "+w)
	}
}

// sayChange writes down a decision that is another than the last one said.
func (p *player) sayChange(d engine.Decision) bool {
	if signature(d) == p.words.look {
		return false
	}
	p.say(d)
	return true
}

// signature is the same for decisions that say the same.
func signature(d engine.Decision) string {
	rule := ""
	if r, ok := deciding(d); ok {
		rule = r.Rule
	}
	return fmt.Sprint(d.Kind, d.Share(), d.Next.Position(), rule, d.Next.Waiting(), len(besides(d)) > 0)
}

// besides is what else a decision tells that did not decide: that the baseline is
// given up.
func besides(d engine.Decision) []engine.Reason {
	if last := len(d.Because) - 1; last > 0 && d.Because[last].Rule == "noBaseline" {
		return d.Because[last:]
	}
	return nil
}

func kind(d engine.Decision) string {
	switch d.Kind {
	case engine.Proceed, engine.Rollback:
		return fmt.Sprintf("%s to %d %%", d.Kind, d.Share())
	}
	return fmt.Sprintf("%s at %d %%", d.Kind, d.Share())
}

// deciding is the reason that decided: the first of a rule, else the first
// check.
func deciding(d engine.Decision) (engine.Reason, bool) {
	for _, r := range d.Because {
		if r.Rule != "" {
			return r, true
		}
	}
	if len(d.Because) > 0 {
		return d.Because[0], true
	}
	return engine.Reason{}, false
}

func reason(d engine.Decision) string {
	r, ok := deciding(d)
	switch {
	case !ok:
		return "no reason given"
	case r.Rule == "" && r.Result != nil:
		return fmt.Sprintf("%s %s: %s", r.Check, r.Verdict, r.Message)
	case d.Next.Waiting():
		return fmt.Sprintf("(%s, for a person) %s", r.Rule, r.Message)
	}
	return fmt.Sprintf("(%s) %s", r.Rule, r.Message)
}

// wants says what else should be true outside.
func wants(w engine.Want) string {
	parts := []string{fmt.Sprintf("stable %d %%", w.Stable), fmt.Sprintf("canary %d %%", w.Canary)}
	if w.Baseline > 0 {
		parts = append(parts, fmt.Sprintf("baseline %d %% (traffic %d %%)", w.Baseline, w.BaselineWeight))
	}
	if w.Promoted {
		parts = append(parts, "stable arm on the canary")
	}
	if w.Tests {
		parts = append(parts, "tests")
	}
	for _, j := range w.Jobs {
		parts = append(parts, j.Key)
	}
	return strings.Join(parts, ", ")
}

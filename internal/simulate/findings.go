package simulate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// Finding is one thing that a plan would miss, or what a change of it would do.
type Finding struct {
	// Kind is falseRollback, pause, missed, outside, tolerated, smallest or change.
	Kind string `json:"kind"`
	// Scenario is what it is about; Check the type of check, for smallest.
	Scenario string            `json:"scenario,omitempty"`
	Check    rollout.CheckType `json:"check,omitempty"`
	// Ratio is the smallest that is found in nine of ten runs, for smallest.
	Ratio float64 `json:"ratio,omitempty"`
	Text  string  `json:"text"`
}

const (
	// found is how many of a bad version's runs must be rolled back for it not
	// to be missed.
	found = 0.9
	// trialRuns is how many runs each change is tried on, at most.
	trialRuns = 100
	// mostMissed is for how many scenarios changes are tried.
	mostMissed = 2
)

// Findings says in words what a plan would miss and which change of it helps.
// Everything in it is measured: changes are tried on the same runs.
func Findings(ctx context.Context, o Options, outcomes []Outcome, judged []rollout.CheckType) ([]Finding, error) {
	var all []Finding
	scenario := func(out Outcome) Scenario {
		return o.Scenarios[slices.IndexFunc(o.Scenarios, func(s Scenario) bool { return s.Name == out.Scenario })]
	}
	var watched []Outcome // those of which something shows while the plan watches
	for _, out := range outcomes {
		if f, ok := outside(out, scenario(out), o.Plan); ok {
			all = append(all, f)
			continue
		}
		watched = append(watched, out)
		if f, ok := told(out, o); ok {
			all = append(all, f)
		}
	}
	trials := o
	trials.Runs = min(o.Runs, trialRuns)
	for _, t := range judged {
		f, ok, err := smallest(ctx, trials, t)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, f)
		}
	}
	for _, out := range missed(watched) {
		f, err := helps(ctx, trials, scenario(out))
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// at says at which traffic, as people say it.
func at(o Options) string {
	return fmt.Sprintf("%.3g requests/s and %.2g %% errors", o.Traffic.RequestsPerSecond, 100*float64(o.Traffic.ErrorRate))
}

// subject is a scenario in a sentence.
func subject(o Outcome) string {
	if o.Description == "" {
		return o.Scenario
	}
	return fmt.Sprintf("%s (%s)", o.Scenario, o.Description)
}

func percent(part float64) string { return fmt.Sprintf("%.3g %%", 100*part) }

// ends says how runs ended.
func ends(o Outcome) string {
	var parts []string
	for _, e := range []struct {
		n    int
		what string
	}{{o.RolledBack, "rolled back"}, {o.Paused, "left to a person"}, {o.Promoted, "promoted"}} {
		if e.n > 0 {
			parts = append(parts, percent(o.share(e.n))+" "+e.what)
		}
	}
	return strings.Join(parts, ", ")
}

// outside says that nothing of a bad version's faults shows before the plan's
// phases are over, so that no judging could help.
func outside(o Outcome, s Scenario, p engine.Plan) (Finding, bool) {
	if o.Expected == Promote || len(s.Faults) == 0 {
		return Finding{}, false
	}
	var begin, end rollout.Duration // of a phase
	for _, phase := range p.Phases {
		begin, end = end, end+phase.Duration
		for _, f := range s.Faults {
			if phase.Weight >= f.FromWeight && f.After < end && (f.Lasts == 0 || f.After+f.Lasts > begin) {
				return Finding{}, false
			}
		}
	}
	return Finding{Kind: "outside", Scenario: o.Scenario, Text: fmt.Sprintf(
		"%s shows nothing while this plan watches, for %s up to %d %%: only a longer plan or a higher weight can find it; %s",
		subject(o), rollout.Words(time.Duration(end)), p.Phases[len(p.Phases)-1].Weight, ends(o))}, true
}

// told says what of a scenario's outcome is worth a sentence.
func told(o Outcome, of Options) (Finding, bool) {
	f := Finding{Scenario: o.Scenario}
	switch o.Expected {
	case Promote:
		switch {
		case o.RolledBack > 0 && o.share(o.RolledBack) >= o.share(o.Paused):
			f.Kind, f.Text = "falseRollback", fmt.Sprintf("%s is nothing to roll back, and is in %s of runs", subject(o), percent(o.share(o.RolledBack)))
			if o.By["rule"] < o.RolledBack {
				f.Text += fmt.Sprintf("; by chance alone %s is allowed (alpha)", percent(of.Plan.Analysis.Alpha))
			}
		case o.share(o.Paused) > 0.05:
			f.Kind, f.Text = "pause", fmt.Sprintf("%s would wait for a person in %s of runs: at %s its figures do not show that it is as good", subject(o), percent(o.share(o.Paused)), at(of))
		}
	case Rollback:
		if o.share(o.RolledBack) < found || o.share(o.Promoted) > 0.01 {
			f.Kind, f.Text = "missed", fmt.Sprintf("%s would be missed at %s: %s", subject(o), at(of), ends(o))
		}
	case Either:
		if o.share(o.RolledBack) < 0.05 && o.Promoted > 0 {
			f.Kind, f.Text = "tolerated", fmt.Sprintf("%s would not be rolled back at %s: it is within the margins; %s", subject(o), at(of), ends(o))
		}
	}
	return f, f.Kind != ""
}

// missed are the bad scenarios that are found least often.
func missed(outcomes []Outcome) []Outcome {
	var out []Outcome
	for _, o := range outcomes {
		if o.Expected == Rollback && o.share(o.RolledBack) < found {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b Outcome) int { return a.RolledBack - b.RolledBack })
	return out[:min(len(out), mostMissed)]
}

// ladders are the sizes of harm among which the smallest that is found is looked
// for, by the type of check.
var ladders = map[rollout.CheckType][]float64{
	rollout.ErrorRate:    {1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20, 30, 50},
	rollout.ResponseTime: {1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.75, 2, 3, 5},
	rollout.CPU:          {1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2, 3, 5},
	rollout.Memory:       {1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2, 3, 5},
}

// ofSize is the scenario of a fault of one size.
func ofSize(t rollout.CheckType, size float64) Scenario {
	s := Scenario{Name: fmt.Sprintf("%s-%g", t, size)}
	switch t {
	case rollout.ErrorRate:
		s.Faults = []Fault{{Errors: size}}
	case rollout.ResponseTime:
		s.Faults = []Fault{{ResponseTime: size}}
	case rollout.CPU:
		s.Faults = []Fault{{CPU: size}}
	case rollout.Memory:
		s.Faults = []Fault{{Memory: size}}
	}
	return s
}

// smallest looks for the smallest harm of a kind that is found in nine of ten
// runs, by bisection: more harm is found more often.
func smallest(ctx context.Context, o Options, t rollout.CheckType) (Finding, bool, error) {
	ladder := ladders[t]
	if len(ladder) == 0 {
		return Finding{}, false, nil
	}
	tried := map[int]Outcome{}
	try := func(i int) (Outcome, error) {
		if out, ok := tried[i]; ok {
			return out, nil
		}
		o.Scenarios = []Scenario{ofSize(t, ladder[i])}
		out, err := Measure(ctx, o)
		if err != nil {
			return Outcome{}, err
		}
		tried[i] = out[0]
		return out[0], nil
	}
	lo, hi := -1, len(ladder)-1
	last, err := try(hi)
	if err != nil {
		return Finding{}, false, err
	}
	what := map[rollout.CheckType]string{rollout.ErrorRate: "error rate", rollout.ResponseTime: "response time", rollout.CPU: "processor time", rollout.Memory: "memory"}[t]
	f := Finding{Kind: "smallest", Check: t}
	if last.share(last.RolledBack) < found {
		where := "at " + at(o)
		if t == rollout.CPU || t == rollout.Memory {
			where = fmt.Sprintf("with %d of stable's instances", o.Traffic.Instances)
		}
		f.Text = fmt.Sprintf("no rise of the %s is surely found %s: %gx is rolled back in %s of runs", what, where, ladder[hi], percent(last.share(last.RolledBack)))
		return f, true, nil
	}
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		out, err := try(mid)
		if err != nil {
			return Finding{}, false, err
		}
		if out.share(out.RolledBack) >= found {
			hi = mid
		} else {
			lo = mid
		}
	}
	out := tried[hi]
	f.Ratio = ladder[hi]
	f.Text = fmt.Sprintf("of the %s, %gx is found in at least nine of ten runs (median %s)", what, ladder[hi], words(out.Median))
	if lo >= 0 {
		f.Text += fmt.Sprintf("; %gx in %s", ladder[lo], percent(tried[lo].share(tried[lo].RolledBack)))
	}
	return f, true, nil
}

func words(seconds float64) string {
	return rollout.Words(time.Duration(seconds * float64(time.Second)))
}

// change is something that a plan could have otherwise.
type change struct {
	text  string
	apply func(engine.Plan) engine.Plan
}

// changes are those worth trying on a plan for a scenario's faults.
func changes(p engine.Plan, s Scenario) []change {
	phases := func(f func([]rollout.Phase) []rollout.Phase) func(engine.Plan) engine.Plan {
		return func(p engine.Plan) engine.Plan {
			p.Phases = f(slices.Clone(p.Phases))
			return p
		}
	}
	out := []change{{"every phase twice as long", phases(func(all []rollout.Phase) []rollout.Phase {
		for i := range all {
			all[i].Duration *= 2
		}
		return all
	})}}
	if n := len(p.Phases); n > 1 {
		half := -1
		for i, ph := range p.Phases {
			if ph.Weight <= 50 {
				half = i
			}
		}
		if half >= 0 {
			out = append(out, change{fmt.Sprintf("the phase at %d %% three times as long", p.Phases[half].Weight), phases(func(all []rollout.Phase) []rollout.Phase {
				all[half].Duration *= 3
				return all
			})})
		}
		out = append(out, change{fmt.Sprintf("beginning with %d %% of the traffic instead of %d %%", p.Phases[1].Weight, p.Phases[0].Weight), phases(func(all []rollout.Phase) []rollout.Phase {
			all[1].Duration += all[0].Duration
			return all[1:]
		})})
	}
	if p.Early != nil {
		out = append(out, change{"no phase left early", func(p engine.Plan) engine.Plan {
			p.Early = nil
			return p
		}})
	}
	needs := s.Needs()
	var kept []rollout.Check
	var names []string
	for _, c := range p.Analysis.Checks {
		if len(needs) == 0 || slices.Contains(needs, c.Type) {
			kept = append(kept, c)
			names = append(names, c.Name)
		}
	}
	if len(kept) > 0 && len(kept) < len(p.Analysis.Checks) {
		out = append(out, change{"only the checks that can see it (" + strings.Join(names, ", ") + ")", func(p engine.Plan) engine.Plan {
			p.Analysis.Checks = kept
			return p
		}})
	}
	if i := p.Analysis.Interval; i > rollout.DefaultInterval {
		out = append(out, change{"ticks of " + rollout.Words(time.Duration(rollout.DefaultInterval)), func(p engine.Plan) engine.Plan {
			p.Analysis.Interval = rollout.DefaultInterval
			return p
		}})
	}
	return out
}

// helps tries changes of a plan on a scenario that it misses, on the same runs.
func helps(ctx context.Context, o Options, s Scenario) (Finding, error) {
	o.Scenarios = []Scenario{s}
	before, err := Measure(ctx, o)
	if err != nil {
		return Finding{}, err
	}
	base := before[0]
	type tried struct {
		text string
		out  Outcome
	}
	var better, others []tried
	for _, c := range changes(o.Plan, s) {
		with := o
		with.Plan = c.apply(o.Plan)
		out, err := Measure(ctx, with)
		if err != nil {
			return Finding{}, err
		}
		t := tried{c.text, out[0]}
		if helped(base, out[0]) {
			better = append(better, t)
		} else {
			others = append(others, t)
		}
	}
	slices.SortStableFunc(better, func(a, b tried) int { return b.out.RolledBack - a.out.RolledBack })
	list := func(all []tried) string {
		var parts []string
		for _, t := range all {
			parts = append(parts, fmt.Sprintf("%s: %s", t.text, percent(t.out.share(t.out.RolledBack))))
		}
		return strings.Join(parts, "; ")
	}
	f := Finding{Kind: "change", Scenario: s.Name}
	now := percent(base.share(base.RolledBack))
	if len(better) == 0 {
		f.Text = fmt.Sprintf("%s is rolled back in %s of runs, and none of the changes tried helps (%s)", s.Name, now, list(others))
	} else {
		f.Text = fmt.Sprintf("what would help against %s, now rolled back in %s of runs: %s", s.Name, now, list(better))
	}
	return f, nil
}

// helped says whether more runs are rolled back, beyond the noise of so many.
func helped(before, after Outcome) bool {
	n := float64(before.Runs)
	pooled := float64(before.RolledBack+after.RolledBack) / (2 * n)
	gain := after.share(after.RolledBack) - before.share(before.RolledBack)
	return gain >= 0.03 && gain*gain > 4*2*pooled*(1-pooled)/n
}

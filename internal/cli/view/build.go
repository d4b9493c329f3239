package view

import (
	"slices"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// FromRun is the view of a run at a moment: run is its latest saved form, h
// what its record said.
func FromRun(run store.Run, h *History, now time.Time) Model {
	s := run.State
	m := Model{
		Rollout: run.Rollout, Run: run.ID, Number: run.Number,
		StableVersion: run.StableVersion, CanaryVersion: run.CanaryVersion,
		Status: s.Status, Stage: s.Stage,
		Now: now, StartedAt: run.StartedAt, EndedAt: run.EndedAt,
		Current: -1,
		Asked:   asked(run),
		Report:  run.Report,
	}
	m.phases(run, now)
	m.measured(h)
	m.checks(run)
	m.held(run)
	m.Decisions = slices.Clone(h.told)
	slices.Reverse(m.Decisions)
	for i := range m.Decisions {
		m.Decisions[i].At = m.Decisions[i].At.In(now.Location())
	}
	return m
}

// asked is the weight that the run wants; a promoted version has everything.
func asked(run store.Run) int {
	want := run.Plan.Want(run.State)
	if want.Promoted {
		return rollout.Full
	}
	return want.Weight
}

func (m *Model) phases(run store.Run, now time.Time) {
	s := run.State
	// Until the next look the clock is taken to go on, but not for longer than
	// a look takes.
	since := min(max(now.Sub(s.At), 0), time.Duration(run.Plan.Analysis.Interval))
	watching := s.Status == engine.Progressing
	if watching && s.Hold == nil && s.Stage != engine.Admitting && s.Seen > 0 {
		s.Watched += rollout.Duration(since)
	}
	if s.Status != engine.Preparing {
		m.Current = s.Phase
	}
	for i, ph := range run.Plan.Phases {
		p := Phase{Weight: ph.Weight, Duration: time.Duration(ph.Duration)}
		switch {
		case s.Status == engine.Preparing:
		case s.Status == engine.Promoting || s.Status == engine.Promoted || i < s.Phase:
			p.State, p.Watched = Passed, p.Duration
		case i > s.Phase || neverExposed(run):
		default:
			p.State = Watching
			if !watching {
				p.State = Stopped
			}
			p.Watched = min(time.Duration(s.Watched), p.Duration)
		}
		if p.State == Watching || p.State == Ahead {
			m.Left += p.Duration - p.Watched
		}
		m.Phases = append(m.Phases, p)
	}
	if !watching && s.Status != engine.Preparing {
		m.Left = 0
	}
}

// neverExposed reports that a run is being rolled back, or was, before its
// first phase began.
func neverExposed(run store.Run) bool {
	s := run.State
	return s.Status != engine.Progressing && s.Phase == 0 && s.Watched == 0 && s.Seen == 0
}

func (m *Model) measured(h *History) {
	if o := h.observed; o != nil {
		if o.Weight != nil && o.Weight.Known {
			in := o.Weight.Percent
			if o.Weight.Promoted {
				in = rollout.Full
			}
			m.InEffect = &in
		}
		m.Stable.group(o.Stable)
		m.Canary.group(o.Canary)
	}
	if len(h.ticks) == 0 {
		return
	}
	last := h.ticks[len(h.ticks)-1]
	length := last.At.Sub(h.before)
	if h.before.IsZero() {
		length = 0
		if len(h.ticks) > 1 {
			// The first tick's beginning is not known: it is left out.
			length = last.At.Sub(h.ticks[0].At)
		}
	}
	ticks := h.ticks
	if h.before.IsZero() {
		ticks = ticks[1:]
	}
	var stable, canary sum
	for _, t := range ticks {
		stable.add(t.Arms.Stable)
		canary.add(t.Arms.Canary)
	}
	stable.fill(&m.Stable, length)
	canary.fill(&m.Canary, length)
	// The share of a weight that has passed would look like a mistake.
	m.Latest = m.InEffect != nil && *m.InEffect == last.Weight && !m.Ended()
	if m.Latest && stable.requests != nil && canary.requests != nil {
		if all := *stable.requests + *canary.requests; all > 0 {
			share := 100 * *canary.requests / all
			m.Seen = &share
		}
	}
}

func (a *Arm) group(g *engine.Group) {
	if g == nil {
		return
	}
	ready, instances := g.Ready, g.Instances
	a.Ready, a.Instances = &ready, &instances
}

func (m *Model) checks(run store.Run) {
	results := run.State.Assessment.Results
	for i, c := range run.Plan.Analysis.Checks {
		check := Check{Name: c.Name, Type: c.Type, Margin: c.Rollback.AsRatio()}
		if i < len(results) {
			r := results[i]
			check.Verdict, check.Judged, check.Message = r.Verdict, r.Judged, r.Message
			check.Ratio, check.Low, check.High = r.Ratio, r.Low, r.High
			check.Evidence, check.Needed = r.Evidence, r.Needed
			check.NewClasses = r.NewClasses
			check.Explained = r.Explain(func(at time.Time) string { return at.Local().Format("15:04") })
			check.Proof, check.Proven, check.Acceptable = r.NonInferiority, r.NonInferior, r.Acceptable
		}
		m.Checks = append(m.Checks, check)
	}
}

func (m *Model) held(run store.Run) {
	s := run.State
	if s.Hold == nil || s.Ended() {
		return
	}
	m.Hold = &Hold{
		Rule: s.Hold.Rule, Message: s.Hold.Message, Person: s.Hold.Person,
		For: time.Duration(s.Elapsed - s.Hold.Since),
	}
	if s.Hold.Timed {
		m.Hold.Left = max(0, time.Duration(run.Plan.HoldTimeout)-m.Hold.For)
	}
	if s.Paused != nil || s.Yield != nil {
		m.Hold.Do = append(m.Hold.Do, "serin resume "+run.Rollout)
	}
	m.Hold.Do = append(m.Hold.Do, "serin promote "+run.Rollout, "serin rollback "+run.Rollout)
}

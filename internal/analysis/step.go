package analysis

import (
	"time"

	"serin.dev/serin/internal/rollout"
)

// Step folds one tick into the state and says what every check says now. It is
// pure: s is not changed, and the result shares no memory with it.
//
// phase is the index of the phase that the run is in. The first tick of a phase
// forgets what holds for one phase only and begins a start. The tick may lack
// arms; one that Validate refuses counts as lacking both.
func Step(cfg Config, s State, t rollout.Tick, phase int) (State, Assessment) {
	next := s.clone()
	said := Advance(cfg, &next, t, phase)
	return next, said
}

// Advance is Step in place, for whoever plays many runs and needs no state but
// the latest.
func Advance(cfg Config, s *State, t rollout.Tick, phase int) Assessment {
	if !cfg.Sound && Validate(t) != nil {
		t.Arms, t.History = rollout.Arms{}, nil
	}
	dt := s.advance(t.At)
	newPhase := phase != s.Phase
	if newPhase {
		s.enter(phase, dt)
	}
	// With all traffic on the canary, stable's silence is no lack.
	control := t.Weight < rollout.Full
	if s.begins(cfg.Phases, phase, newPhase, control) {
		s.begin(t, phase, !control)
	}

	s.Data.add(t, dt, s.Timing.Interval, control)
	baseline := paired(t)
	whole := t
	if reported(t.Arms.Stable) {
		whole.Arms.Stable = together(t.Arms.Stable, baseline)
	}
	s.watchSplit(whole)
	s.Weight = t.Weight

	r := reading{weight: t.Weight, history: t.History, control: control, dt: dt, phaseElapsed: s.Elapsed - s.PhaseBegan}
	if reported(t.Arms.Canary) {
		r.canary = t.Arms.Canary
	}
	if reported(t.Arms.Stable) {
		r.stable, r.old = whole.Arms.Stable, t.Arms.Stable
	}
	if control {
		r.baseline = baseline
		r.lacksBaseline = baseline == nil && cfg.meantBaseline(t.Weight)
	}
	results := make([]Result, len(s.Checks))
	missed, missing := 0, ""
	for i := range s.Checks {
		results[i] = s.judge(cfg, i, r)
		if n := s.Checks[i].Missed; n > missed {
			missed, missing = n, results[i].Check+": "+s.Checks[i].missing()
		}
	}
	if s.Data.Missed >= missed {
		missing = "" // it is the arms that are missing
	}
	a := Assessment{
		Results: results,
		Missing: missing,
		Data:    s.Data.verdict(s.Timing.Gone, missed),
		Hold:    s.Split.alarm(t.Weight),
	}
	for _, c := range s.Checks {
		if c.Exceptions == nil || c.Exceptions.hold() == "" {
			continue
		}
		a.Hold, a.HoldRule = c.Exceptions.hold(), HoldCritical
	}
	return a
}

// advance moves the analysis clock to a tick's time and returns by how much.
// The first tick is taken to be an interval long, and so is one after the clock
// was set back.
func (s *State) advance(at time.Time) time.Duration {
	// Without the location and the monotonic reading, a saved state is equal to
	// one that was not.
	at = at.UTC().Round(0)
	dt := at.Sub(s.At)
	if s.At.IsZero() || dt < 0 {
		dt = s.Timing.Interval
	}
	s.At = at
	s.Elapsed += dt
	return dt
}

// enter begins a phase with the tick of length dt.
func (s *State) enter(phase int, dt time.Duration) {
	s.Phase = phase
	s.PhaseBegan = s.Elapsed - dt
	s.Data.Requests = 0
	for i := range s.Checks {
		if j := s.Checks[i].judge(); j != nil {
			j.newPhase()
		}
	}
}

// begin begins a start with this tick.
func (s *State) begin(t rollout.Tick, phase int, noControl bool) {
	if len(s.Starts) > 0 {
		for i := range s.Checks {
			if j := s.Checks[i].judge(); j != nil {
				j.mark()
			}
		}
	}
	s.Starts = append(s.Starts, StartPoint{At: s.At, Phase: phase, Weight: t.Weight, NoControl: noControl})
	s.StartedAt = s.Elapsed
}

// watchSplit shows the split check a tick in which the weight did not change:
// in one in which it did, the requests were split both ways.
func (s *State) watchSplit(t rollout.Tick) {
	canary, stable := t.Arms.Canary, t.Arms.Stable
	if t.Weight != s.Weight || !reported(canary) || !reported(stable) || canary.Requests == nil || stable.Requests == nil {
		return
	}
	s.Split.add(*canary.Requests, *stable.Requests, t, (1-splitFirstStake)/s.Timing.Horizon)
}

// judge shows check i a tick and returns what it says.
func (s *State) judge(cfg Config, i int, t reading) Result {
	check := cfg.Analysis.Checks[i]
	cs := &s.Checks[i]
	res := Result{Check: check.Name, Type: check.Type, Verdict: Inconclusive}
	j := cs.judge()
	if j == nil {
		res.Message = "not judged yet by this version"
		return res
	}
	r := rules{check: check, margin: marginOf(check), alpha: cs.Alpha, timing: s.Timing, at: s.At, starts: s.Starts, terse: cfg.Terse}
	if s.Phase >= 0 && s.Phase < len(cfg.Phases) {
		r.phaseLength = time.Duration(cfg.Phases[s.Phase].Duration)
	}
	s.measure(cs, j.add(r, t), t)
	res.Needed = 1 / cs.Alpha
	if !cs.Seen && !cs.certain() {
		res.Message = "not measured: no tick has held this check's figures of both arms"
		return res
	}
	said := j.result(r, t)
	said.Check, said.Type, said.Needed = res.Check, res.Type, res.Needed
	said.qualify(s.Starts)
	if cs.Missed >= missedLimit {
		said.withhold(cs.missing())
	}
	return said
}

// measure keeps count of the ticks in which a check that was measured before
// had requests and no figures. A tick whose scrape failed is counted with the
// data, not here.
func (s *State) measure(cs *checkState, measured bool, t reading) {
	// What arrived and cannot be compared was measured, to no avail.
	cs.Seen = cs.Seen || measured || cs.why() != ""
	switch {
	case measured:
		cs.Missed = 0
	case cs.Seen && !cs.vetoes() && t.canary != nil && (t.stable != nil || !t.control) && t.hasRequests():
		cs.Missed++
	}
}

// why says why the latest tick's figures could not be compared, if they arrived.
func (cs *checkState) why() string {
	if cs.Latency == nil {
		return ""
	}
	return cs.Latency.why
}

// missing says since when a check's figures are missing, and why.
func (cs *checkState) missing() string {
	if why := cs.why(); why != "" {
		return why + " (since " + plural(cs.Missed, "tick") + ")"
	}
	return "its figures are missing since " + plural(cs.Missed, "tick")
}

// hasRequests says whether the canary had requests, and stable too where there
// is control. Requests that were not counted may have been any number.
func (t reading) hasRequests() bool {
	some := func(s *rollout.Sample) bool { return s.Requests == nil || *s.Requests > 0 }
	return some(t.canary) && (!t.control || some(t.stable))
}

// withhold takes back what lets a run go on.
func (r *Result) withhold(why string) {
	r.NonInferior, r.Acceptable = false, false
	if r.Verdict == Pass {
		r.Verdict = Inconclusive
	}
	r.Message = why + "; " + r.Message
}

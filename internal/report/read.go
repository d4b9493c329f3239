package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// maxRows bounds each list of a report; half of it is the list's beginning,
// half its end.
const maxRows = 400

// Read makes the report of the record in r. It reads line by line and keeps no
// more than a report shows, however long the record is. A record without a
// header cannot be told about; one that breaks off later can.
func Read(r io.Reader, ev Evidence) (Report, error) {
	b := &builder{
		phases: map[int]*phaseSum{}, gates: map[string]int{}, checks: map[string]int{}, actors: map[string]rollout.Intent{},
		exceptions: map[string]*ExceptionRow{}, inStable: map[string]bool{}, flags: map[string]string{},
	}
	b.r.Evidence = ev
	err := record.Read(r, func(e record.Entry) error {
		if b.r.Header.Record == 0 && e.Header == nil {
			return fmt.Errorf("line %d: the record does not begin with its header", e.Line)
		}
		b.r.Lines++
		b.take(e)
		return nil
	})
	if b.r.Header.Record == 0 {
		if err == nil {
			err = fmt.Errorf("%w: it is empty", record.ErrTruncated)
		}
		return Report{}, fmt.Errorf("read the record: %w", err)
	}
	if err != nil {
		b.broken = err
	}
	return b.finish(), nil
}

// builder folds lines into a report.
type builder struct {
	r      Report
	broken error

	input  record.Input // of the decision to come
	lastAt time.Time
	// lastDecision is the latest, position the run's place.
	lastDecision record.Decision
	decided      record.Decision // the first of the rollback
	position     string
	lastTick     time.Time

	phases     map[int]*phaseSum
	gates      map[string]int
	checks     map[string]int
	actors     map[string]rollout.Intent
	exceptions map[string]*ExceptionRow
	inStable   map[string]bool
	flags      map[string]string
	// noBaseline says why the run's baseline was given up, if it was.
	noBaseline string

	missing struct{ stable, canary, ticks, looks, router, workload, resumed, undelivered, failedEffects, gaps int }
	skipped struct{ moves, timeline, notices int }
}

// phaseSum is a phase in progress.
type phaseSum struct {
	from, to       time.Time
	stable, canary armSum
}

func (b *builder) take(e record.Entry) {
	switch {
	case e.Header != nil && b.r.Header.Record == 0:
		b.r.Header = *e.Header
		b.lastAt = e.Header.Run.StartedAt
		for _, c := range e.Header.Plan.Analysis.Checks {
			b.check(c.Name, c.Type)
		}
	case e.Input != nil:
		b.input = *e.Input
		b.observe(*e.Input)
	case e.Decision != nil:
		b.decide(*e.Decision)
	case e.Effect != nil:
		b.effect(*e.Effect)
	case e.Intent != nil:
		b.actors[e.Intent.ID] = e.Intent.Intent
		b.happen(Happening{At: e.Intent.At, Kind: "intent", Actor: e.Intent.Actor, Text: asked(e.Intent.Intent)})
	case e.Gate != nil:
		b.gate(*e.Gate)
	case e.Notification != nil:
		b.notice(*e.Notification)
	case e.Gap != nil:
		b.gap(*e.Gap)
	}
}

// gap follows looks whose lines are not in the record.
func (b *builder) gap(g record.Gap) {
	b.input = record.Input{} // nothing is known of what they saw
	for _, d := range g.Moved {
		b.decide(d)
	}
	b.lastAt = g.At
	b.missing.gaps += g.Gap
	b.happen(Happening{At: g.At, Kind: "serin", Actor: g.Actor, Text: fmt.Sprintf("nothing could be saved since %s; of %s only what moved the run was kept",
		g.Since.UTC().Format(time.RFC3339), plural(g.Gap, "look"))})
}

func asked(i rollout.Intent) string {
	if i.Kind == rollout.Complain {
		about := map[rollout.Arm]string{rollout.Canary: "the new version", rollout.Stable: "the old version", "": "a version nobody knows"}[i.Arm]
		return "reported a complaint about " + about + ": " + i.Reason
	}
	text := "asked to " + string(i.Kind)
	if i.Kind == rollout.Rollback {
		text = "asked to roll back"
	}
	if i.Full {
		text += " fully, ending every remaining phase"
	}
	if i.Reason != "" {
		text += ": " + i.Reason
	}
	return text
}

func (b *builder) observe(in record.Input) {
	b.missing.looks++
	o := in.Observation()
	b.lastAt = o.At
	if o.Weight == nil {
		b.missing.router++
	}
	if o.Canary == nil || o.Stable == nil {
		b.missing.workload++
	}
	if o.Resumed && b.r.Decisions > 0 {
		b.missing.resumed++
		b.happen(Happening{At: o.At, Kind: "serin", Text: "Serin was started again and went on with this run"})
	}
	for _, i := range o.Intents {
		b.actors[i.ID] = i
	}
	if o.Tick != nil {
		b.tick(*o.Tick)
	}
}

func (b *builder) tick(t rollout.Tick) {
	b.missing.ticks++
	if t.Arms.Stable == nil {
		b.missing.stable++
	}
	if t.Arms.Canary == nil {
		b.missing.canary++
	}
	from := t.At.Add(-time.Duration(b.r.Header.Plan.Analysis.Interval))
	if !b.lastTick.IsZero() && b.lastTick.After(from) && b.lastTick.Before(t.At) {
		from = b.lastTick
	}
	b.lastTick = t.At
	b.r.traffic.add(from, t.At, t.Arms)
	if p := b.phases[b.lastDecision.Phase]; p != nil {
		p.stable.add(t.Arms.Stable)
		p.canary.add(t.Arms.Canary)
	}
	if s, c := t.Arms.Stable, t.Arms.Canary; s != nil && c != nil {
		n := value(c.Requests)
		b.r.Felt.Requests += value(s.Requests) + n
		b.r.Felt.CanaryRequests += n
		b.r.Felt.CanaryErrors += value(c.Errors)
		if value(s.Requests) > 0 {
			b.r.Felt.Excess += value(c.Errors) - n*value(s.Errors)/value(s.Requests)
		}
	} else if c != nil {
		b.r.Felt.Requests += value(c.Requests)
		b.r.Felt.CanaryRequests += value(c.Requests)
		b.r.Felt.CanaryErrors += value(c.Errors)
	} else if s != nil {
		b.r.Felt.Requests += value(s.Requests)
	}
	b.throw(t)
}

// throw notes the classes of exceptions in a tick.
func (b *builder) throw(t rollout.Tick) {
	if t.Arms.Stable != nil {
		for _, x := range t.Arms.Stable.Exceptions {
			if len(b.inStable) < 10*maxRows {
				b.inStable[x.Class] = true
			}
		}
	}
	if t.Arms.Canary == nil {
		return
	}
	for _, x := range t.Arms.Canary.Exceptions {
		row := b.exceptions[x.Class]
		if row == nil {
			if len(b.exceptions) == maxRows {
				continue
			}
			row = &ExceptionRow{Class: x.Class, First: t.At}
			b.exceptions[x.Class] = row
		}
		row.Count += x.Count
		row.Stack = cmp.Or(row.Stack, x.Stack)
		row.Critical = row.Critical || x.Critical
	}
}

func (b *builder) decide(d record.Decision) {
	b.r.Decisions++
	b.lastAt = d.At
	o := b.input.Observation()
	b.weigh(d, o.Weight)
	for _, reason := range d.Because {
		if reason.Result != nil {
			b.result(d, reason, o.Tick)
		}
		if reason.Rule == "noBaseline" {
			b.noBaseline = reason.Message
		}
	}
	if d.Position != b.position {
		b.move(d)
	}
	if d.Decision == engine.Rollback && b.decided.At.IsZero() {
		b.decided = d
		b.r.Felt.Decided = d.At
	}
	if !b.decided.At.IsZero() && b.r.Felt.AtZero.IsZero() && d.At.After(b.decided.At) {
		if w := o.Weight; w != nil && w.Percent == 0 && (w.InEffect || !w.Known) {
			b.r.Felt.AtZero = d.At
		}
	}
	b.lastDecision = d
}

// result follows one check. Between ticks a result only repeats.
func (b *builder) result(d record.Decision, reason engine.Reason, t *rollout.Tick) {
	i := b.check(reason.Check, reason.Type)
	if i < 0 {
		return
	}
	c := &b.r.Checks[i]
	c.Result, c.Last = reason, d
	c.Judged = c.Judged || reason.Judged
	for _, f := range reason.Flags {
		b.flags[f] = appendName(b.flags[f], reason.Check)
	}
	if t == nil || d.Decision == engine.Rollback && !b.decided.At.IsZero() {
		return
	}
	if r := reason.Detectable; r > 1 && (c.Finest == 0 || r < c.Finest) {
		c.Finest, c.FinestIn = r, d.Phase
	}
	if reason.Evidence > c.Peak {
		c.Peak, c.PeakAt = reason.Evidence, d.At
	}
	if len(c.points) >= maxPoints {
		c.points = thin(c.points)
	}
	c.points = append(c.points, checkPoint{
		at: d.At, ratio: reason.Ratio, low: reason.Low, high: reason.High, evidence: reason.Evidence, needed: reason.Needed,
		judged: reason.Judged, nonInferior: reason.NonInferior,
	})
	c.watch(*t, reason)
}

func appendName(list, name string) string {
	switch {
	case list == "":
		return name
	case slices.Contains(strings.Split(list, ", "), name):
		return list
	}
	return list + ", " + name
}

// check returns the row of a check, making it when there is none; -1 when
// there are too many.
func (b *builder) check(name string, typ rollout.CheckType) int {
	if i, ok := b.checks[name]; ok {
		return i
	}
	if len(b.r.Checks) == maxRows {
		return -1
	}
	row := CheckRow{Name: name, Type: typ}
	for _, c := range b.r.Header.Plan.Analysis.Checks {
		if c.Name == name {
			row.Margin = c.Rollback.AsRatio()
		}
	}
	b.r.Checks = append(b.r.Checks, row)
	b.checks[name] = len(b.r.Checks) - 1
	return len(b.r.Checks) - 1
}

// move notes a transition, and begins or ends a phase with it.
func (b *builder) move(d record.Decision) {
	m := Move{At: d.At, From: b.place(b.position, b.lastDecision.Phase), To: b.place(d.Position, d.Phase), Weight: d.Weight, Why: first(d.Because), Who: record.Serin}
	if !b.decided.At.IsZero() && d.Decision == engine.Rollback && d.At != b.decided.At {
		m.Why = "the rollback goes on"
		if d.Position == string(engine.RolledBack) {
			m.Why = "the rollback is complete"
		}
	}
	for _, a := range d.Answered {
		if i, ok := b.actors[a.ID]; ok && a.Accepted {
			m.Who = i.Actor
		}
	}
	b.position = d.Position
	b.r.Moves = bounded(b.r.Moves, m, &b.skipped.moves)
	if b.skipped.moves > 0 {
		b.r.Moves[maxRows/2].Skipped = b.skipped.moves
	}
	b.happen(Happening{At: d.At, Kind: "decision", Text: m.To + ": " + m.Why, Actor: m.Who})

	const inPhase = string(engine.Progressing)
	if strings.HasPrefix(d.Position, inPhase) {
		if b.phases[d.Phase] == nil {
			b.phases[d.Phase] = &phaseSum{from: d.At}
		}
	}
	for n, p := range b.phases {
		if p.to.IsZero() && (n != d.Phase || !strings.HasPrefix(d.Position, inPhase)) {
			p.to = d.At
		}
	}
}

// bounded appends v; when the list is full, what follows its first half is
// dropped, oldest first.
func bounded[T any](list []T, v T, skipped *int) []T {
	if len(list) >= maxRows {
		list = slices.Delete(list, maxRows/2, maxRows/2+1)
		*skipped++
	}
	return append(list, v)
}

func first(because []engine.Reason) string {
	if len(because) == 0 {
		return ""
	}
	return because[0].Message
}

func (b *builder) effect(e record.Effect) {
	h := Happening{At: e.At, Kind: e.Effect, Text: e.Detail, Actor: e.Actor, Failed: e.Error != ""}
	if h.Failed {
		b.missing.failedEffects++
		h.Text = strings.TrimPrefix(strings.TrimSpace(h.Text+"; ")+" failed: "+e.Error, "; ")
	}
	b.happen(h)
	if e.Effect == "weight" && e.Error == "" {
		b.weighed(e)
	}
	// The router was asked before the decision was written down.
	if e.Effect == "weight" && e.Error == "" && strings.HasSuffix(e.Detail, "-> 0") &&
		!b.decided.At.IsZero() && (b.r.Felt.AtZero.IsZero() || e.At.Before(b.r.Felt.AtZero)) {
		b.r.Felt.AtZero = e.At
	}
}

func (b *builder) gate(g record.Gate) {
	key := g.Gate + "\x00" + string(g.Point)
	i, ok := b.gates[key]
	if !ok {
		if len(b.r.Gates) == maxRows {
			return
		}
		b.r.Gates = append(b.r.Gates, GateRow{Name: g.Gate, Point: string(g.Point)})
		i = len(b.r.Gates) - 1
		b.gates[key] = i
	}
	row := &b.r.Gates[i]
	row.Runs++
	changed := row.Runs == 1 || row.Last.Passed != g.Passed
	row.Last = g
	if !g.Passed {
		row.Failures++
		if row.FirstFailure == nil {
			row.FirstFailure = &g
		}
	}
	if changed {
		text := g.Gate + " passed"
		if !g.Passed {
			text = g.Gate + " failed"
		}
		if g.Message != "" {
			text += ": " + g.Message
		}
		b.happen(Happening{At: g.At, Kind: "gate", Text: text, Actor: g.Actor, Failed: !g.Passed})
	}
}

func (b *builder) notice(n record.Notification) {
	if !n.Delivered {
		b.missing.undelivered++
	}
	b.r.Notices = bounded(b.r.Notices, n, &b.skipped.notices)
}

func (b *builder) happen(h Happening) {
	b.r.Timeline = bounded(b.r.Timeline, h, &b.skipped.timeline)
}

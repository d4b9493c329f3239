package rollout

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Timeline is how a run of a plan is expected to go, when nothing holds it, no
// phase ends early and nobody has to be waited for.
type Timeline struct {
	Start time.Time
	Rows  []TimelineRow
	// Early says that phases may end sooner.
	Early bool
}

// TimelineRow is one step of a timeline.
type TimelineRow struct {
	// Phase counts from 1; 0 is the preparation.
	Phase int
	// Weight is the percent of traffic routed to the canary.
	Weight int
	// Lasts is the step's duration; for the preparation, its bound.
	Lasts    time.Duration
	From, To time.Time
	// Approval says that the step begins only when a person approves it.
	Approval bool
}

// Timeline estimates a run that starts at start, in start's time zone.
//
// Preparing is given its bound, but not more than the shortest phase: a plan
// whose phases last seconds is for versions that start in seconds.
func (p Plan) Timeline(start time.Time) Timeline {
	t := Timeline{Start: start, Early: p.Early != nil}
	at := start.Add(time.Duration(min(p.Prepare, p.shortestPhase())))
	t.Rows = append(t.Rows, TimelineRow{Lasts: time.Duration(p.Prepare), From: start, To: at})
	for i, ph := range p.Phases {
		end := at.Add(time.Duration(ph.Duration))
		t.Rows = append(t.Rows, TimelineRow{Phase: i + 1, Weight: ph.Weight, Lasts: time.Duration(ph.Duration), From: at, To: end, Approval: ph.Approval})
		at = end
	}
	return t
}

// End is when the last phase ends.
func (t Timeline) End() time.Time {
	if len(t.Rows) == 0 {
		return t.Start
	}
	return t.Rows[len(t.Rows)-1].To
}

// Watched is how long the phases last together.
func (t Timeline) Watched() time.Duration {
	var d time.Duration
	for _, r := range t.phases() {
		d += r.Lasts
	}
	return d
}

func (t Timeline) phases() []TimelineRow {
	if len(t.Rows) == 0 {
		return nil
	}
	return t.Rows[1:]
}

// String says it in one line:
// "5 % → 10 % → 25 % → 50 % → 100 %, 30 min each: 2 h 30 min, ends about 14:40".
func (t Timeline) String() string {
	var b strings.Builder
	phases := t.phases()
	same := true
	for _, r := range phases {
		same = same && r.Lasts == phases[0].Lasts
	}
	var approvals []string
	for i, r := range phases {
		if i > 0 {
			b.WriteString(" → ")
		}
		fmt.Fprintf(&b, "%d %%", r.Weight)
		if !same {
			b.WriteString(" for " + Words(r.Lasts))
		}
		if r.Approval {
			approvals = append(approvals, fmt.Sprintf("%d %%", r.Weight))
		}
	}
	switch {
	case len(phases) == 1:
		fmt.Fprintf(&b, " for %s", Words(phases[0].Lasts))
	case same && len(phases) > 1:
		fmt.Fprintf(&b, ", %s each: %s", Words(phases[0].Lasts), Words(t.Watched()))
	default:
		fmt.Fprintf(&b, ": %s", Words(t.Watched()))
	}
	b.WriteString(", ends about " + t.clock(t.End()))
	if t.Early {
		b.WriteString(" or sooner")
	}
	if len(approvals) > 0 {
		b.WriteString(", plus the wait for approval before " + strings.Join(approvals, ", "))
	}
	return b.String()
}

// Table says it in one line a step, for a terminal.
func (t Timeline) Table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, r := range t.Rows {
		step, lasts, note := fmt.Sprintf("%3d %%", r.Weight), Words(r.Lasts), ""
		if r.Phase == 0 {
			step, lasts = "prepare", "up to "+Words(r.Lasts)
		}
		if r.Approval {
			note = "\tafter an approval"
		}
		fmt.Fprintf(w, "%s\t%s\t%s – %s%s\n", step, lasts, t.clock(r.From), t.clock(r.To), note)
	}
	_ = w.Flush() // a strings.Builder does not fail
	return b.String()
}

// fine is the length below which a timeline is told to the second.
const fine = 10 * time.Minute

// clock writes a time as one looks for it on a clock: to the minute unless the
// whole run takes only minutes, with the day when it is another one, and with
// the zone's name when the clocks change before the run ends.
func (t Timeline) clock(at time.Time) string {
	layout := "15:04"
	if t.Watched() < fine {
		layout, at = "15:04:05", at.Round(time.Second)
	} else {
		at = at.Round(time.Minute)
	}
	_, before := t.Start.Zone()
	if _, after := t.End().Zone(); after != before {
		layout += " MST"
	}
	text := at.Format(layout)
	switch {
	case sameDay(at, t.Start):
		return text
	case sameDay(at, t.Start.AddDate(0, 0, 1)):
		return text + " tomorrow"
	}
	return text + at.Format(" on Mon 2 Jan")
}

func sameDay(a, b time.Time) bool {
	ay, am, ad := a.Date()
	by, bm, bd := b.Date()
	return ay == by && am == bm && ad == bd
}

// Words writes a duration for people: "2 h 30 min", "15 s", "250 ms".
func Words(d time.Duration) string {
	if d < 0 {
		return "-" + Words(-d)
	}
	if d < time.Second && d != d.Truncate(time.Second) {
		if d < time.Millisecond {
			return d.String()
		}
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
	}
	seconds := float64(d%time.Minute) / float64(time.Second)
	var parts []string
	for _, unit := range []struct {
		n    time.Duration
		name string
	}{{d / (24 * time.Hour), "d"}, {d / time.Hour % 24, "h"}, {d / time.Minute % 60, "min"}} {
		if unit.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", unit.n, unit.name))
		}
	}
	if seconds > 0 || len(parts) == 0 {
		parts = append(parts, fmt.Sprintf("%.4g s", seconds))
	}
	return strings.Join(parts, " ")
}

package view

import (
	"fmt"
	"strings"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
)

const (
	// widest is the widest that the view becomes: longer lines are not read.
	widest = 140
	// mostDecisions bounds the lines of the last section.
	mostDecisions = 9
)

// Render writes the view for a terminal of this size: at most height lines of
// at most width columns, the same number of lines for as long as the size and
// the plan stay the same.
func Render(m Model, width, height int, color bool) []string {
	p := page{model: m, width: min(max(width, 20), widest), height: max(height, 4)}
	rows := p.rows()
	lines := make([]string, len(rows))
	for i, r := range rows {
		lines[i] = r.fit(p.width).render(color)
	}
	return lines
}

// page is one view being laid out.
type page struct {
	model         Model
	width, height int
}

// section is a part of the view. When there is too little room, blanks go
// first, then what has the lowest rank.
type section struct {
	rank int
	rows []row
}

func (p page) rows() []row {
	sections := []section{
		{rank: 9, rows: []row{p.title()}},
		{rank: 8, rows: p.timeline()},
		{rank: 6, rows: []row{p.weight()}},
		{rank: 5, rows: p.arms()},
		{rank: 4, rows: p.checks()},
	}
	used := 0
	for _, s := range sections {
		used += len(s.rows) + 1
	}
	blank := true
	if used+3 > p.height {
		used -= len(sections) - 1
		blank = false
	}
	for used+2 > p.height && len(sections) > 2 {
		weakest := 0
		for i, s := range sections {
			if s.rank < sections[weakest].rank {
				weakest = i
			}
		}
		used -= len(sections[weakest].rows)
		sections = append(sections[:weakest], sections[weakest+1:]...)
	}
	news := p.news(min(p.height-used, mostDecisions))
	if len(news) > 0 {
		sections = append(sections, section{rows: news})
	}
	var rows []row
	for i, s := range sections {
		// The blank before the last section stays longest: it parts what is
		// from what was.
		if i > 0 && (blank || i == len(sections)-1 && len(rows)+len(s.rows) < p.height) {
			rows = append(rows, row{})
		}
		rows = append(rows, s.rows...)
	}
	return rows[:min(len(rows), p.height)]
}

// title says what is released.
func (p page) title() row {
	m := p.model
	r := row{}.add(bold, " "+m.Rollout).add(plain, "  ").
		add(plain, m.StableVersion).add(dim, " → ").add(boldCyan, m.CanaryVersion)
	end := m.Now
	if !m.EndedAt.IsZero() {
		end = m.EndedAt
	}
	right := clock(end.Sub(m.StartedAt)) + " "
	if m.Number > 0 {
		right = fmt.Sprintf("run %d   %s", m.Number, right)
	}
	return r.rightBound(p.width, dim, right)
}

// timeline says how far the run is.
func (p page) timeline() []row {
	m := p.model
	var labels, line row
	n := len(m.Phases)
	if segment := (p.width - 2 - n) / max(n, 1); segment >= 7 {
		for i, ph := range m.Phases {
			sign, s, lineStyle := "·", dim, dim
			fraction := float64(ph.Watched) / float64(max(ph.Duration, 1))
			switch ph.State {
			case Passed:
				sign, s, lineStyle, fraction = "✓", green, green, 1
			case Watching:
				sign, s, lineStyle = "▸", boldCyan, cyan
			case Stopped:
				sign, s, lineStyle = "✗", boldRed, red
			}
			labels = labels.at(1+i*(segment+1)).add(s, fmt.Sprintf("%s %d %%", sign, ph.Weight))
			done, ahead := track(fraction, segment)
			line = line.add(plain, " ").add(lineStyle, done).add(dim, ahead)
		}
		return []row{labels, line, p.position()}
	}
	return []row{p.position()}
}

// position says in words where the run is.
func (p page) position() row {
	m := p.model
	took := ""
	if !m.EndedAt.IsZero() {
		took = " after " + clock(m.EndedAt.Sub(m.StartedAt))
	}
	r := row{}.add(plain, " ")
	switch m.Status {
	case engine.Promoted:
		return r.add(attainment, " promoted ").add(plain, " "+m.CanaryVersion+" is the stable version now"+took)
	case engine.RolledBack:
		return r.add(alarm, " rolled back ").add(plain, " "+m.StableVersion+" has all traffic"+took)
	case engine.RollingBack:
		return r.add(alarm, " rolling back ").add(plain, " "+stageWords[m.Stage])
	case engine.Promoting:
		return r.add(boldGreen, "promoting").add(plain, "  "+stageWords[m.Stage])
	case engine.Progressing:
		return p.watching(r)
	}
	return r.add(boldCyan, "preparing").add(plain, "  "+p.preparing())
}

func (p page) watching(r row) row {
	m := p.model
	ph := m.Phases[m.Current]
	r = r.add(plain, fmt.Sprintf("phase %d of %d", m.Current+1, len(m.Phases)))
	switch {
	case m.Stage == engine.Admitting:
		r = r.add(plain, "   passed; the next one is being admitted")
	case m.Hold != nil:
		r = r.add(plain, "   ").add(yellow, "held")
	default:
		r = r.add(plain, "   ").add(bold, left(ph.Duration-ph.Watched)).add(plain, " left")
	}
	return r.rightBound(p.width-1, dim, "all phases: "+left(m.Left)+" left")
}

// preparing says what a run that is being prepared waits for.
func (p page) preparing() string {
	if len(p.model.Decisions) > 0 {
		return p.model.Decisions[0].Text
	}
	return "the new version is being started; it gets no traffic yet"
}

var stageWords = map[engine.Stage]string{
	engine.Switching: "all traffic is being given to the tested instances",
	engine.Returning: "traffic is going back to stable",
	engine.Draining:  "requests that are under way are finishing",
	engine.Gathering: "evidence and logs are being kept",
	engine.Removing:  "instances that are not needed any more are being stopped",
	engine.Finishing: "the last hooks are running",
}

// weight says who is meant to get what, and who gets it.
func (p page) weight() row {
	m := p.model
	r := row{}.add(dim, " weight").at(11).add(plain, "asked ").add(bold, fmt.Sprintf("%3d %%", m.Asked))
	r = r.at(27).add(plain, "in effect ")
	switch {
	case m.InEffect == nil:
		r = r.add(plain, "    "+unknown)
	case *m.InEffect == m.Asked:
		r = r.add(bold, fmt.Sprintf("%3d %%", *m.InEffect))
	default:
		r = r.add(yellow, fmt.Sprintf("%3d %%", *m.InEffect))
	}
	r = r.at(47).add(plain, "seen ")
	if m.Seen == nil {
		return r.add(plain, unknown)
	}
	return r.add(bold, fmt.Sprintf("%5.1f %%", *m.Seen)).add(plain, " of requests")
}

// arms says how the two versions are doing.
func (p page) arms() []row {
	m := p.model
	ends := []int{38, 49, 59, 69, 79}
	if p.width < 79 {
		ends = []int{30, 39, 48, 57, 66}
	}
	rows := []row{row{}.add(dim, " ")}
	for i, h := range []string{"requests/s", "errors", "p50", "p95", "p99"} {
		rows[0] = rows[0].rightBound(ends[i], dim, h)
	}
	for _, a := range []struct {
		name, version string
		arm           Arm
		style         style
	}{{"stable", m.StableVersion, m.Stable, plain}, {"canary", m.CanaryVersion, m.Canary, cyan}} {
		r := row{}.add(plain, " ").add(a.style, a.name).at(11).add(a.style, cutTo(a.version, ends[0]-22))
		for i, v := range []string{
			perSecond(a.arm.PerSecond), fraction(a.arm.ErrorRate),
			latency(a.arm.P50), latency(a.arm.P95), latency(a.arm.P99),
		} {
			r = r.rightBound(ends[i], plain, v)
		}
		rows = append(rows, r)
	}
	return rows
}

// checks says what is held against the canary, and how much is missing.
func (p page) checks() []row {
	const barLength = 12
	head := row{}.add(dim, " check").at(11).rightBound(18, dim, "ratio").at(21).add(dim, "bounds").
		at(37).add(dim, "evidence of harm").at(65).add(dim, "verdict")
	rows := []row{head}
	var unjudged []string
	for _, c := range p.model.Checks {
		if !c.Judged && c.Message != "" {
			unjudged = append(unjudged, c.Name)
			continue
		}
		r := row{}.add(plain, " ").add(plain, cutTo(c.Name, 9)).at(11).
			rightBound(18, bold, times(c.Ratio)).at(21).add(plain, span(c.Low, c.High)).at(37)
		word, s := c.verdict()
		full, empty := filling(evidenceFraction(c.Evidence, c.Needed), barLength)
		r = r.add(evidenceStyle(c), full).add(dim, empty)
		amount := unknown
		if c.Needed > 0 {
			amount = odds(c.Evidence) + " of " + odds(c.Needed)
		}
		r = r.at(50).add(plain, amount).at(65).add(s, word)
		if p.width >= 110 && c.Message != "" {
			r = r.at(82).add(dim, c.Message)
		}
		rows = append(rows, r)
	}
	if len(unjudged) > 0 {
		rows = append(rows, row{}.add(dim, " not judged yet: "+strings.Join(unjudged, ", ")))
	}
	return rows
}

func evidenceStyle(c Check) style {
	switch f := evidenceFraction(c.Evidence, c.Needed); {
	case c.Verdict == analysis.Fail, f >= 1:
		return red
	case f >= 0.5:
		return yellow
	}
	return plain
}

// verdict is a check's verdict in a word or two.
func (c Check) verdict() (string, style) {
	switch {
	case c.Verdict == analysis.Fail:
		return "✗ worse", boldRed
	case c.Proven:
		return "✓ not worse", green
	case c.Needed > 0 && c.Evidence >= c.Needed:
		return "below " + times(c.Margin), yellow
	case c.Acceptable:
		return "acceptable", plain
	}
	return "watching", dim
}

// news says what is waited for and what was decided lately, in n lines.
func (p page) news(n int) []row {
	var rows []row
	add := func(r row) {
		if len(rows) < n {
			rows = append(rows, r)
		}
	}
	if h := p.model.Hold; h != nil {
		sign := " holding "
		if h.Person {
			sign = " waiting for you "
		}
		room := p.width - 2 - len(sign) - 2
		for i, line := range wrap(h.Message, max(room, 10)) {
			if i == 0 {
				add(row{}.add(plain, " ").add(attention, sign).add(plain, " ").add(bold, line))
			} else {
				add(row{}.at(0).add(plain, strings.Repeat(" ", len(sign)+2)).add(bold, line))
			}
		}
		r := row{}.add(dim, " "+clock(h.For)+" so far")
		for i, do := range h.Do {
			r = r.add(dim, map[bool]string{true: "   → ", false: "   or "}[i == 0]).add(bold, do)
		}
		add(r)
	}
	for _, d := range p.model.Decisions {
		lines := wrap(d.Text, max(p.width-23, 10))
		// The latest decision is told in full, the ones before in a line each.
		if len(rows) > 0 && len(lines) > 1 {
			lines = []string{d.Text}
		}
		for i, line := range lines {
			r := row{}.add(plain, strings.Repeat(" ", 22))
			if i == 0 {
				r = row{}.add(dim, " "+d.At.Format(time.TimeOnly)+"  ").add(kindStyle(d.Kind), string(d.Kind)).at(22)
			}
			add(r.add(plain, line))
		}
	}
	for len(rows) < n {
		rows = append(rows, row{})
	}
	return rows
}

func kindStyle(k engine.Kind) style {
	switch k {
	case engine.Rollback:
		return boldRed
	case engine.Hold:
		return yellow
	case engine.Proceed:
		return cyan
	case engine.Complete:
		return boldGreen
	}
	return dim
}

package view

import (
	"fmt"
	"strings"

	"serin.dev/serin/internal/analysis"
)

// weight says who is meant to get what, and who gets it.
func (p page) weight() row {
	m := p.model
	gap := 4
	if p.width < 72 {
		gap = 2
	}
	r := row{}.add(dim, " weight").at(11).add(plain, "asked ").add(bold, fmt.Sprintf("%3d %%", m.Asked))
	r = r.at(r.columns()+gap).add(plain, "in effect ")
	switch {
	case m.InEffect == nil:
		r = r.add(plain, "    "+unknown)
	case *m.InEffect == m.Asked:
		r = r.add(bold, fmt.Sprintf("%3d %%", *m.InEffect))
	default:
		r = r.add(yellow, fmt.Sprintf("%3d %%", *m.InEffect))
	}
	r = r.at(r.columns()+gap).add(plain, "seen ")
	if m.Seen == nil {
		return r.add(plain, "      "+unknown)
	}
	r = r.add(bold, fmt.Sprintf("%5.1f %%", *m.Seen))
	if p.width < 72 {
		return r
	}
	return r.add(plain, " of requests")
}

// column is one figure of an arm and where it ends.
type column struct {
	head  string
	end   int
	value func(Arm) string
}

// columns are those that there is room for.
func (p page) columns() []column {
	all := []column{
		{"requests/s", 38, func(a Arm) string { return perSecond(a.PerSecond) }},
		{"errors", 49, func(a Arm) string { return fraction(a.ErrorRate) }},
		{"p50", 59, func(a Arm) string { return latency(a.P50) }},
		{"p95", 69, func(a Arm) string { return latency(a.P95) }},
		{"p99", 79, func(a Arm) string { return latency(a.P99) }},
	}
	if p.width >= 80 {
		return all
	}
	for i, end := range []int{30, 40, 50, 60, 70} {
		all[i].end = end
	}
	n := 2
	for n < len(all) && all[n].end < p.width {
		n++
	}
	return all[:n]
}

// arms says how the two versions are doing.
func (p page) arms() []row {
	m := p.model
	columns := p.columns()
	head := row{}.add(dim, " ")
	if !m.Latest && m.Canary.PerSecond != nil {
		head = row{}.add(dim, " when last watched")
	}
	rows := []row{head}
	for _, c := range columns {
		rows[0] = rows[0].rightBound(c.end, dim, c.head)
	}
	for _, a := range []struct {
		name, version string
		arm           Arm
		style         style
	}{{"stable", m.StableVersion, m.Stable, plain}, {"canary", m.CanaryVersion, m.Canary, cyan}} {
		r := row{}.add(plain, " ").add(a.style, a.name).at(11).add(a.style, cutTo(printable(a.version), columns[0].end-22))
		for _, c := range columns {
			r = r.rightBound(c.end, plain, c.value(a.arm))
		}
		rows = append(rows, r)
	}
	return rows
}

// tall is the height from which a check is told in words too.
const tall = 30

// taller is the height from which it is also told what its verdict rests on.
const taller = 36

// checks says what is held against the canary, and how much is missing.
func (p page) checks() []row {
	bounds, evidence, amountAt, verdictAt, barLength := 21, 37, 50, 65, 12
	if p.width < 80 {
		bounds, evidence, amountAt, verdictAt = 0, 21, 34, 47
	}
	if p.width < 60 {
		amountAt, verdictAt, barLength = 28, 41, 6
	}
	head := row{}.add(dim, " check").at(11).rightBound(18, dim, "ratio")
	if bounds > 0 {
		head = head.at(bounds).add(dim, "bounds")
	}
	rows := []row{head.at(evidence).add(dim, "evidence of harm").at(verdictAt).add(dim, "verdict")}
	var unjudged []string
	for _, c := range p.model.Checks {
		if !c.Judged && c.Message != "" {
			unjudged = append(unjudged, c.Name)
			continue
		}
		r := row{}.add(plain, " ").add(plain, cutTo(printable(c.Name), 9)).at(11).rightBound(18, bold, times(c.Ratio))
		if bounds > 0 {
			r = r.at(bounds).add(plain, span(c.Low, c.High))
		}
		word, s := c.verdict()
		full, empty := filling(evidenceFraction(c.Evidence, c.Needed), barLength)
		r = r.at(evidence).add(evidenceStyle(c), full).add(dim, empty)
		amount := unknown
		if c.Needed > 0 {
			amount = odds(c.Evidence) + " of " + odds(c.Needed)
		}
		rows = append(rows, r.at(amountAt).add(plain, amount).at(verdictAt).add(s, word))
		if p.height >= tall {
			rows = append(rows, row{}.add(dim, strings.Repeat(" ", 13)+c.Message))
			if p.height >= taller {
				rows = append(rows, row{}.add(dim, strings.Repeat(" ", 13)+c.Explained))
			}
		}
	}
	if len(unjudged) > 0 {
		rows = append(rows, row{}.add(dim, " not judged here: "+strings.Join(unjudged, ", ")))
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

package view

import (
	"strings"
	"time"

	"serin.dev/serin/internal/engine"
)

// held says why the weight stays where it is, and what can be done.
func (p page) held(h Hold) []row {
	sign := " holding "
	if h.Person {
		sign = " waiting for you "
	}
	var rows []row
	indent := strings.Repeat(" ", len(sign)+2)
	for i, line := range Wrap(h.Message, max(p.width-len(indent)-1, 10)) {
		r := row{}.add(plain, indent)
		if i == 0 {
			r = row{}.add(plain, " ").add(attention, sign).add(plain, " ")
		}
		rows = append(rows, r.add(bold, line))
	}
	r := row{}.add(dim, " "+clock(h.For)).at(9)
	if h.Left > 0 {
		r = r.add(yellow, "rolls back in "+clock(h.Left)).add(dim, " unless this ends; ")
	}
	for i, do := range h.Do {
		do = printable(do)
		if r.columns()+columns(do)+4 > p.width && i > 0 {
			rows, r = append(rows, r), row{}.add(plain, strings.Repeat(" ", 9))
		}
		if i > 0 {
			r = r.add(dim, "or ")
		}
		r = r.add(bold, do).add(plain, " ")
	}
	return append(rows, r)
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
		for _, r := range p.held(*h) {
			add(r)
		}
	}
	for i, d := range p.model.Decisions {
		if i == 0 && p.model.Hold != nil && d.Kind == engine.Hold {
			continue // said above
		}
		lines := Wrap(d.Text, max(p.width-23, 10))
		// The latest decision is told in full, the ones before in a line each.
		if len(rows) > 0 && len(lines) > 1 {
			lines = []string{d.Text}
		}
		for n, line := range lines {
			r := row{}.add(plain, strings.Repeat(" ", 22))
			if n == 0 {
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

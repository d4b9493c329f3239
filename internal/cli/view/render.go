package view

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
	need := 2
	if p.model.Hold != nil {
		need = 4
	}
	for used+need > p.height && len(sections) > 2 {
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

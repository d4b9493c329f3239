package report

import (
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// newPlot returns a chart over the whole run with its phases and events.
func (r Report) newPlot(title string) *plot {
	p := &plot{title: title, from: r.Header.Run.StartedAt, to: r.EndedAt, format: short, phases: r.Phases}
	if !p.to.After(p.from) {
		p.to = p.from.Add(time.Second)
	}
	if !r.Felt.FirstSign.IsZero() {
		p.marks = append(p.marks, mark{r.Felt.FirstSign, "sign", "first sign"})
	}
	if !r.Felt.Decided.IsZero() {
		p.marks = append(p.marks, mark{r.Felt.Decided, "back", "rolled back"})
	}
	for _, h := range r.Timeline {
		if h.Kind == "intent" && len(p.marks) < 12 {
			p.marks = append(p.marks, mark{h.At, "person", shortened(h.Actor+" "+strings.TrimPrefix(h.Text, "asked to "), 22)})
		}
	}
	return p
}

// weightChart shows the weight asked for and seen.
func (r Report) weightChart() template.HTML {
	p := r.newPlot("The new version's share of the traffic")
	p.desc = "The new version's share of the traffic in percent over the run, asked for and seen at the router."
	p.low, p.high = 0, 100
	p.format = func(v float64) string { return short(v) + " %" }
	var asked, seen, zero []point
	for _, w := range r.weights {
		asked = append(asked, point{w.at, float64(w.asked)})
		s := math.NaN()
		if w.seen >= 0 {
			s = float64(w.seen)
		}
		seen = append(seen, point{w.at, s})
	}
	// The filled area steps as the line does.
	var stepped []point
	for i, s := range seen {
		if i > 0 {
			stepped = append(stepped, point{s.at, seen[i-1].v})
		}
		stepped = append(stepped, s)
	}
	for _, s := range stepped {
		zero = append(zero, point{s.at, 0})
	}
	p.area("seen", "seen at the router", zero, stepped)
	p.line("asked", "asked for", asked, true)
	return p.svg()
}

// checkChart shows a check's estimate, and below it the evidence.
func (r Report) checkChart(c CheckRow) []template.HTML {
	if len(c.points) < 2 || !c.Judged {
		return nil
	}
	var est, low, high, evidence []point
	top, bottom, most, needed := max(2, 1.25*c.Margin), 0.5, 10.0, 0.0
	for _, q := range c.points {
		v := math.NaN()
		if q.ratio > 0 {
			v = q.ratio
			top, bottom = max(top, min(q.ratio*1.2, 20)), min(bottom, max(q.ratio/1.2, 0.05))
		}
		est = append(est, point{q.at, v})
		lo, hi := math.NaN(), math.NaN()
		if q.low > 0 || q.high > 0 {
			lo, hi = max(q.low, 0.01), q.high
			if hi <= 0 {
				hi = 1e6
			}
		}
		low, high = append(low, point{q.at, lo}), append(high, point{q.at, hi})
		evidence = append(evidence, point{q.at, max(q.evidence, 0.1)})
		needed = max(needed, q.needed)
		most = max(most, min(q.evidence, 1e9))
	}
	p := r.newPlot(c.Name + ": canary ÷ stable")
	p.desc = "The estimated ratio of canary to stable with its bounds, and the margin."
	p.low, p.high, p.log = bottom, top, true
	p.format = func(v float64) string { return short(v) + "×" }
	p.area("bounds", "where the truth lies (confidence sequence)", low, high)
	p.line("even", "", []point{{p.from, 1}, {p.to, 1}}, false)
	p.line("estimate", "estimate", est, false)
	if c.Margin > 0 {
		p.level("margin", "margin "+ratio(c.Margin), c.Margin)
	}
	e := r.newPlot(c.Name + ": evidence that the canary is worse")
	e.desc = "Odds against chance, on a logarithmic axis, and the odds needed for a rollback."
	e.low, e.high, e.log = 0.1, 3*max(most, needed), true
	e.format = func(v float64) string {
		if v < 1 {
			return short(v)
		}
		return "1:" + strconv.FormatFloat(v, 'f', 0, 64)
	}
	if v := 3 * max(most, needed); v >= 1e6 {
		e.format = func(v float64) string { return strconv.FormatFloat(v, 'e', 0, 64) }
	}
	e.line("estimate", "odds against chance", evidence, false)
	if needed > 0 {
		e.level("margin", "needed "+odds(needed), needed)
	}
	return []template.HTML{p.svg(), e.svg()}
}

// trafficCharts show both arms side by side.
func (r Report) trafficCharts() []template.HTML {
	bins := r.traffic.bins
	if len(bins) < 2 {
		return nil
	}
	type curve struct {
		class, text string
		of          func(armSum, time.Duration) float64
		canary      bool
	}
	draw := func(title, desc string, format func(float64) string, atLeast float64, curves []curve) template.HTML {
		p := r.newPlot(title)
		p.desc, p.format = desc, format
		lines := make([][]point, len(curves))
		most := 0.0
		for _, b := range bins {
			for i, c := range curves {
				arm := b.stable
				if c.canary {
					arm = b.canary
				}
				v := math.NaN()
				if arm.ticks > 0 {
					v = c.of(arm, b.to.Sub(b.from))
				}
				if !math.IsNaN(v) {
					most = max(most, v)
				}
				lines[i] = append(lines[i], point{b.to, v})
			}
		}
		p.low, p.high = 0, top(most, atLeast)
		for i, c := range curves {
			p.line(c.class, c.text, lines[i], false)
		}
		return p.svg()
	}
	rate := func(a armSum, _ time.Duration) float64 {
		if a.requests <= 0 {
			return math.NaN()
		}
		return a.errors / a.requests
	}
	quantile := func(i int) func(armSum, time.Duration) float64 {
		return func(a armSum, _ time.Duration) float64 {
			q := a.latency.quantiles(0.50, 0.95, 0.99)
			if q == nil {
				return math.NaN()
			}
			return q[i]
		}
	}
	perSecond := func(a armSum, d time.Duration) float64 {
		if d <= 0 {
			return math.NaN()
		}
		return a.requests / d.Seconds()
	}
	charts := []template.HTML{draw("Error rate", "Failed requests of each version, in percent.", share, 0.001, []curve{
		{"stable", "stable", rate, false}, {"canary", "canary", rate, true},
	})}
	measured := false
	for _, b := range bins {
		measured = measured || len(b.stable.latency) > 0 || len(b.canary.latency) > 0
	}
	if measured {
		charts = append(charts, draw("Response time", "50th, 95th and 99th percentile of each version's response times.", seconds, 0, []curve{
			{"stable", "stable p50", quantile(0), false}, {"stable p95", "stable p95", quantile(1), false}, {"stable p99", "stable p99", quantile(2), false},
			{"canary", "canary p50", quantile(0), true}, {"canary p95", "canary p95", quantile(1), true}, {"canary p99", "canary p99", quantile(2), true},
		}))
	}
	return append(charts, draw("Requests a second", "Requests a second of each version.", short, 1, []curve{
		{"stable", "stable", perSecond, false}, {"canary", "canary", perSecond, true},
	}))
}

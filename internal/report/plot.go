package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// plot draws one chart as SVG: a time axis, one value axis, bands behind,
// lines in front. All of its text is escaped here.
type plot struct {
	title, desc string
	from, to    time.Time
	low, high   float64 // of the value axis
	log         bool
	format      func(float64) string

	back, front strings.Builder
	legend      []legendEntry
	phases      []PhaseRow
	marks       []mark
}

type legendEntry struct{ class, text string }

// mark is an event: a vertical line with its number.
type mark struct {
	at    time.Time
	class string
	label string
}

const (
	plotWidth, plotHeight = 960.0, 230.0
	padLeft, padRight     = 64.0, 12.0
	padTop, padBottom     = 26.0, 26.0
)

func (p *plot) x(t time.Time) float64 {
	span := p.to.Sub(p.from).Seconds()
	if span <= 0 {
		return padLeft
	}
	f := min(1, max(0, t.Sub(p.from).Seconds()/span))
	return padLeft + f*(plotWidth-padLeft-padRight)
}

func (p *plot) y(v float64) float64 {
	v = min(p.high, max(p.low, v))
	f := 0.0
	switch {
	case p.high <= p.low:
	case p.log:
		f = math.Log(v/p.low) / math.Log(p.high/p.low)
	default:
		f = (v - p.low) / (p.high - p.low)
	}
	return plotHeight - padBottom - f*(plotHeight-padTop-padBottom)
}

// point is a value at a time; NaN breaks the line.
type point struct {
	at time.Time
	v  float64
}

// line draws connected points, or steps.
func (p *plot) line(class, text string, points []point, steps bool) {
	var d strings.Builder
	open := false
	var lastY float64
	for _, q := range points {
		if math.IsNaN(q.v) || math.IsInf(q.v, 0) {
			open = false
			continue
		}
		x, y := p.x(q.at), p.y(q.v)
		switch {
		case !open:
			fmt.Fprintf(&d, "M%.1f %.1f", x, y)
		case steps:
			fmt.Fprintf(&d, "L%.1f %.1fL%.1f %.1f", x, lastY, x, y)
		default:
			fmt.Fprintf(&d, "L%.1f %.1f", x, y)
		}
		open, lastY = true, y
	}
	if d.Len() > 0 {
		fmt.Fprintf(&p.front, `<path class="line %s" d="%s"/>`, class, d.String())
	}
	if text != "" {
		p.legend = append(p.legend, legendEntry{class, text})
	}
}

// area fills between two lines.
func (p *plot) area(class, text string, low, high []point) {
	var d strings.Builder
	var under []point
	flush := func() {
		for i := len(under) - 1; i >= 0; i-- {
			fmt.Fprintf(&d, "L%.1f %.1f", p.x(under[i].at), p.y(under[i].v))
		}
		if len(under) > 0 {
			d.WriteString("Z")
		}
		under = nil
	}
	for i, h := range high {
		if math.IsNaN(h.v) || math.IsNaN(low[i].v) {
			flush()
			continue
		}
		c := "L"
		if len(under) == 0 {
			c = "M"
		}
		fmt.Fprintf(&d, "%s%.1f %.1f", c, p.x(h.at), p.y(h.v))
		under = append(under, low[i])
	}
	flush()
	if d.Len() > 0 {
		fmt.Fprintf(&p.back, `<path class="area %s" d="%s"/>`, class, d.String())
	}
	if text != "" {
		p.legend = append(p.legend, legendEntry{class + " block", text})
	}
}

// level draws a horizontal line with its name.
func (p *plot) level(class, text string, v float64) {
	if v < p.low || v > p.high {
		return
	}
	y := p.y(v)
	fmt.Fprintf(&p.front, `<path class="line level %s" d="M%.1f %.1fH%.1f"/><text class="leveltext" x="%.1f" y="%.1f">%s</text>`,
		class, padLeft, y, plotWidth-padRight, padLeft+5, y-4, html.EscapeString(text))
}

// svg puts the chart together.
func (p *plot) svg() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<figure><svg viewBox="0 0 %.0f %.0f" role="img"><title>%s</title><desc>%s</desc>`,
		plotWidth, plotHeight, html.EscapeString(p.title), html.EscapeString(p.desc))
	fmt.Fprintf(&b, `<text class="plottitle" x="%.1f" y="14">%s</text>`, padLeft, html.EscapeString(p.title))
	p.bands(&b)
	p.axes(&b)
	b.WriteString(p.back.String())
	b.WriteString(p.front.String())
	p.bandNames(&b)
	for _, m := range p.marks {
		x := p.x(m.at)
		fmt.Fprintf(&b, `<g class="mark %s"><path d="M%.1f %.1fV%.1f"/><text x="%.1f" y="%.1f" text-anchor="%s">%s</text></g>`,
			m.class, x, padTop, plotHeight-padBottom, x+anchorShift(x), padTop+10, anchor(x), html.EscapeString(m.label))
	}
	b.WriteString("</svg>")
	if len(p.legend) > 0 {
		b.WriteString(`<figcaption>`)
		for _, l := range p.legend {
			fmt.Fprintf(&b, `<span><i class="key %s"></i>%s</span>`, l.class, html.EscapeString(l.text))
		}
		b.WriteString(`</figcaption>`)
	}
	b.WriteString("</figure>")
	return template.HTML(b.String()) //nolint:gosec // every text in it was escaped above
}

// anchor keeps a mark's label inside the chart.
func anchor(x float64) string {
	if x > plotWidth*0.8 {
		return "end"
	}
	return "start"
}

func anchorShift(x float64) float64 {
	if x > plotWidth*0.8 {
		return -4
	}
	return 4
}

// bands shades every other phase.
func (p *plot) bands(b *strings.Builder) {
	for i, ph := range p.phases {
		if ph.From.IsZero() {
			continue
		}
		x0, x1 := p.x(ph.From), p.x(ph.To)
		fmt.Fprintf(b, `<rect class="band%d" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, i%2, x0, padTop, max(0, x1-x0), plotHeight-padTop-padBottom)
	}
}

// bandNames names the phases that are wide enough.
func (p *plot) bandNames(b *strings.Builder) {
	for _, ph := range p.phases {
		if ph.From.IsZero() {
			continue
		}
		if x0, x1 := p.x(ph.From), p.x(ph.To); x1-x0 > 40 {
			fmt.Fprintf(b, `<text class="bandtext" x="%.1f" y="%.1f" text-anchor="middle">%d %%</text>`, (x0+x1)/2, plotHeight-padBottom-6, ph.Weight)
		}
	}
}

func (p *plot) axes(b *strings.Builder) {
	for _, v := range p.ticks() {
		y := p.y(v)
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fH%.1f"/><text class="axis" x="%.1f" y="%.1f" text-anchor="end">%s</text>`,
			padLeft, y, plotWidth-padRight, padLeft-6, y+4, html.EscapeString(p.format(v)))
	}
	step := timeStep(p.to.Sub(p.from))
	layout := "15:04"
	if step < time.Minute {
		layout = "15:04:05"
	}
	if step >= 24*time.Hour {
		layout = "2 Jan"
	}
	for t := p.from.Truncate(step).Add(step); !t.After(p.to); t = t.Add(step) {
		x := p.x(t)
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fv4"/><text class="axis" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`,
			x, plotHeight-padBottom, x, plotHeight-padBottom+17, t.UTC().Format(layout))
	}
}

// timeStep gives at most nine marks.
func timeStep(span time.Duration) time.Duration {
	for _, s := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	} {
		if span/s < 9 {
			return s
		}
	}
	days := time.Duration(math.Ceil(span.Hours() / 24 / 9))
	return days * 24 * time.Hour
}

// ticks are round values on the value axis.
func (p *plot) ticks() []float64 {
	var out []float64
	if p.log {
		for _, v := range []float64{1, 2, 5} {
			for e := math.Floor(math.Log10(p.low)); e <= math.Ceil(math.Log10(p.high)); e++ {
				if w := v * math.Pow(10, e); w >= p.low*0.999 && w <= p.high*1.001 && (v == 1 || p.high/p.low < 300) {
					out = append(out, w)
				}
			}
		}
		for len(out) > 7 {
			half := out[:0]
			for i := 0; i < len(out); i += 2 {
				half = append(half, out[i])
			}
			out = half
		}
		return out
	}
	step := niceStep((p.high - p.low) / 4)
	for v := math.Ceil(p.low/step) * step; v <= p.high*1.0001 && len(out) < 20; v += step {
		out = append(out, v)
	}
	return out
}

func niceStep(raw float64) float64 {
	if raw <= 0 || math.IsInf(raw, 0) || math.IsNaN(raw) {
		return 1
	}
	e := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if m*e >= raw {
			return m * e
		}
	}
	return 10 * e
}

// top is a round value above v.
func top(v, atLeast float64) float64 {
	v = max(v*1.08, atLeast)
	step := niceStep(v / 4)
	return math.Ceil(v/step-1e-9) * step
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

package report

import (
	_ "embed" // the page and its style are part of the program
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"serin.dev/serin/internal/analysis"
)

//go:embed page.html
var pageText string

//go:embed style.css
var styleText string

// HTML writes the report as one page that needs nothing else: no script, no
// font, no other file. Everything in it that came from outside is escaped.
func HTML(w io.Writer, r Report) error {
	page, err := template.New("page").Funcs(template.FuncMap{
		"style":  func() template.CSS { return template.CSS(styleText) }, //nolint:gosec // our own file
		"clock":  clock,
		"moment": moment,
		"lasted": func(d time.Duration) string { return lasted(d) },
		"count":  count, "share": share, "seconds": seconds,
		"badge":  func(o Outcome) string { return strings.ReplaceAll(string(o), " ", "-") },
		"felt":   felt,
		"groups": groups,
		"checks": checkLines,
		"code":   func(s string) any { return code(s) },
		"passed": func(ok bool) string {
			if ok {
				return "pass"
			}
			return "fail"
		},
		"gatePoint":   gatePoint,
		"weightChart": Report.weightChart, "checkChart": Report.checkChart, "trafficCharts": Report.trafficCharts,
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("read the report's page: %w", err)
	}
	var text strings.Builder
	if err := page.Execute(&text, r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if _, err := io.WriteString(w, printable(text.String())); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func code(s string) any {
	if s == "" {
		return "–"
	}
	return template.HTML("<code>" + template.HTMLEscapeString(s) + "</code>") //nolint:gosec // escaped here
}

func gatePoint(g GateRow) string {
	if g.Point == "" {
		return "test, in every phase"
	}
	return "hook, " + spaced(g.Point)
}

// fact is one figure with its name.
type fact struct{ Name, Value, Note string }

// felt lists what users noticed.
func felt(r Report) []fact {
	f := r.Felt
	facts := []fact{
		{"Requests served by the canary", count(f.CanaryRequests), "of " + count(f.Requests) + " counted"},
		{"Of these failed", count(f.CanaryErrors), excess(f)},
	}
	if r.Outcome == RolledBack {
		if !f.FirstSign.IsZero() {
			facts = append(facts, fact{"First sign to decision", lasted(f.Decided.Sub(f.FirstSign)), "first sign at " + clock(f.FirstSign)})
		}
		if !f.AtZero.IsZero() {
			facts = append(facts, fact{"Decision to weight 0", atOnce(f.AtZero.Sub(f.Decided)), "at 0 % from " + clock(f.AtZero)})
		} else {
			facts = append(facts, fact{"Decision to weight 0", "not seen", "the record does not show the weight at 0"})
		}
	}
	return append(facts, fact{"The run lasted", lasted(r.EndedAt.Sub(r.Header.Run.StartedAt)), r.Header.Run.StableVersion + " → " + r.Header.Run.CanaryVersion})
}

// atOnce writes how long the traffic took: often it was moved before the
// decision was written down.
func atOnce(d time.Duration) string {
	if d < time.Millisecond {
		return "at once"
	}
	return lasted(d)
}

func excess(f Felt) string {
	switch {
	case f.CanaryRequests == 0:
		return "no request reached it"
	case f.Excess >= 0.5:
		return "about " + count(f.Excess) + " more than stable would have failed"
	}
	return "no more than stable would have failed"
}

// group is a part of the checklist.
type group struct {
	Name  string
	Steps []string
}

func groups(steps []Step) []group {
	var out []group
	for _, s := range steps {
		if n := len(out); n == 0 || out[n-1].Name != s.Group {
			out = append(out, group{Name: s.Group})
		}
		out[len(out)-1].Steps = append(out[len(out)-1].Steps, s.Text)
	}
	return out
}

// checkLine is a check in words.
type checkLine struct {
	Name, Verdict, Class, Ratio, Bounds, Margin, Evidence, Needed, Message string
}

func checkLines(r Report) []checkLine {
	var out []checkLine
	for _, c := range r.Checks {
		l := checkLine{Name: c.Name, Verdict: "no result", Class: "none", Ratio: "–", Bounds: "–", Margin: "–", Evidence: "–", Needed: "–"}
		if c.Margin > 0 {
			l.Margin = ratio(c.Margin)
		}
		if res := c.Result.Result; res != nil {
			l.Message = c.Result.Message
			if e := res.Explain(clock); e != "" {
				l.Message += "; " + e
			}
			l.Verdict, l.Class = "not judged", "none"
			if res.Judged {
				l.Verdict, l.Class = string(res.Verdict), string(res.Verdict)
				if res.Verdict != analysis.Fail && res.Verdict != analysis.Pass {
					l.Class = string(analysis.Inconclusive)
				}
				l.Ratio, l.Evidence, l.Needed = ratio(res.Ratio), odds(res.Evidence), odds(res.Needed)
				if res.Low > 0 || res.High > 0 {
					l.Bounds = ratio(res.Low) + " – " + ratio(res.High)
				}
			}
		}
		out = append(out, l)
	}
	return out
}

package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Markdown writes the report for terminals, tickets and code hosts.
func Markdown(w io.Writer, r Report) error {
	m := &markdown{w: bufio.NewWriter(w)}
	m.top(r)
	m.cause(r)
	m.users(r)
	m.checklist(r)
	m.phases(r)
	m.decisions(r)
	m.checks(r)
	m.evidence(r)
	m.gates(r)
	m.notices(r)
	m.section("What could not be seen")
	if len(r.Unseen) == 0 {
		m.line("Every check was judged, and no figures were missing.")
	}
	m.list(r.Unseen)
	m.timeline(r)
	m.section("Replay")
	m.printf("`serin replay record.jsonl` decides it again: %d decisions on %d lines. It exits 0 only when every decision comes out the same.\n", r.Decisions, r.Lines)
	if m.err == nil {
		m.err = m.w.Flush()
	}
	if m.err != nil {
		return fmt.Errorf("write the report: %w", m.err)
	}
	return nil
}

type markdown struct {
	w   *bufio.Writer
	err error
}

func (m *markdown) printf(format string, args ...any) {
	if m.err == nil {
		_, m.err = fmt.Fprintf(m.w, format, args...)
	}
}

func (m *markdown) line(s string)    { m.printf("%s\n", s) }
func (m *markdown) section(s string) { m.printf("\n## %s\n\n", s) }

func (m *markdown) list(items []string) {
	for _, i := range items {
		m.printf("- %s\n", plain(i))
	}
}

// row writes a table's row; cells are escaped.
func (m *markdown) row(cells ...string) {
	for _, c := range cells {
		m.printf("| %s ", plain(c))
	}
	m.line("|")
}

func (m *markdown) head(cells ...string) {
	m.row(cells...)
	m.line(strings.Repeat("| --- ", len(cells)) + "|")
}

// block quotes text that came from outside, with a fence that it cannot end.
func (m *markdown) block(text string) {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	text = strings.TrimRight(printable(text), "\n")
	m.printf("\n%s\n%s\n%s\n\n", fence, text, fence)
}

// plain makes text show as it is, in one line.
func plain(s string) string {
	return escapes.Replace(oneLine(s))
}

// escapes covers what could begin a table cell, a link, an image, emphasis,
// code or HTML.
var escapes = strings.NewReplacer(
	`\`, `\\`, "|", `\|`, "`", "\\`", "<", "&lt;", ">", "&gt;", "&", "&amp;", "[", `\[`, "]", `\]`, "*", `\*`, "_", `\_`, "#", `\#`, "~", `\~`, "@", "&#64;",
)

func (m *markdown) top(r Report) {
	run := r.Header.Run
	m.printf("# %s %s: %s\n\n%s\n\n", plain(r.Header.Rollout.Name), plain(run.CanaryVersion), r.Outcome, plain(r.Headline))
	by := ""
	if run.Actor != "" {
		by = " by " + plain(run.Actor)
	}
	m.printf("Run %s, started %s%s; %s → %s; %s, %s. Times are UTC.\n", plain(run.ID), moment(run.StartedAt), by,
		plain(run.StableVersion), plain(run.CanaryVersion), plain(r.Header.Rollout.Workload), plain(r.Header.Rollout.Traffic))
}

func (m *markdown) cause(r Report) {
	c := r.Cause
	if c == nil {
		return
	}
	m.section("Suspected cause")
	m.printf("**%s**\n", plain(c.Suspect))
	if len(c.Because) > 1 {
		m.line("\nThe other reasons on record:\n")
		m.list(c.Because[1:])
	}
	if len(c.Where) > 0 {
		m.line("\nWhere to look first:\n")
		m.list(c.Where)
	}
	if len(c.Samples) > 0 {
		m.line("\nThe failing check's ticks:\n")
		m.head("tick", "at", "weight", "version", "requests", "failed", "error rate", "p50", "p95", "p99")
		for _, s := range c.Samples {
			m.row(append([]string{s.Label, clock(s.At), fmt.Sprintf("%d %%", s.Weight), "stable"}, cells(s.Stable)...)...)
			m.row(append([]string{"", "", "", "canary"}, cells(s.Canary)...)...)
		}
	}
}

func cells(f Figures) []string {
	if !f.Known {
		return []string{"no figures", "", "", "", "", ""}
	}
	return []string{count(f.Requests), count(f.Errors), share(f.Rate()), seconds(f.P50), seconds(f.P95), seconds(f.P99)}
}

func (m *markdown) users(r Report) {
	m.section("What users felt")
	for _, f := range felt(r) {
		m.printf("- %s: **%s** (%s)\n", f.Name, plain(f.Value), plain(f.Note))
	}
}

func (m *markdown) checklist(r Report) {
	if len(r.Checklist) == 0 {
		return
	}
	m.section("Remediation checklist")
	for _, g := range groups(r.Checklist) {
		m.printf("%s\n\n", g.Name)
		for _, s := range g.Steps {
			m.printf("- [ ] %s\n", plain(s))
		}
		m.line("")
	}
}

func (m *markdown) phases(r Report) {
	m.section("Phases")
	m.head("phase", "weight", "from", "to", "ended", "version", "requests", "failed", "error rate", "p50", "p95", "p99")
	for _, p := range r.Phases {
		lead := []string{fmt.Sprint(p.Phase), fmt.Sprintf("%d %%", p.Weight), clock(p.From), clock(p.To), p.Ended}
		if p.From.IsZero() {
			m.row(append(lead, "", "", "", "", "", "", "")...)
			continue
		}
		m.row(append(append(lead, "stable"), cells(p.Stable)...)...)
		m.row(append([]string{"", "", "", "", "", "canary"}, cells(p.Canary)...)...)
	}
}

func (m *markdown) decisions(r Report) {
	m.section("Decisions")
	m.head("time", "from", "to", "weight", "why", "who")
	for _, d := range r.Moves {
		if d.Skipped > 0 {
			m.row("", fmt.Sprintf("%d left out", d.Skipped), "", "", "", "")
		}
		m.row(clock(d.At), d.From, d.To, fmt.Sprintf("%d %%", d.Weight), d.Why, d.Who)
	}
}

func (m *markdown) checks(r Report) {
	m.section("Checks")
	m.head("check", "last verdict", "canary ÷ stable", "bounds", "margin", "odds against chance", "needed", "in words")
	for _, c := range checkLines(r) {
		m.row(c.Name, c.Verdict, c.Ratio, c.Bounds, c.Margin, c.Evidence, c.Needed, c.Message)
	}
}

func (m *markdown) evidence(r Report) {
	ev := r.Evidence
	if len(ev.Changes) > 0 {
		m.section("What changed between the two versions")
		m.head("what", "stable", "canary")
		for _, c := range ev.Changes {
			m.row(c.What, c.Stable, c.Canary)
		}
	}
	if len(r.Exceptions) > 0 {
		m.section("Exceptions that stable does not have")
		for _, x := range r.Exceptions {
			critical := ""
			if x.Critical {
				critical = ", critical"
			}
			m.printf("- %s: %s times, first at %s%s\n", plain(x.Class), count(x.Count), clock(x.First), critical)
			if x.Stack != "" {
				m.block(x.Stack)
			}
		}
	}
	if len(r.Stacks) > 0 {
		m.section("Stacks in the canary's logs")
		for _, s := range r.Stacks {
			m.line(plain(s.Instance))
			m.block(s.Text)
		}
	}
	if len(ev.Events) > 0 {
		m.section("Process and pod events")
		m.list(ev.Events)
	}
	if len(ev.LogExcerpts) > 0 {
		m.section("The end of the logs")
		for _, e := range ev.LogExcerpts {
			m.printf("%s (%s)\n", plain(e.Instance), plain(e.Arm))
			m.block(e.Text)
		}
	}
}

func (m *markdown) gates(r Report) {
	if len(r.Gates) == 0 {
		return
	}
	m.section("Tests and hooks")
	m.head("name", "when", "answers", "failures", "latest answer", "first failure")
	for _, g := range r.Gates {
		latest, failure := "failed "+g.Last.Message, ""
		if g.Last.Passed {
			latest = "passed " + g.Last.Message
		}
		if g.FirstFailure != nil {
			failure = clock(g.FirstFailure.At) + " " + g.FirstFailure.Message
		}
		m.row(g.Name, gatePoint(g), fmt.Sprint(g.Runs), fmt.Sprint(g.Failures), latest, failure)
	}
}

func (m *markdown) notices(r Report) {
	if len(r.Notices) == 0 {
		return
	}
	m.section("Who was told")
	m.head("time", "to", "event", "text", "delivered")
	for _, n := range r.Notices {
		delivered := "yes"
		if !n.Delivered {
			delivered = "no: " + n.Error
		}
		m.row(clock(n.At), n.To, string(n.Notification), n.Text, delivered)
	}
}

func (m *markdown) timeline(r Report) {
	m.section("Timeline")
	m.head("time", "what", "", "who")
	for _, h := range r.Timeline {
		m.row(clock(h.At), h.Kind, h.Text, h.Actor)
	}
}

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

func intervalOf(p engine.Plan) time.Duration { return time.Duration(p.Analysis.Interval) }

// finish draws the conclusions.
func (b *builder) finish() Report {
	r := &b.r
	r.EndedAt = b.lastAt
	switch {
	case b.position == string(engine.Promoted):
		r.Outcome = Promoted
	case !b.decided.At.IsZero():
		r.Outcome = RolledBack
	default:
		r.Outcome = Unfinished
	}
	// What was done before a decision was written down comes after it in the
	// record.
	slices.SortStableFunc(r.weights, func(a, b weightPoint) int { return a.at.Compare(b.at) })
	if n := len(r.weights); n > 0 && r.EndedAt.After(r.weights[n-1].at) {
		last := r.weights[n-1]
		last.at = r.EndedAt
		r.weights = append(r.weights, last)
	}
	b.exceptional()
	r.Phases = b.phaseRows()
	r.Cause = b.causeOf()
	r.Headline = b.headline()
	r.Checklist = b.checklist()
	r.Unseen = b.unseen()
	slices.SortStableFunc(r.Timeline, func(a, b Happening) int { return a.At.Compare(b.At) })
	return *r
}

// exceptional keeps the classes that stable does not have, with their stacks.
func (b *builder) exceptional() {
	r := &b.r
	r.Stacks = stacks(r.Evidence.LogExcerpts)
	for class, row := range b.exceptions {
		if b.inStable[class] {
			continue
		}
		name, _, _ := strings.Cut(class, "@")
		for _, s := range r.Stacks {
			if name != "" && row.Stack == "" && strings.Contains(s.Text, name) {
				row.Stack = s.Text
				break
			}
		}
		r.Exceptions = append(r.Exceptions, *row)
	}
	slices.SortFunc(r.Exceptions, func(a, b ExceptionRow) int {
		return cmp.Or(a.First.Compare(b.First), strings.Compare(a.Class, b.Class))
	})
}

func (b *builder) phaseRows() []PhaseRow {
	var rows []PhaseRow
	for i, p := range b.r.Header.Plan.Phases {
		row := PhaseRow{Phase: i + 1, Weight: p.Weight, Planned: time.Duration(p.Duration), Ended: "not reached"}
		if sum := b.phases[i+1]; sum != nil {
			row.From, row.To = sum.from, sum.to
			row.Stable, row.Canary = sum.stable.figures(), sum.canary.figures()
			row.Ended = "passed"
			switch last := b.lastDecision.Phase == i+1; {
			case sum.to.IsZero():
				row.To, row.Ended = b.r.EndedAt, "under way"
			case last && !b.decided.At.IsZero() && !sum.to.Before(b.decided.At):
				row.Ended = "rolled back"
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (b *builder) headline() string {
	r := &b.r
	run := r.Header.Run
	took := lasted(r.EndedAt.Sub(run.StartedAt))
	phases := plural(len(r.Header.Plan.Phases), "phase")
	switch r.Outcome {
	case Promoted:
		return fmt.Sprintf("%s %s was promoted after %s and %s: it serves all traffic instead of %s.", r.Header.Rollout.Name, run.CanaryVersion, took, phases, run.StableVersion)
	case RolledBack:
		where := "before it got traffic"
		if p := b.phases[b.decided.Phase]; p != nil {
			where = fmt.Sprintf("in phase %d at %d %%", b.decided.Phase, b.weightOf(b.decided.Phase))
		}
		return fmt.Sprintf("%s %s was rolled back %s, %s after its start: %s.", r.Header.Rollout.Name, run.CanaryVersion, where,
			lasted(b.decided.At.Sub(run.StartedAt)), strings.TrimSuffix(first(b.decided.Because), "."))
	}
	return fmt.Sprintf("%s %s is not over: %s after %s.", r.Header.Rollout.Name, run.CanaryVersion, b.place(b.position, b.lastDecision.Phase), took)
}

// Summary is the report in one line.
func Summary(r Report) string {
	text := oneLine(r.Headline)
	if r.Outcome == RolledBack {
		text += fmt.Sprintf(" The canary served %s requests, %s of them failed.", count(r.Felt.CanaryRequests), count(r.Felt.CanaryErrors))
	}
	return text
}

// oneLine takes out what would break a line or move a terminal's cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// stacks returns the parts of the canary's logs that look like a stack and do
// not begin as one of stable's does.
func stacks(excerpts []Excerpt) []Excerpt {
	const most, longest = 5, 25
	var out []Excerpt
	known := map[string]bool{}
	for _, e := range excerpts {
		if e.Arm != string(rollout.Canary) {
			for line := range strings.Lines(e.Text) {
				if startsStack(line) {
					known[strings.TrimSpace(line)] = true
				}
			}
		}
	}
	for _, e := range excerpts {
		if e.Arm != string(rollout.Canary) {
			continue
		}
		lines := strings.Split(e.Text, "\n")
		for i := 0; i < len(lines) && len(out) < most; i++ {
			head := strings.TrimSpace(lines[i])
			if !startsStack(lines[i]) || known[head] {
				continue
			}
			end := i + 1
			for end < len(lines) && end-i < longest && inStack(lines[end]) {
				end++
			}
			if end-i < 2 {
				continue
			}
			known[head] = true
			out = append(out, Excerpt{Instance: e.Instance, Arm: e.Arm, Text: strings.Join(lines[i:end], "\n")})
			i = end - 1
		}
	}
	return out
}

// startsStack recognises the first line of a stack in the usual languages.
func startsStack(line string) bool {
	line = strings.TrimSpace(line)
	for _, mark := range []string{"panic: ", "fatal error: ", "Traceback (most recent call last)", "Exception in thread", "Unhandled exception", "thread '"} {
		if strings.Contains(line, mark) {
			return true
		}
	}
	word, _, ok := strings.Cut(line, ":")
	return ok && !strings.ContainsAny(word, " \t=") && (strings.HasSuffix(word, "Error") || strings.HasSuffix(word, "Exception"))
}

// inStack recognises the lines that follow.
func inStack(line string) bool {
	t := strings.TrimSpace(line)
	return strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") || t == "" ||
		strings.HasPrefix(t, "goroutine ") || strings.HasPrefix(t, "at ") || strings.HasPrefix(t, "Caused by") ||
		strings.HasPrefix(t, "File ") || strings.HasSuffix(t, ")") || strings.Contains(t, "Error: ")
}

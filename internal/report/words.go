package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"serin.dev/serin/internal/engine"
)

// The words and numbers that both forms of the report share.

// clock writes a moment within a run; day is written once, at the top.
func clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("15:04:05")
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// lasted writes a duration as people say it: 2 h 31 min, 4 min 20 s, 3.5 s.
func lasted(d time.Duration) string {
	switch {
	case d < 0:
		return "–"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	case d < time.Hour:
		d = d.Round(time.Second)
		return strings.TrimSuffix(fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60), " 0 s")
	}
	d = d.Round(time.Minute)
	return strings.TrimSuffix(fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60), " 0 min")
}

// count writes a number of requests with its thousands apart.
func count(v float64) string {
	s := strconv.FormatFloat(math.Round(math.Abs(v)), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if math.Round(v) < 0 {
		return "-" + s
	}
	return s
}

// share writes a fraction in percent.
func share(f float64) string {
	p := 100 * f
	switch {
	case p == 0:
		return "0 %"
	case p < 0.1:
		return strconv.FormatFloat(p, 'g', 1, 64) + " %"
	case p < 10:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(p, 'f', 0, 64) + " %"
}

// seconds writes a response time.
func seconds(v float64) string {
	switch {
	case v <= 0:
		return "–"
	case v < 0.010:
		return strconv.FormatFloat(1000*v, 'f', 1, 64) + " ms"
	case v < 1:
		return strconv.FormatFloat(1000*v, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(v, 'f', 2, 64) + " s"
}

// ratio writes an estimate canary : stable.
func ratio(v float64) string {
	switch {
	case v <= 0:
		return "–"
	case v >= 1000:
		return ">1000×"
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 0, 64) + "×"
	}
	return strconv.FormatFloat(v, 'f', 2, 64) + "×"
}

// odds writes an e-value.
func odds(v float64) string {
	switch {
	case v < 1:
		return "none"
	case v >= 1e6:
		return "1 : " + strconv.FormatFloat(v, 'e', 0, 64)
	}
	return "1 : " + count(v)
}

// shortened cuts text that has only so much room.
func shortened(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// printable takes out control characters, which HTML does not allow and which
// move the cursor of a terminal; line ends and tabs stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, s)
}

// plural writes a number with its noun.
func plural(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "s"):
		return fmt.Sprintf("%d %ses", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// place names a position for people.
func (b *builder) place(position string, phase int) string {
	position, rule, held := strings.Cut(position, " held:")
	words := strings.Fields(position)
	if len(words) == 0 {
		return "start"
	}
	text := words[0]
	switch engine.Status(words[0]) {
	case engine.Preparing:
		text = "preparing"
	case engine.Progressing:
		text = fmt.Sprintf("phase %d (%d %%)", phase, b.weightOf(phase))
	case engine.Promoting:
		text = "promoting"
	case engine.RollingBack:
		text = "rolling back"
	case engine.RolledBack:
		text = "rolled back"
	}
	if stage := stages[engine.Stage(words[len(words)-1])]; stage != "" {
		text += ", " + stage
	}
	if held {
		text += ", held: " + spaced(rule)
	}
	return text
}

func (b *builder) weightOf(phase int) int {
	if p := b.r.Header.Plan.Phases; phase >= 1 && phase <= len(p) {
		return p[phase-1].Weight
	}
	return 0
}

var stages = map[engine.Stage]string{
	engine.Creating: "starting the canary", engine.Admitting: "admitting the next weight", engine.Switching: "switching",
	engine.Returning: "traffic to stable", engine.Draining: "draining", engine.Gathering: "gathering evidence",
	engine.Removing: "removing instances", engine.Finishing: "last hooks",
}

// spaced writes a rule's name as words: noData → no data.
func spaced(name string) string {
	var out strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			out.WriteByte(' ')
		}
		out.WriteString(strings.ToLower(string(r)))
	}
	return out.String()
}

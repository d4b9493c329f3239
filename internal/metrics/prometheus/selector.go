package prometheus

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// selector is a parsed series selector. It is rendered from its parts, so a
// variable can never become anything but the text of one matcher.
type selector struct {
	name     string
	matchers []matcher
}

type matcher struct {
	label, op string
	value     []piece
}

// piece is text as it stands, or a variable.
type piece struct{ text, variable string }

// pods is the variable that is a pattern itself; all others are plain text.
const pods = "pods"

// variables are what a selector may speak of.
var variables = []string{"arm", "version", "rollout", "namespace", "workload", "service", pods}

var (
	metricName   = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	labelName    = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*`)
	matchOp      = regexp.MustCompile(`^(=~|!~|!=|=)`)
	variableName = regexp.MustCompile(`^\$\(([A-Za-z]*)\)`)
)

// parseSelector reads a metric's name and its matchers.
func parseSelector(text string) (selector, error) {
	rest := strings.TrimSpace(text)
	s := selector{name: metricName.FindString(rest)}
	if s.name == "" {
		return s, fmt.Errorf("does not begin with the name of a metric")
	}
	rest = strings.TrimSpace(rest[len(s.name):])
	if rest == "" {
		return s, nil
	}
	if rest[0] != '{' {
		return s, fmt.Errorf("is not a series selector at %q: Serin computes increments itself, so write the counter's name and its labels, without functions, operators or [ranges]", clip(rest))
	}
	rest = strings.TrimSpace(rest[1:])
	for !strings.HasPrefix(rest, "}") {
		m, after, err := parseMatcher(rest)
		if err != nil {
			return s, err
		}
		s.matchers = append(s.matchers, m)
		rest = strings.TrimSpace(after)
		if strings.HasPrefix(rest, ",") {
			rest = strings.TrimSpace(rest[1:])
		} else if !strings.HasPrefix(rest, "}") {
			return s, fmt.Errorf("has %q where a comma or } belongs", clip(rest))
		}
	}
	if rest = strings.TrimSpace(rest[1:]); rest != "" {
		return s, fmt.Errorf("goes on after }: %q; write the selector alone, Serin computes increments itself", clip(rest))
	}
	return s, nil
}

func parseMatcher(text string) (matcher, string, error) {
	m := matcher{label: labelName.FindString(text)}
	if m.label == "" {
		return m, "", fmt.Errorf("has %q where a label belongs", clip(text))
	}
	if m.label == "__name__" {
		return m, "", fmt.Errorf("matches __name__; write the metric's name in front of {")
	}
	rest := strings.TrimSpace(text[len(m.label):])
	m.op = matchOp.FindString(rest)
	if m.op == "" {
		return m, "", fmt.Errorf("has no =, !=, =~ or !~ after the label %s", m.label)
	}
	value, rest, err := unquote(strings.TrimSpace(rest[len(m.op):]))
	if err != nil {
		return m, "", fmt.Errorf("has no text in quotes after %s%s", m.label, m.op)
	}
	if m.value, err = parseValue(value); err != nil {
		return m, "", fmt.Errorf("label %s: %w", m.label, err)
	}
	isPattern := m.op == "=~" || m.op == "!~"
	for _, p := range m.value {
		if p.variable == pods && !isPattern {
			return m, "", fmt.Errorf("label %s: $(pods) is a pattern; write %s=~ or %s!~", m.label, m.label, m.label)
		}
	}
	if isPattern {
		if _, err := regexp.Compile(m.text(map[string]string{}, true)); err != nil {
			return m, "", fmt.Errorf("label %s: %q is not a regular expression", m.label, value)
		}
	}
	return m, rest, nil
}

// parseValue finds the variables in the text of a matcher.
func parseValue(text string) ([]piece, error) {
	var pieces []piece
	for {
		before, _, found := strings.Cut(text, "$(")
		if before != "" {
			pieces = append(pieces, piece{text: before})
		}
		if !found {
			return pieces, nil
		}
		text = text[len(before):]
		name := variableName.FindStringSubmatch(text)
		if name == nil {
			return nil, fmt.Errorf("$( begins no variable at %q", clip(text))
		}
		if !slices.Contains(variables, name[1]) {
			return nil, fmt.Errorf("$(%s) is not known; there are $(%s)", name[1], strings.Join(variables, "), $("))
		}
		pieces = append(pieces, piece{variable: name[1]})
		text = text[len(name[0]):]
	}
}

// unquote reads a text in double, single or back quotes and returns the rest.
func unquote(text string) (value, rest string, err error) {
	if text == "" || !strings.ContainsRune("\"'`", rune(text[0])) {
		return "", "", strconv.ErrSyntax
	}
	quote, tail := text[0], text[1:]
	if quote == '`' {
		value, rest, ok := strings.Cut(tail, "`")
		if !ok {
			return "", "", strconv.ErrSyntax
		}
		return value, rest, nil
	}
	var b strings.Builder
	for tail != "" && tail[0] != quote {
		r, multibyte, after, err := strconv.UnquoteChar(tail, quote)
		if err != nil {
			return "", "", err
		}
		if r < 0x80 || multibyte {
			b.WriteRune(r)
		} else {
			b.WriteByte(byte(r))
		}
		tail = after
	}
	if tail == "" {
		return "", "", strconv.ErrSyntax
	}
	return b.String(), tail[1:], nil
}

// needs lists the variables that stand in the selector.
func (s selector) needs() []string {
	found := map[string]bool{}
	for _, m := range s.matchers {
		for _, p := range m.value {
			if p.variable != "" {
				found[p.variable] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// render writes the selector for one arm. All that it needs is in values.
func (s selector) render(values map[string]string) string {
	return s.name + braces(s.matchers, values)
}

// renderNames writes it for several metrics that share a name's beginning.
func (s selector) renderNames(values map[string]string, suffixes ...string) string {
	names := make([]string, len(suffixes))
	for i, suffix := range suffixes {
		names[i] = s.name + suffix
	}
	name := matcher{label: "__name__", op: "=~", value: []piece{{text: strings.Join(names, "|")}}}
	return braces(append([]matcher{name}, s.matchers...), values)
}

// named is the same selector of another metric.
func (s selector) named(name string) selector { return selector{name: name, matchers: s.matchers} }

func braces(matchers []matcher, values map[string]string) string {
	parts := make([]string, len(matchers))
	for i, m := range matchers {
		parts[i] = m.render(values)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (m matcher) render(values map[string]string) string {
	return m.label + m.op + strconv.Quote(m.text(values, m.op == "=~" || m.op == "!~"))
}

func (m matcher) text(values map[string]string, isPattern bool) string {
	var b strings.Builder
	for _, p := range m.value {
		switch {
		case p.variable == "":
			b.WriteString(p.text)
		case isPattern && p.variable != pods:
			b.WriteString(regexp.QuoteMeta(values[p.variable]))
		default:
			b.WriteString(values[p.variable])
		}
	}
	return b.String()
}

func clip(text string) string {
	if len(text) > 30 {
		return strings.ToValidUTF8(text[:30], "") + "…"
	}
	return text
}

package dialogue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// form is one way to write a line: its words, and in angle brackets what is to
// be filled in. A last <...> takes any number of words.
type form[A any] struct {
	words string
	read  func(fields) (A, error)
}

// word is one word of a line.
type word struct {
	text   string
	quoted bool
}

// split cuts a line into words. Text in double quotes is one word, "5 %" and
// "5%" are the same word, and a comma or semicolon is a word of its own.
func split(text string) ([]word, error) {
	var words []word
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimLeftFunc(rest, unicode.IsSpace) {
		var w word
		switch rest[0] {
		case '"':
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("%s: the quotation is not closed", rest)
			}
			if w.text, err = strconv.Unquote(quoted); err != nil {
				return nil, fmt.Errorf("%s: %w", quoted, err)
			}
			w.quoted, rest = true, rest[len(quoted):]
		case ',', ';':
			w.text, rest = rest[:1], rest[1:]
		default:
			end := strings.IndexFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == ';' || r == '"' })
			if end < 0 {
				end = len(rest)
			}
			w.text, rest = rest[:end], rest[end:]
		}
		if last := len(words) - 1; w.text == "%" && last >= 0 {
			words[last].text += "%"
			continue
		}
		words = append(words, w)
	}
	return words, nil
}

// clausesOf cuts a line at its semicolons.
func clausesOf(words []word) [][]word {
	clauses := [][]word{nil}
	for _, w := range words {
		if w.text == ";" && !w.quoted {
			clauses = append(clauses, nil)
			continue
		}
		last := len(clauses) - 1
		clauses[last] = append(clauses[last], w)
	}
	return clauses
}

// match is a form and what was filled in.
type match[A any] struct {
	form   form[A]
	fields fields
}

func (m match[A]) read() (A, error) {
	act, err := m.form.read(m.fields)
	if err != nil {
		return act, fmt.Errorf("%w; the line is written: %s", err, m.form.words)
	}
	return act, nil
}

// find returns the form that the words have.
func find[A any](forms []form[A], words []word) (match[A], bool) {
	for _, f := range forms {
		if filled, ok := f.fill(words); ok {
			return match[A]{form: f, fields: filled}, true
		}
	}
	return match[A]{}, false
}

func (f form[A]) fill(words []word) (fields, bool) {
	var filled fields
	pattern := strings.Fields(f.words)
	for i, want := range pattern {
		if want == "<...>" {
			filled.rest = words[min(i, len(words)):]
			return filled, len(words) > i
		}
		if i >= len(words) {
			return filled, false
		}
		switch {
		case strings.HasPrefix(want, "<"):
			if words[i].quoted != (want == "<text>") {
				return filled, false
			}
			filled.values = append(filled.values, words[i].text)
		case words[i].quoted || words[i].text != want:
			return filled, false
		}
	}
	return filled, len(words) == len(pattern)
}

// unknown says what could stand where the words do.
func unknown[A any](words []word, forms []form[A]) error {
	line := make([]string, len(words))
	for i, w := range words {
		line[i] = w.text
		if w.quoted {
			line[i] = strconv.Quote(w.text)
		}
	}
	var near, first []string
	for _, f := range forms {
		begins, _, _ := strings.Cut(f.words, " ")
		if len(words) > 0 && begins == words[0].text {
			near = append(near, "\n\t"+f.words)
		}
		if len(first) == 0 || first[len(first)-1] != begins {
			first = append(first, begins)
		}
	}
	if len(near) > 0 {
		return fmt.Errorf("%q is not understood; it could be:%s", strings.Join(line, " "), strings.Join(near, ""))
	}
	return fmt.Errorf("%q is not understood; a line here begins with one of: %s", strings.Join(line, " "), strings.Join(first, ", "))
}

// fields is what was filled in, in order.
type fields struct {
	values []string
	rest   []word
}

func (f fields) text(i int) string { return f.values[i] }

func (f fields) whole(i int) (int, error) { return wholeOf(f.values[i]) }

func wholeOf(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

// duration is the duration that the form begins with.
func (f fields) duration() (time.Duration, error) { return durationOf(f.values[0]) }

func durationOf(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a duration such as 30m or 90s", s)
	}
	return d, nil
}

// percent reads "3%" as 0.03.
func (f fields) percent(i int) (float64, error) {
	digits, ok := strings.CutSuffix(f.values[i], "%")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(v >= 0 && v <= 1000) {
		return 0, fmt.Errorf("%q is not a percentage such as 3 %%", f.values[i])
	}
	return v / 100, nil
}

// weight reads "5%" as 5.
func (f fields) weight(i int) (int, error) { return weightOf(f.values[i]) }

func weightOf(s string) (int, error) {
	digits, ok := strings.CutSuffix(s, "%")
	v, err := strconv.Atoi(digits)
	if !ok || err != nil || v < 0 || v > 100 {
		return 0, fmt.Errorf("%q is not a weight from 0 %% to 100 %%", s)
	}
	return v, nil
}

// ratio reads "3/4" as 3 and 4.
func (f fields) ratio(i int) (part, whole int, err error) {
	a, b, ok := strings.Cut(f.values[i], "/")
	if part, err = wholeOf(a); err == nil {
		whole, err = wholeOf(b)
	}
	if !ok || err != nil {
		return 0, 0, fmt.Errorf("%q is not two numbers such as 1/2", f.values[i])
	}
	return part, whole, nil
}

package view

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// style is how a piece of text looks where color is allowed.
type style string

// The sixteen colors of the terminal's own palette, so that the user's theme
// decides how they look.
const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"

	boldRed    style = "1;31"
	boldGreen  style = "1;32"
	boldCyan   style = "1;36"
	alarm      style = "1;7;31"
	attention  style = "1;7;33"
	attainment style = "1;7;32"
)

// piece is a run of text in one style.
type piece struct {
	text  string
	style style
}

// row is one line of the view.
type row []piece

// add appends text, whatever it contains, as printable text on one line.
func (r row) add(s style, text string) row {
	return append(r, piece{text: printable(text), style: s})
}

// printable replaces what would move the cursor or change the terminal's state.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case !unicode.IsPrint(r) || unicode.In(r, unicode.Cf):
			return '�'
		}
		return r
	}, s)
}

// columns is the number of columns that text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func (r row) columns() int {
	n := 0
	for _, p := range r {
		n += columns(p.text)
	}
	return n
}

// at pads the row up to a column, at least by one space.
func (r row) at(column int) row {
	return append(r, piece{text: strings.Repeat(" ", max(column-r.columns(), min(1, len(r))))})
}

// rightBound appends text so that it ends before a column.
func (r row) rightBound(column int, s style, text string) row {
	return r.at(column-columns(printable(text))).add(s, text)
}

// fit cuts the row to a number of columns and marks the cut.
func (r row) fit(n int) row {
	if r.columns() <= n {
		return r
	}
	var out row
	room := n - 1
	for _, p := range r {
		cut := cutTo(p.text, room)
		out = append(out, piece{text: cut, style: p.style})
		room -= columns(cut)
		if len(cut) < len(p.text) {
			return append(out, piece{text: "…", style: p.style})
		}
	}
	return out
}

// cutTo returns the longest beginning of s that takes at most n columns.
func cutTo(s string, n int) string {
	for i, r := range s {
		n -= runeColumns(r)
		if n < 0 {
			return s[:i]
		}
	}
	return s
}

// render writes the row, without trailing blanks.
func (r row) render(color bool) string {
	var b strings.Builder
	for _, p := range r {
		if color && p.style != plain && strings.TrimSpace(p.text) != "" {
			b.WriteString("\x1b[" + string(p.style) + "m" + p.text + "\x1b[0m")
		} else {
			b.WriteString(p.text)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// wordsOf splits text at blanks, but not between a number and its percent sign.
func wordsOf(text string) []string {
	var words []string
	for _, word := range strings.Fields(text) {
		if n := len(words); n > 0 && strings.HasPrefix(word, "%") {
			words[n-1] += " " + word
		} else {
			words = append(words, word)
		}
	}
	return words
}

// Wrap breaks text into lines of at most n columns, at blanks where it can.
func Wrap(text string, n int) []string {
	var lines []string
	line := ""
	for _, word := range wordsOf(printable(text)) {
		for columns(word) > n {
			head := cutTo(word, n)
			if head == "" {
				break
			}
			if line != "" {
				lines = append(lines, line)
				line = ""
			}
			lines, word = append(lines, head), word[len(head):]
		}
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) <= n:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

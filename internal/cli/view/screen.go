package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Screen keeps one view in one place of a terminal. It is used from one
// goroutine. Close must be called before anything else is printed.
type Screen struct {
	w     io.Writer
	size  func() (width, height int)
	color bool
	// shown are the lines on the terminal, width the terminal's when they were
	// written.
	shown []string
	width int
}

// NewScreen returns a screen on a terminal. size is asked before each drawing.
func NewScreen(w io.Writer, size func() (width, height int), color bool) *Screen {
	return &Screen{w: w, size: size, color: color}
}

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	// A terminal that knows synchronized output shows the drawing at once; one
	// that does not ignores these.
	beginSync  = "\x1b[?2026h"
	endSync    = "\x1b[?2026l"
	eraseRight = "\x1b[K"
	eraseBelow = "\x1b[J"
)

// Show draws a view in place of the one before.
func (s *Screen) Show(m Model) error {
	width, height := s.size()
	// The last line stays free: writing it would scroll the terminal.
	lines := Render(m, width, height-1, s.color)
	for m.Ended() && len(lines) > 0 && lines[len(lines)-1] == "" {
		// Nothing comes any more that room would have to be kept for.
		lines = lines[:len(lines)-1]
	}
	return s.draw(nil, lines, width)
}

// Say prints a line above the view, where it stays.
func (s *Screen) Say(line string) error {
	width, _ := s.size()
	return s.draw([]string{line}, s.shown, width)
}

// draw writes what stays above the view, and the view, in place of the view
// before. Every line erases what is right of it and the last what is below: a
// terminal that is told to erase the whole screen may keep a copy of it.
func (s *Screen) draw(above, lines []string, width int) error {
	var b strings.Builder
	b.WriteString(beginSync + hideCursor + s.home(width))
	for _, line := range slices.Concat(above, lines) {
		b.WriteString(line)
		if columns(withoutStyle(line)) < width {
			b.WriteString(eraseRight) // after a full line it would erase the last character
		}
		b.WriteByte('\n')
	}
	b.WriteString(eraseBelow + endSync)
	s.shown, s.width = lines, width
	_, err := io.WriteString(s.w, b.String())
	return err
}

// home moves the cursor to the view's first line. A terminal that has become
// narrower has broken lines that were longer.
func (s *Screen) home(width int) string {
	rows := 0
	for _, line := range s.shown {
		rows++
		if n := columns(withoutStyle(line)); width < s.width && n > width {
			rows += (n - 1) / max(width, 1)
		}
	}
	if rows == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", rows)
}

// withoutStyle is a rendered line without its color.
func withoutStyle(line string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(line, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, line, _ = strings.Cut(after, "m")
	}
}

// Close leaves the last view where it is and gives the cursor back.
func (s *Screen) Close() error {
	s.shown = nil
	_, err := io.WriteString(s.w, showCursor)
	return err
}

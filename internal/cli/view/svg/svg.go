// Package svg draws what a terminal shows, for pages that have no terminal. It
// is handed finished lines with their color; it must not know what they mean.
package svg

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Frame is one picture of the terminal and how long it stays.
type Frame struct {
	Lines []string
	For   time.Duration
}

// The measures of a character cell, and of the window around them, in pixels.
const (
	cellWidth  = 8.4
	cellHeight = 19
	fontSize   = 14
	margin     = 16
	bar        = 30
)

// Write draws frames one after the other, over and over, in a window of so many
// columns. With one frame it is a still picture. A reader who asked for less
// motion sees the last one.
func Write(w io.Writer, title string, columns int, frames []Frame) error {
	rows := 0
	var whole time.Duration
	for _, f := range frames {
		rows = max(rows, len(f.Lines))
		whole += f.For
	}
	width, height := float64(columns)*cellWidth+2*margin, float64(rows)*cellHeight+bar+2*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">`+"\n",
		width, height, width, height, escape(title))
	fmt.Fprintf(&b, "<title>%s</title>\n<style>\n%s", escape(title), sheet)
	if len(frames) > 1 {
		animate(&b, frames, whole)
	}
	b.WriteString("</style>\n")
	fmt.Fprintf(&b, `<rect class="window" width="%.0f" height="%.0f" rx="10"/>`+"\n", width, height)
	for i, light := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="18" r="6" fill="%s"/>`, 20+20*i, light)
	}
	fmt.Fprintf(&b, "\n"+`<text class="title" x="%.0f" y="23">%s</text>`+"\n", width/2, escape(title))
	for i, f := range frames {
		fmt.Fprintf(&b, `<g class="frame f%d" transform="translate(%d %d)">`+"\n", i, margin, bar+margin)
		for n, line := range f.Lines {
			drawLine(&b, float64(n)*cellHeight, line)
		}
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// sheet is the look of the window and of the terminal's colors.
const sheet = `.window{fill:#0d1117}
.title{fill:#7d8590;font:12px ui-sans-serif,system-ui,sans-serif;text-anchor:middle}
.frame text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre;fill:#d6dde4}
.frame .b{font-weight:bold}
.d{fill:#7d8590}.r{fill:#ff7b72}.g{fill:#3fb950}.y{fill:#d29922}.c{fill:#39c5cf}.n{fill:#d6dde4}.k{fill:#0d1117}
.frame text.d{fill:#7d8590}.frame text.r{fill:#ff7b72}.frame text.g{fill:#3fb950}.frame text.y{fill:#d29922}.frame text.c{fill:#39c5cf}.frame text.k{fill:#0d1117}
`

// animate writes the times at which each frame is seen.
func animate(b *strings.Builder, frames []Frame, whole time.Duration) {
	percent := func(d time.Duration) float64 { return 100 * float64(d) / float64(whole) }
	b.WriteString(".frame{visibility:hidden}\n")
	var at time.Duration
	for i, f := range frames {
		from, to := percent(at), percent(at+f.For)
		fmt.Fprintf(b, "@keyframes f%d{0%%{visibility:hidden}", i)
		if from > 0 {
			fmt.Fprintf(b, "%.3f%%{visibility:hidden}", from-0.001)
		}
		fmt.Fprintf(b, "%.3f%%{visibility:visible}", from)
		if to < 100 {
			fmt.Fprintf(b, "%.3f%%{visibility:visible}%.3f%%{visibility:hidden}100%%{visibility:hidden}", to-0.001, to)
		} else {
			b.WriteString("100%{visibility:visible}")
		}
		fmt.Fprintf(b, "}\n.f%d{animation:f%d %.2fs step-end infinite}\n", i, i, whole.Seconds())
		at += f.For
	}
	fmt.Fprintf(b, "@media (prefers-reduced-motion:reduce){.frame{animation:none}.f%d{visibility:visible}}\n", len(frames)-1)
}

// drawLine draws a line's runs of text, each at its column, whatever the width
// of the reader's font.
func drawLine(b *strings.Builder, y float64, line string) {
	column := 0
	for _, r := range runs(line) {
		n := len([]rune(r.text))
		class := r.class()
		if r.reversed {
			fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="3"/>`,
				r.color(), float64(column)*cellWidth, y-1, float64(n)*cellWidth, cellHeight)
			class = "k b"
		}
		start, text := column, r.text
		for _, part := range parts(text) {
			k := len([]rune(part))
			if strings.TrimSpace(part) == "" {
				start += k
				continue
			}
			if !drawBlock(b, r, start, y, part) {
				lead := len([]rune(part)) - len([]rune(strings.TrimLeft(part, " ")))
				body := strings.TrimSpace(part)
				fmt.Fprintf(b, `<text%s x="%.1f" y="%.1f" textLength="%.1f">%s</text>`,
					attribute(class), float64(start+lead)*cellWidth, y+fontSize, float64(len([]rune(body)))*cellWidth, escape(body))
			}
			start += k
		}
		column += n
	}
	if column > 0 {
		b.WriteByte('\n')
	}
}

func attribute(class string) string {
	if class == "" {
		return ""
	}
	return ` class="` + class + `"`
}

// drawBlock draws a run of one drawing character as a shape; false for text.
func drawBlock(b *strings.Builder, r run, column int, y float64, part string) bool {
	first := []rune(part)[0]
	shape, ok := blocks[first]
	if !ok {
		return false
	}
	n := float64(len([]rune(part)))
	opacity := ""
	if shape.opacity > 0 {
		opacity = fmt.Sprintf(` opacity="%g"`, shape.opacity)
	}
	color := r.color()
	fmt.Fprintf(b, `<rect class="%s"%s x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`,
		color, opacity, float64(column)*cellWidth, y+shape.top, n*cellWidth*shape.width, shape.height)
	return true
}

type block struct{ top, height, width, opacity float64 }

// blocks are the characters that fonts draw with gaps.
var blocks = map[rune]block{
	'━': {8, 3, 1, 0}, '─': {9, 1, 1, 0},
	'█': {3, 13, 1, 0}, '░': {3, 13, 1, 0.35},
	'▉': {3, 13, 7. / 8, 0}, '▊': {3, 13, 6. / 8, 0}, '▋': {3, 13, 5. / 8, 0}, '▌': {3, 13, 4. / 8, 0},
	'▍': {3, 13, 3. / 8, 0}, '▎': {3, 13, 2. / 8, 0}, '▏': {3, 13, 1. / 8, 0},
}

// parts splits text into runs of one drawing character, and text between; text
// is split at wide gaps, so that columns stay where they are.
func parts(text string) []string {
	var out []string
	var current []rune
	flush := func() {
		if len(current) > 0 {
			out, current = append(out, string(current)), nil
		}
	}
	spaces := 0
	for _, r := range text {
		_, drawing := blocks[r]
		switch {
		case len(current) == 0:
		case drawing && current[0] != r, !drawing && blocks[current[0]] != (block{}):
			flush()
		case r != ' ' && spaces >= 2:
			flush()
		}
		if r == ' ' {
			spaces++
		} else {
			spaces = 0
		}
		current = append(current, r)
	}
	flush()
	return out
}

func escape(text string) string {
	var b strings.Builder
	// A strings.Builder does not fail.
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

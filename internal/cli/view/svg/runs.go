package svg

import "strings"

// run is text in one style.
type run struct {
	text                string
	bold, dim, reversed bool
	hue                 string
}

// color is the class of the run's color.
func (r run) color() string {
	switch {
	case r.hue != "":
		return r.hue
	case r.dim:
		return "d"
	}
	return "n"
}

// class is the class of the run's text.
func (r run) class() string {
	var classes []string
	if c := r.color(); c != "n" {
		classes = append(classes, c)
	}
	if r.bold {
		classes = append(classes, "b")
	}
	return strings.Join(classes, " ")
}

var hues = map[string]string{"31": "r", "32": "g", "33": "y", "36": "c"}

// runs splits a line at its escape sequences. Colors are all it knows of them.
func runs(line string) []run {
	var out []run
	var style run
	add := func(text string) {
		if text != "" {
			r := style
			r.text = text
			out = append(out, r)
		}
	}
	for {
		before, after, found := strings.Cut(line, "\x1b[")
		add(before)
		if !found {
			return out
		}
		codes, rest, _ := strings.Cut(after, "m")
		line = rest
		for code := range strings.SplitSeq(codes, ";") {
			switch code {
			case "0", "":
				style = run{}
			case "1":
				style.bold = true
			case "2":
				style.dim = true
			case "7":
				style.reversed = true
			default:
				style.hue = hues[code]
			}
		}
	}
}

package exceptions

import (
	"bytes"
	"strings"
)

// pythonState is where a Python trace is.
type pythonState struct {
	// typed says that the line with the type has come; cause and during what the
	// sentence between two chained traces says of the next.
	typed, cause, during bool
	// root says that the type and frame of what caused it are settled.
	root bool
}

const pythonHeader = "Traceback (most recent call last):"

func (r *Reader) beginPython(line string) *trace {
	at := strings.Index(line, pythonHeader)
	if at < 0 {
		return nil
	}
	prefix := line[:at]
	if strings.ContainsAny(prefix, "|+") {
		prefix = "" // of an exception group
	}
	t := r.newTrace(pythonTrace)
	t.prefix = prefix
	return t
}

var pythonFile = []byte(`File "`)

// takeIndented takes in a frame or a line of the program before the type has
// come, which most lines of a trace are.
func (t *trace) takeIndented(line []byte) bool {
	if t.python.typed || len(line) == 0 || line[0] != ' ' && line[0] != '\t' || bytes.IndexByte(line, '|') >= 0 {
		return false
	}
	if trimmed := bytes.TrimSpace(line); bytes.HasPrefix(trimmed, pythonFile) {
		f, ok := t.memo.python[string(trimmed)]
		if !ok {
			f = pythonFrame(string(trimmed)).ready()
			remember(t.memo.python, string(trimmed), len(trimmed), f)
		}
		t.addPython(f)
	}
	return true
}

func (t *trace) takePython(line string) bool {
	p := &t.python
	// An exception group draws a tree before its lines.
	tree := false
	if i := strings.LastIndexByte(line, '|'); i >= 0 && strings.Trim(line[:i], " |+-") == "" {
		line, tree = strings.TrimPrefix(line[i+1:], " "), true
	}
	trimmed := text(line)
	if strings.HasPrefix(trimmed, "+-") || tree && p.typed {
		return true // the members of the group
	}
	if p.typed {
		switch {
		case trimmed == "":
			return true
		case strings.Contains(trimmed, "was the direct cause of the following exception"):
			p.cause = true
			return true
		case strings.Contains(trimmed, "During handling of the above exception"):
			p.during = true
			return true
		case strings.HasSuffix(trimmed, pythonHeader) && (p.cause || p.during):
			if p.cause {
				p.root = true
			} else {
				t.own, t.any = "", ""
			}
			p.typed, p.cause, p.during = false, false, false
			return true
		}
		t.over = true
		return false
	}
	switch {
	case strings.HasPrefix(trimmed, `File "`):
		t.addPython(pythonFrame(trimmed))
		return true
	case trimmed == "", line[0] == ' ', line[0] == '\t':
		return true // the code
	}
	name, message, _ := strings.Cut(trimmed, ":")
	typ := typeName(name)
	if typ == "" || strings.ContainsAny(name, " /") {
		return false
	}
	p.typed = true
	if !p.root {
		t.typ = typ
		t.critical = t.memo.critical(typ) || criticalText(message)
		t.head(typ)
	}
	return true
}

// pythonFrame reads a frame.
func pythonFrame(line string) frame {
	file, rest, _ := strings.Cut(strings.TrimPrefix(line, `File "`), `"`)
	f := frame{name: stem(file)}
	number := ""
	if _, after, ok := strings.Cut(rest, "line "); ok {
		number, _, _ = strings.Cut(after, ",")
	}
	if _, fn, ok := strings.Cut(rest, ", in "); ok && !strings.HasPrefix(fn, "<") {
		f.name += "." + lastParts(strings.ReplaceAll(fn, "<locals>.", ""), 1)
	}
	f.own = !contains(file, "/site-packages/", "/dist-packages/", "/lib/python", "/lib64/python", "\\Lib\\") && !strings.HasPrefix(file, "<")
	f.place = shortPlace(file) + ":" + number
	return f
}

// addPython takes in a frame; Python tells the topmost last.
func (t *trace) addPython(f frame) {
	if t.roomy() {
		t.write(f.show())
	}
	if t.python.root && t.own != "" {
		return // what caused it has its own
	}
	if f.own {
		t.own = f.name
	}
	if !t.python.root {
		t.any = f.name
	}
}

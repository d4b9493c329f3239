package exceptions

import (
	"bytes"
	"strings"
)

// Bounds of a stack that is kept.
const (
	stackLines = 12
	stackBytes = 1500
)

// kind is the family of a trace.
type kind int

const (
	goTrace kind = iota
	pythonTrace
	atTrace // Java and its kin, Node.js, .NET: frames begin with "at"
	rubyTrace
	phpTrace
	single // a line that says all
)

// frame is a place in the code.
type frame struct {
	// name is where it is, as classes say it: cart.add.
	name string
	// place is the file and line, for people.
	place string
	// own says that it is the program's code, not a runtime's nor a library's.
	own bool
	// shown is how a stack shows it, where that was made beforehand.
	shown string
}

// show is how a stack shows it.
func (f frame) show() string {
	if f.shown != "" {
		return f.shown
	}
	return printable("  at " + f.name + place(f.place))
}

// ready is a frame that will be shown again and again.
func (f frame) ready() frame {
	f.shown = f.show()
	return f
}

// trace is an exception whose lines are coming.
type trace struct {
	kind     kind
	typ      string
	critical bool
	// own is the topmost frame of the program's code, any the topmost at all.
	own, any string
	stack    []byte
	shown    int
	lines    int
	// foreign counts lines in a row that do not belong to it; over says that it
	// has visibly ended.
	foreign int
	over    bool
	emitted bool
	// chained says that its text tells of causes.
	chained bool

	// prefix is what stood before the header in its line, such as a time or a
	// pod's name: the lines that follow have one like it.
	prefix string
	memo   *memo

	golang goState
	python pythonState
	at     atState
	php    phpState
}

// take shows the trace the next line and says whether it is part of it. The
// line is good only during the call.
func (t *trace) take(line []byte) bool {
	rest := unprefixed(line, t.prefix)
	if t.kind == atTrace {
		if f, ok := t.memo.at[string(rest)]; ok {
			mine := t.takeAtFrame(f, bytes.HasSuffix(rest, []byte("{")))
			return t.taken(mine)
		}
	}
	switch {
	case t.kind == goTrace:
		return t.taken(t.takeGo(rest))
	case t.kind == pythonTrace && t.takeIndented(rest):
		return t.taken(true)
	}
	text := string(rest)
	mine := false
	switch t.kind {
	case pythonTrace:
		mine = t.takePython(text)
	case atTrace:
		mine = t.takeAt(text)
	case rubyTrace:
		mine = t.takeRuby(text)
	case phpTrace:
		mine = t.takePHP(text)
	case single:
		t.over = true
	}
	return t.taken(mine)
}

// taken notes whether a line was the trace's.
func (t *trace) taken(mine bool) bool {
	if mine {
		t.foreign = 0
		return true
	}
	if t.foreign++; t.foreign > t.patience() {
		t.over = true
	}
	return false
}

// patience is how many lines of somebody else may come between two of a trace.
func (t *trace) patience() int {
	if t.kind == goTrace && !t.golang.dump {
		return 10 // the rest of a message
	}
	return 3
}

// believed says whether it is an exception after all.
func (t *trace) believed() bool {
	switch {
	case t.typ == "":
		return false
	case t.kind == goTrace:
		return t.golang.dump || t.golang.certain
	}
	return true
}

// add takes in a frame, topmost first.
func (t *trace) add(f frame) {
	if f.name == "" {
		return
	}
	if t.any == "" {
		t.any = f.name
	}
	if f.own && t.own == "" {
		t.own = f.name
	}
	if t.roomy() {
		t.write(f.show())
	}
}

// roomy says whether the stack that is kept may take a line more.
func (t *trace) roomy() bool { return t.shown < stackLines && len(t.stack) < stackBytes }

// settled says that further frames would change nothing.
func (t *trace) settled() bool { return t.own != "" && t.any != "" && !t.roomy() }

// head puts the type in front of the stack.
func (t *trace) head(typ string) {
	n := len(t.stack)
	t.stack = append(append(t.stack, typ...), '\n')
	copy(t.stack[len(typ)+1:], t.stack[:n])
	t.stack[copy(t.stack, typ)] = '\n'
}

func place(p string) string {
	if p == "" {
		return ""
	}
	return " (" + p + ")"
}

// restart forgets the frames so far: those of what caused it count.
func (t *trace) restart(typ string) {
	t.typ = typ
	t.any = ""
	// The topmost own frame of the outer exception stands in when the cause has
	// none of its own.
	t.at.outer, t.own = firstOf(t.own, t.at.outer), ""
	t.show("caused by " + typ)
}

// show adds a line to the stack that is kept.
func (t *trace) show(line string) {
	if !t.roomy() {
		return
	}
	t.write(printable(line))
}

// write is show for a line that is printable and known to have room.
func (t *trace) write(line string) {
	if len(t.stack)+len(line) > stackBytes {
		return
	}
	t.shown++
	t.stack = append(append(t.stack, line...), '\n')
}

// where is the topmost own frame, or the topmost at all.
func (t *trace) where() string { return firstOf(t.own, t.at.outer, t.any) }

func firstOf(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

// beginners know the traces of one runtime each by a line, which holds one of
// their texts.
var beginners = []struct {
	texts uint16
	begin func(*Reader, string) *trace
}{
	{beginsPanic | beginsFatal, (*Reader).beginGo},
	{beginsTraceback, (*Reader).beginPython},
	{beginsAt | beginsAtBlanks | beginsIndented, (*Reader).beginAt},
	{beginsUncaught | beginsStack | beginsObject, (*Reader).beginPHP},
	{beginsRuby, (*Reader).beginRuby},
	{beginsPanic | beginsMemory | beginsTerminate | beginsRejection | beginsJava, (*Reader).beginSingle},
}

// newTrace makes a trace, in the memory of one that has ended where there is one.
func (r *Reader) newTrace(k kind) *trace {
	if r.free == nil {
		r.free = &trace{}
	}
	t := r.free
	*t = trace{kind: k, stack: r.spare[:0], memo: r.memo, golang: goState{path: t.golang.path[:0]}}
	return t
}

// begin says what trace begins with a line that holds the found texts of
// beginnings; nil for none.
func (r *Reader) begin(line []byte, found uint16) *trace {
	text := string(line)
	for _, b := range beginners {
		if b.texts&found == 0 {
			continue
		}
		if t := b.begin(r, text); t != nil {
			r.free, r.spare = nil, nil
			if t.typ != "" {
				t.head(t.typ)
				t.shown++
			}
			return t
		}
	}
	return nil
}

// beginSingle knows lines that say all.
func (r *Reader) beginSingle(line string) *trace {
	switch {
	case strings.Contains(line, "JavaScript heap out of memory"),
		strings.Contains(line, "Allowed memory size of ") && strings.Contains(line, " exhausted"):
		return r.newSingle("OutOfMemory", true)
	case strings.HasPrefix(line, "[UnhandledPromiseRejection"):
		return r.newSingle("UnhandledPromiseRejection", false)
	}
	if _, rest, ok := strings.Cut(line, "terminate called after throwing an instance of '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		typ := typeName(name)
		return r.newSingle(typ, criticalType(typ))
	}
	if _, rest, ok := strings.Cut(line, "' panicked at "); ok && strings.Contains(line, "thread '") {
		t := r.newSingle("panic", true)
		t.own = rustPlace(rest)
		return t
	}
	// A lack of memory often leaves no stack.
	if !strings.HasPrefix(text(line), "java.lang.") {
		return nil
	}
	if typ, _ := typeToken(text(line)); criticalType(typ) {
		return r.newSingle(typ, true)
	}
	return nil
}

func (r *Reader) newSingle(typ string, critical bool) *trace {
	t := r.newTrace(single)
	t.typ, t.critical = typ, critical
	return t
}

// text is a line without leading and trailing blanks.
func text(line string) string { return strings.TrimSpace(line) }

// rustPlace is the file of "src/cart.rs:12:5:".
func rustPlace(s string) string {
	at := strings.LastIndex(s, ".rs:")
	if at < 0 {
		return ""
	}
	s = s[:at+3]
	if i := strings.LastIndexAny(s, " '\","); i >= 0 {
		s = s[i+1:]
	}
	return stem(s)
}

// unprefixed is a line without what stood before the header of its trace, when
// the line has something like it: as long, with digits where digits were.
func unprefixed(line []byte, prefix string) []byte {
	n := len(prefix)
	if n == 0 || len(line) < n {
		return line
	}
	for i := range n {
		a, b := line[i], prefix[i]
		if a == b || alphanumeric(a) && alphanumeric(b) {
			continue
		}
		return line
	}
	return line[n:]
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

package exceptions

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Bounds of what is remembered, whatever comes.
const (
	// longestLine is how much of a line is looked at, in bytes.
	longestLine = 64 << 10
	// longestTrace is how many lines one trace has at most.
	longestTrace = 5000
	// mostClasses is how many classes are told apart between two calls of Take,
	// mostStacks of how many a stack is ever given.
	mostClasses = 500
	mostStacks  = 200
	// lookBack is how many lines before the first frame may hold the type.
	lookBack = 6
	// longestHeader is how much of those lines is kept.
	longestHeader = 400
)

// Seen is one class of exceptions in what was written.
type Seen struct {
	Class string
	Count int
	// Critical says that it is a panic, a lack of memory or corrupt data.
	Critical bool
	// Stack is the frames of the first one, given once in a Reader's life: names
	// and places in the code, nothing of the message.
	Stack string
}

// Reader reads the log of one instance. The zero value is not usable; see
// NewReader. It may not be used by two goroutines at once.
type Reader struct {
	// part is the beginning of a line whose end has not come; skip says that the
	// rest of it is too long to be looked at.
	part []byte
	skip bool
	bare []byte // a line without its colours

	before [lookBack]header
	next   int // the place in before for the next line
	cur    *trace
	// spare is memory for the stack of the next trace, and free for itself. Those
	// inside structured lines, which are remembered, keep theirs.
	spare  []byte
	free   *trace
	inside bool

	seen   map[string]*Seen
	cut    int
	stacks map[string]bool

	memo *memo
	// inner reads the traces inside structured lines.
	inner *Reader
}

// header is a line that may turn out to be the header of a trace.
type header struct {
	text [longestHeader]byte
	n    int
}

// NewReader returns a reader that has seen nothing.
func NewReader() *Reader {
	return &Reader{seen: map[string]*Seen{}, stacks: map[string]bool{}, memo: newMemo()}
}

// Write takes in a piece of the log, which may begin and end anywhere in a line.
// It never fails.
func (r *Reader) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			r.keep(p)
			return n, nil
		}
		if len(r.part) == 0 && !r.skip {
			r.line(p[:min(end, longestLine)])
		} else {
			r.keep(p[:end])
			r.line(r.part)
			r.part, r.skip = r.part[:0], false
		}
		p = p[end+1:]
	}
	return n, nil
}

func (r *Reader) keep(p []byte) {
	room := longestLine - len(r.part)
	r.skip = r.skip || len(p) > room
	r.part = append(r.part, p[:min(len(p), room)]...)
}

// Skip forgets the line that is under way and the trace that is: what comes next
// does not follow what came before.
func (r *Reader) Skip() {
	r.end()
	r.part, r.skip = r.part[:0], false
	r.forget()
}

// forget forgets the lines before.
func (r *Reader) forget() {
	for i := range r.before {
		r.before[i].n = 0
	}
	r.next = 0
}

// Take returns what was seen since the last call, by class, and of how many
// exceptions the class was one too many to be told apart. A trace that has not
// visibly ended counts now; what follows of it is no other exception.
func (r *Reader) Take() (seen []Seen, cut int) {
	if r.cur != nil && len(r.part) == 0 {
		r.emit(r.cur)
	}
	for _, s := range r.seen {
		seen = append(seen, *s)
	}
	slices.SortFunc(seen, func(a, b Seen) int { return strings.Compare(a.Class, b.Class) })
	clear(r.seen)
	cut, r.cut = r.cut, 0
	return seen, cut
}

// line takes in a whole line.
func (r *Reader) line(line []byte) {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if bytes.IndexByte(line, 0x1b) >= 0 {
		line = r.colourless(line)
	}
	if at := jsonStart(line); at >= 0 {
		if jsonHint(line[at:]) {
			r.json(line[at:])
		}
		return
	}
	if r.cur != nil {
		if r.cur.take(line) {
			if r.cur.lines++; r.cur.lines > longestTrace {
				r.end()
			}
			return
		}
		if r.cur.over {
			r.end()
		}
	}
	found := beginnings.all(line)
	if indented(line) {
		found |= beginsIndented
	}
	if found != 0 {
		if t := r.begin(line, found); t != nil {
			r.end()
			r.cur = t
		}
	}
	h := &r.before[r.next]
	h.n = copy(h.text[:], line)
	r.next = (r.next + 1) % lookBack
}

// end ends the trace that is under way, if one is.
func (r *Reader) end() {
	if r.cur != nil {
		r.emit(r.cur)
		if !r.inside {
			r.spare, r.free = r.cur.stack[:0], r.cur
		}
		r.cur = nil
	}
}

// emit counts a trace, once.
func (r *Reader) emit(t *trace) {
	if t.emitted || !t.believed() {
		return
	}
	t.emitted = true
	r.count(r.memo.class(t.typ, t.where()).name, t.critical, t.stack)
}

func (r *Reader) count(class string, critical bool, stack []byte) {
	if class == "" {
		return
	}
	s := r.seen[class]
	if s == nil {
		if len(r.seen) >= mostClasses {
			r.cut++
			return
		}
		s = &Seen{Class: class}
		r.seen[class] = s
		if len(stack) > 0 && !r.stacks[class] && len(r.stacks) < mostStacks {
			r.stacks[class] = true
			s.Stack = string(stack)
		}
	}
	s.Count++
	s.Critical = s.Critical || critical
}

// lookedBack calls see with the latest lines, newest first, until it says true.
func (r *Reader) lookedBack(see func(line string) bool) {
	for i := 1; i <= lookBack; i++ {
		h := &r.before[(r.next-i+lookBack)%lookBack]
		if see(string(h.text[:h.n])) {
			return
		}
	}
}

// colourless returns a line without ANSI escape sequences; good until the next
// call.
func (r *Reader) colourless(line []byte) []byte {
	r.bare = r.bare[:0]
	for i := 0; i < len(line); i++ {
		if line[i] != 0x1b {
			r.bare = append(r.bare, line[i])
			continue
		}
		if i+1 < len(line) && line[i+1] == '[' {
			for i += 2; i < len(line) && (line[i] < 0x40 || line[i] > 0x7e); i++ {
			}
		}
	}
	return r.bare
}

// Merge adds up what several readers have seen, by class.
func Merge(lists ...[]Seen) []Seen {
	by := map[string]Seen{}
	for _, list := range lists {
		for _, s := range list {
			m := by[s.Class]
			by[s.Class] = Seen{Class: s.Class, Count: m.Count + s.Count, Critical: m.Critical || s.Critical, Stack: cmp.Or(m.Stack, s.Stack)}
		}
	}
	var out []Seen
	for _, s := range by {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Seen) int { return strings.Compare(a.Class, b.Class) })
	return out
}

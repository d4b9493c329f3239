package exceptions

import (
	"bytes"
	"slices"
	"strings"
)

// goState is where a Go trace is.
type goState struct {
	// dump says that a goroutine's trace has begun, done that the one that counts
	// has ended.
	dump, done bool
	// certain says that it is a panic even without a trace.
	certain bool
	// called says that a frame's function has come and its file is to; path is
	// the function, where it matters.
	called bool
	path   []byte
}

// goFaults are the runtime's own reasons, which become part of the type.
var goFaults = []struct{ text, name string }{
	{"nil pointer dereference", "nil pointer"},
	{"index out of range", "index out of range"},
	{"slice bounds out of range", "slice bounds"},
	{"integer divide by zero", "divide by zero"},
	{"assignment to entry in nil map", "nil map"},
	{"interface conversion", "interface conversion"},
	{"hash of unhashable type", "unhashable"},
	{"close of closed channel", "closed channel"},
	{"close of nil channel", "nil channel"},
	{"send on closed channel", "closed channel"},
	{"makeslice: len out of range", "makeslice"},
	{"makeslice: cap out of range", "makeslice"},
	{"concurrent map", "concurrent map"},
	{"all goroutines are asleep", "deadlock"},
	{"stack overflow", "stack overflow"},
	{"out of memory", "out of memory"},
	{"unexpected signal", "signal"},
	{"sync: unlock of unlocked mutex", "unlocked mutex"},
	{"sync: negative WaitGroup counter", "negative WaitGroup"},
}

func goType(typ, message string) (name string, known bool) {
	for _, f := range goFaults {
		if strings.Contains(message, f.text) {
			return typ + "[" + f.name + "]", true
		}
	}
	return typ, false
}

func (r *Reader) beginGo(line string) *trace {
	var prefix, rest string
	at := strings.Index(line, "panic: ")
	if i := strings.Index(line, "http: panic serving "); i >= 0 {
		_, message, _ := strings.Cut(line[i+len("http: panic serving "):], ": ")
		typ, _ := goType("panic", message)
		return r.newPanic(typ, "", true)
	}
	if i := strings.Index(line, "fatal error: "); i >= 0 && (at < 0 || i < at) {
		prefix, rest = line[:i], line[i+len("fatal error: "):]
		if !onlyPrefix(prefix) {
			return nil
		}
		typ, known := goType("fatal error", rest)
		return r.newPanic(typ, prefix, known && prefix == "")
	}
	if at < 0 {
		return nil
	}
	prefix, rest = line[:at], line[at+len("panic: "):]
	if !onlyPrefix(prefix) {
		return nil
	}
	typ, known := goType("panic", rest)
	return r.newPanic(typ, prefix, prefix == "" || known)
}

func (r *Reader) newPanic(typ, prefix string, certain bool) *trace {
	t := r.newTrace(goTrace)
	t.typ, t.critical, t.prefix = typ, true, prefix
	t.golang.certain = certain
	return t
}

// onlyPrefix says whether what stands before a header is no sentence: nothing,
// or a time, a level, a name in brackets, which have a digit, a bracket or a
// colon.
func onlyPrefix(s string) bool {
	const longest = 100
	s = strings.TrimRight(s, " \t")
	if s == "" {
		return true
	}
	return len(s) <= longest && (strings.ContainsAny(s, "0123456789") || strings.ContainsAny(s[len(s)-1:], ":]|>-"))
}

// notFrames are how lines of a Go trace begin that are no frames.
var notFrames = [][]byte{
	[]byte("[signal "), []byte("[recovered"), []byte("panic: "), []byte("runtime stack:"), []byte("exit status "), []byte("rax "), []byte("runtime.throw"),
}

var (
	goroutine   = []byte("goroutine ")
	panicHeader = []byte("panic: ")
	panicCall   = []byte("panic(")
	createdBy   = []byte("created by ")
	goFile      = []byte(".go:")
	elided      = []byte("frames elided")
)

func (t *trace) takeGo(line []byte) bool {
	g := &t.golang
	trimmed := bytes.TrimSpace(line)
	switch {
	case len(trimmed) == 0:
		if g.dump && t.own != "" {
			g.done = true // the goroutine that counts has ended
		}
		return true
	case bytes.HasPrefix(trimmed, goroutine) && bytes.IndexByte(trimmed, '[') >= 0:
		g.done = g.done || g.dump && t.any != ""
		g.dump = true
		return true
	case slices.ContainsFunc(notFrames, func(p []byte) bool { return bytes.HasPrefix(trimmed, p) }):
		return line[0] == '\t' || !g.dump || !bytes.HasPrefix(trimmed, panicHeader)
	case !g.dump:
		return false
	case bytes.HasPrefix(trimmed, createdBy):
		g.done, g.called = true, false
		return true
	case g.called && bytes.Contains(trimmed, goFile):
		if g.called = false; !g.done && !t.settled() {
			place, _, _ := bytes.Cut(trimmed, []byte(" "))
			t.add(t.memo.goFrame(g.path, place))
		}
		return true
	case trimmed[len(trimmed)-1] == ')' && trimmed[0] != '(' && bytes.IndexByte(trimmed, '(') >= 0:
		if bytes.HasPrefix(trimmed, panicCall) {
			// What is above was called to report it.
			t.own, t.any = "", ""
		}
		if g.called = true; !g.done && !t.settled() {
			g.path = append(g.path[:0], withoutArguments(trimmed)...)
		}
		return true
	case bytes.Contains(trimmed, goFile):
		return true
	case bytes.HasPrefix(trimmed, []byte("...")) && bytes.Contains(trimmed, elided):
		return true
	}
	return false
}

// goCall is a function of Go's, by how it is called.
type goCall struct {
	name string
	// own says that it is no function of the standard library.
	own bool
}

func (m *memo) goFrame(path, place []byte) frame {
	if f, ok := m.golang[goFrameKey{string(path), string(place)}]; ok {
		return f
	}
	key := goFrameKey{string(path), string(place)}
	c, ok := m.calls[key.path]
	if !ok {
		c = goCallOf(key.path)
		remember(m.calls, key.path, len(path), c)
	}
	f := frame{name: c.name, place: shortPlace(key.place), own: c.own && !contains(key.place, "/pkg/mod/", "/vendor/", "/usr/local/go/src/", "@v")}.ready()
	remember(m.golang, key, len(path)+len(place), f)
	return f
}

func goCallOf(path string) goCall {
	name := goName(path)
	pkg := path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dot := strings.IndexByte(path[i:], '.')
		if dot >= 0 {
			pkg = path[:i+dot]
		}
	} else if dot := strings.IndexByte(path, '.'); dot >= 0 {
		pkg = path[:dot]
	}
	first, _, _ := strings.Cut(pkg, "/")
	return goCall{name, name != "" && !goStandard[first] && path[0] != '(' && name != "panic"}
}

// goStandard are the first parts of the paths of the standard library.
var goStandard = map[string]bool{
	"archive": true, "bufio": true, "bytes": true, "cmp": true, "compress": true, "container": true, "context": true,
	"crypto": true, "database": true, "debug": true, "embed": true, "encoding": true, "errors": true, "expvar": true,
	"flag": true, "fmt": true, "go": true, "hash": true, "html": true, "image": true, "index": true, "internal": true,
	"io": true, "iter": true, "log": true, "maps": true, "math": true, "mime": true, "net": true, "os": true, "path": true,
	"plugin": true, "reflect": true, "regexp": true, "runtime": true, "slices": true, "sort": true, "strconv": true,
	"strings": true, "structs": true, "sync": true, "syscall": true, "testing": true, "text": true, "time": true,
	"unicode": true, "unique": true, "unsafe": true, "weak": true, "panic": true,
}

// withoutArguments is a call without its arguments, which are behind the last
// parenthesis that opens at the end.
func withoutArguments[T string | []byte](call T) T {
	depth := 0
	for i := len(call) - 1; i >= 0; i-- {
		switch call[i] {
		case ')':
			depth++
		case '(':
			if depth--; depth == 0 {
				return call[:i]
			}
		}
	}
	return call
}

// goMarks are what of a function's path is no part of its name.
var goMarks = strings.NewReplacer("(*", "", ")", "", "(", "", "-fm", "", "%2e", ".")

// goName is "cart.Cart.add" of "serin.dev/shop/cart.(*Cart).add.func1".
func goName(s string) string {
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		s = s[i+1:]
	}
	s = strings.ReplaceAll(s, "[...]", "")
	s = goMarks.Replace(s)
	parts := strings.Split(s, ".")
	kept := parts[:0]
	for i, p := range parts {
		if i > 0 && (p == "" || numbered(p, "func") || numbered(p, "gowrap") || numbered(p, "deferwrap") || numbered(p, "")) {
			continue
		}
		kept = append(kept, p)
	}
	return strings.Join(kept, ".")
}

// numbered says whether a name is a word with a number, or a bare number.
func numbered(s, word string) bool {
	rest, ok := strings.CutPrefix(s, word)
	if !ok || rest == "" {
		return false
	}
	for i := range len(rest) {
		if rest[i] < '0' || rest[i] > '9' {
			return false
		}
	}
	return true
}

// shortPlace is the last two parts of a path with its line.
func shortPlace(p string) string {
	p = strings.TrimSpace(strings.ReplaceAll(p, "\\", "/"))
	i := strings.LastIndexByte(p, '/')
	if i <= 0 {
		return p
	}
	if j := strings.LastIndexByte(p[:i], '/'); j >= 0 {
		return p[j+1:]
	}
	return p
}

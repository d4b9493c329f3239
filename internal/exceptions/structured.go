package exceptions

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonStart is where a JSON object begins in a line that is a structured log,
// perhaps behind a time or a name; -1 when it is none.
func jsonStart(line []byte) int {
	const longestPrefix = 120
	i := bytes.IndexByte(line[:min(len(line), longestPrefix)], '{')
	if i < 0 || i+1 >= len(line) || line[i+1] != '"' {
		return -1
	}
	if i > 0 && line[i-1] != ' ' && line[i-1] != '\t' || len(line) > 0 && i > 0 && (line[0] == ' ' || line[0] == '\t') {
		return -1
	}
	// A text with an object in it, as Monolog writes them, is a text.
	if i > 0 && (!onlyPrefix(string(line[:i])) || bytes.Contains(line, []byte("[object] ("))) {
		return -1
	}
	return i
}

// jsonHint says whether a structured line may tell of an exception.
func jsonHint(line []byte) bool { return tellings.in(line) }

// fields are what structured logs say of an exception, whatever the layout.
type fields struct {
	typ, level string
	// stack is a text as it is written in the line, between its quotes; lines is
	// one that was a list of texts.
	stack []byte
	lines string
	// function, caller and logger say where it was logged.
	function, caller, logger string
	// failed says that an error is told without a type.
	failed, critical bool
	// first is the first frame of a stack that is a list of objects.
	first frame
}

// json takes in a structured line.
func (r *Reader) json(line []byte) {
	var f fields
	s := scanner{data: line, memo: r.memo}
	s.object(&noKey, 0, &f)
	if quiet(f.level) {
		return
	}
	var t *trace
	switch {
	case f.stack != nil:
		t = r.traceIn(f.stack)
	case f.lines != "":
		t = r.readTrace(f.lines)
	}
	var own trace
	if t != nil {
		own = *t // it may be a remembered one; nothing is added to its stack
	}
	panicked := f.level == "panic" || f.level == "dpanic"
	switch {
	case t != nil:
		if f.typ != "" && own.kind != goTrace && (own.typ == "" || !own.chained) {
			// The field's word is the outermost type; the trace knows the cause.
			own.typ = f.typ
		}
	case f.typ == "" && panicked:
		own.typ, own.critical = "panic", true
	case f.typ == "" && f.failed && loud(f.level) && (f.function != "" || f.caller != "" || f.first.name != ""):
		own.typ = "error"
	case f.typ != "":
		own.typ = f.typ
	default:
		return
	}
	if own.own == "" && f.first.name != "" {
		own.own = f.first.name
	}
	if own.own == "" && own.any == "" {
		own.own = firstOf(f.function, f.caller, f.logger)
	}
	c := r.memo.class(own.typ, own.where())
	r.count(c.name, own.critical || f.critical || panicked || c.critical, own.stack)
}

// traceIn reads a trace that is a text by itself, as it is written in a line;
// nil when it is none.
func (r *Reader) traceIn(raw []byte) *trace {
	known, ok := r.memo.stacks[string(raw)]
	if !ok {
		known = r.readTrace(unescaped(raw))
		r.memo.rememberStack(raw, known)
	}
	return known
}

func (r *Reader) readTrace(stack string) *trace {
	if r.inner == nil {
		r.inner = &Reader{seen: map[string]*Seen{}, stacks: map[string]bool{}, memo: r.memo, inside: true}
	}
	inner := r.inner
	inner.cur = nil
	inner.forget()
	clear(inner.seen)
	n := 0
	var found *trace
	for line := range strings.Lines(stack) {
		if n++; n > 400 {
			break
		}
		line = strings.TrimRight(line, "\r\n")
		inner.line([]byte(line))
		if inner.cur != nil {
			found = inner.cur
		}
	}
	if found == nil {
		found = r.bareStack(stack)
	} else if !found.believed() {
		return nil
	}
	if found != nil {
		found.chained = contains(stack, "aused by", "direct cause", "[cause]", "--->")
	}
	return found
}

// bareStack reads a stack of frames without a header: Go's functions with their
// files, as zap writes them, or frames that begin with "at".
func (r *Reader) bareStack(stack string) *trace {
	t := &trace{kind: atTrace, typ: "error", memo: r.memo}
	name, n := "", 0
	for line := range strings.Lines(stack) {
		if n++; n > 400 {
			break
		}
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "panic("):
			// What is above was called to report it.
			t.typ, t.critical, t.own, t.any = "panic", true, "", ""
		case strings.HasPrefix(line, "at "):
			if f, ok := atFrame(line); ok {
				t.add(f)
			}
		case strings.HasPrefix(line, `File "`):
			t.addPython(pythonFrame(line))
		case strings.Contains(line, ".go:") && name != "":
			place, _, _ := strings.Cut(line, " ")
			t.add(r.memo.goFrame([]byte(withoutArguments(name)), []byte(place)))
			name = ""
		case strings.Contains(line, ".rb:"):
			if f, _, ok := rubyFrame(line); ok {
				t.add(f)
			}
		case strings.ContainsAny(line, "./") && !strings.ContainsAny(line, " \""):
			name = line
			if !strings.HasSuffix(name, ")") {
				name += "()"
			}
		}
	}
	if t.any == "" {
		return nil
	}
	return t
}

// quiet levels tell of nothing that went wrong.
func quiet(level string) bool {
	switch level {
	case "trace", "debug", "info", "information", "notice", "verbose", "10", "20", "30", "default":
		return true
	}
	return false
}

func loud(level string) bool {
	switch level {
	case "error", "err", "fatal", "critical", "crit", "alert", "emergency", "emerg", "panic", "dpanic", "severe", "50", "60":
		return true
	}
	return false
}

// meaning is what a key's value tells of.
type meaning int

const (
	_ meaning = iota // nothing
	// typeInside is the type in an object that is an error, typeAnywhere also
	// elsewhere.
	typeInside
	typeAnywhere
	stackText
	errorText
	exceptionText
	messageText
	levelName
	functionName
	callerPlace
	loggerName
)

// jsonKey is what is known of a key of structured logs.
type jsonKey struct {
	// raw is the key as it is written, name in small letters.
	raw     string
	name    string
	meaning meaning
	// parent is what stands before its last dot, nil when there is none: then it
	// is the object that it is in.
	parent *jsonKey
	// wanted says that its text is worth reading, inside only in an object that
	// has a key.
	wanted, inside bool
	// stack says that its list may be a stack.
	stack bool
	// level: it may be a number that is a level.
	level bool
	// holdsError says that its object is an error, holdsCause that it is the
	// cause of one, which counts while there is no other.
	holdsError, holdsCause bool
}

// noKey is that of the whole line, and of what is in a list.
var noKey jsonKey

func jsonKeyOf(raw string) *jsonKey {
	name := strings.ToLower(raw)
	k := &jsonKey{raw: raw, name: name, stack: stackKey(name), level: name == "level" || name == "severity"}
	k.wanted, k.inside = wanted(name)
	last := name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		last = name[i+1:]
		k.parent = &jsonKey{}
		k.parent.holds(name[:i])
	}
	k.holds(name)
	switch last {
	case "type", "name", "class", "kind", "classname", "class_name":
		k.meaning = typeInside
	case "error_type", "errortype", "exception_type", "exceptiontype", "exception_class", "exceptionclass", "exc_type", "error_class", "errorclass", "error_name", "err_type", "exceptionname":
		k.meaning = typeAnywhere
	case "stack", "stacktrace", "stack_trace", "exc_info", "exc_text", "traceback", "backtrace", "errorverbose", "extendedstacktrace", "@x", "error_stack", "error_stacktrace", "exception_stack", "exception_stacktrace":
		k.meaning = stackText
	case "exception":
		k.meaning = exceptionText
	case "error", "err":
		k.meaning = errorText
	case "message", "msg", "textpayload", "log", "@m", "event", "short_message", "full_message":
		k.meaning = messageText
	case "level", "severity", "lvl", "@l", "levelname", "loglevel", "log_level":
		k.meaning = levelName
	case "function", "func", "funcname", "method":
		k.meaning = functionName
	case "caller", "source", "file":
		k.meaning = callerPlace
	case "logger", "logger_name", "loggername", "sourcecontext":
		k.meaning = loggerName
	}
	return k
}

// holds notes what the object of a key is.
func (k *jsonKey) holds(name string) {
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "error", "err", "exception", "exc", "thrown", "throwable":
		k.holdsError = true
	case "cause":
		k.holdsCause = true
	}
}

// take notes a text field, as it is written. The parent is the key of the object
// it is in.
func (f *fields) take(parent, key *jsonKey, raw []byte, m *memo) {
	if key.parent != nil {
		parent = key.parent
	}
	inError := parent.holdsError || parent.holdsCause && f.typ == ""
	switch key.meaning {
	case typeInside, typeAnywhere:
		if inError || key.meaning == typeAnywhere {
			f.setType(named(m.types, raw, func(s string) string { return typeName(strings.TrimPrefix(s, "*")) }))
		}
	case stackText:
		f.setStack(raw)
	case errorText, exceptionText:
		f.failed = len(raw) > 0
		value := plain(raw)
		f.critical = f.critical || criticalText(value)
		if bytes.IndexByte(value, '\n') >= 0 {
			f.setStack(raw)
		} else if key.meaning == exceptionText {
			if name, _ := typeToken(string(value)); name != "" {
				f.setType(typeName(name))
			}
		}
	case messageText:
		if inError {
			f.critical = f.critical || criticalText(plain(raw))
		}
		if f.stack == nil && f.lines == "" && bytes.IndexByte(raw, '\\') >= 0 {
			if value := unescaped(raw); strings.Contains(value, "\n") && contains(value, "\tat ", "   at ", pythonHeader, "goroutine ") {
				f.setStack(raw)
			}
		}
	case levelName:
		f.level = m.levelName(raw)
	case functionName:
		f.function = named(m.functions, raw, func(s string) string { return goName(withoutArguments(s + "()")) })
	case callerPlace:
		if f.caller == "" {
			f.caller = named(m.callers, raw, callerName)
		}
	case loggerName:
		f.logger = named(m.loggers, raw, func(s string) string { return lastParts(s, 2) })
	}
}

// levelName is the name of a level in small letters.
func (m *memo) levelName(raw []byte) string {
	switch {
	case len(raw) > longestRemembered:
		return m.key(raw).name
	case m.level == nil || m.level.raw != string(raw):
		m.level = m.key(raw)
	}
	return m.level.name
}

func (f *fields) setType(name string) {
	if f.typ == "" {
		f.typ = name
	}
}

func (f *fields) setStack(raw []byte) {
	if f.stack == nil && f.lines == "" && len(raw) > 0 {
		f.stack = raw
	}
}

// callerName is "cart/add" of "cart/add.go:12".
func callerName(s string) string {
	if s == "" || strings.ContainsAny(s, " \"") {
		return ""
	}
	s = shortPlace(s)
	if i := strings.IndexByte(s, ':'); i > 0 {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '.'); i > 0 {
		s = s[:i]
	}
	return strings.ReplaceAll(s, "/", ".")
}

// scanner walks through one JSON object, as far as it is one.
type scanner struct {
	data []byte
	at   int
	// values counts, so that a line of nothing but braces costs no more than any.
	values int
	// keys counts those of objects.
	keys int
	memo *memo
}

const (
	deepest    = 8
	mostValues = 4000
)

func (s *scanner) blank() {
	for s.at < len(s.data) && (s.data[s.at] == ' ' || s.data[s.at] == '\t' || s.data[s.at] == ',' || s.data[s.at] == ':') {
		s.at++
	}
}

// object walks through an object whose key is parent.
func (s *scanner) object(parent *jsonKey, depth int, f *fields) bool {
	s.at++ // {
	for {
		s.blank()
		if s.at >= len(s.data) {
			return false
		}
		if s.data[s.at] == '}' {
			s.at++
			return true
		}
		if s.data[s.at] != '"' {
			return false
		}
		raw, ok := s.text()
		if !ok {
			return false
		}
		s.blank()
		key := s.memo.keyAt(s.keys, raw)
		s.keys++
		if !s.value(parent, key, depth, f) {
			return false
		}
	}
}

// keyAt is key for the one at a place in its line: lines of one program mostly
// have the same keys in the same order.
func (m *memo) keyAt(place int, raw []byte) *jsonKey {
	if place >= len(m.order) || len(raw) > longestRemembered {
		return m.key(raw)
	}
	if k := m.order[place]; k != nil && k.raw == string(raw) {
		return k
	}
	m.order[place] = m.key(raw)
	return m.order[place]
}

// key is what is known of a key.
func (m *memo) key(raw []byte) *jsonKey {
	if k, ok := m.keys[string(raw)]; ok {
		return k
	}
	k := jsonKeyOf(string(raw))
	remember(m.keys, string(raw), len(raw), k)
	return k
}

// value walks through the value of a key.
func (s *scanner) value(parent, key *jsonKey, depth int, f *fields) bool {
	if s.values++; s.at >= len(s.data) || s.values > mostValues || depth > deepest {
		return false
	}
	switch c := s.data[s.at]; c {
	case '"':
		raw, whole := s.text()
		if key.wanted || key.inside && parent.name != "" {
			f.take(parent, key, raw, s.memo)
		}
		return whole
	case '{':
		return s.object(key, depth+1, f)
	case '[':
		return s.list(key, depth, f)
	default:
		from := s.at
		for s.at < len(s.data) && !ends(s.data[s.at]) {
			s.at++
		}
		if key.level {
			f.take(parent, key, s.data[from:s.at], s.memo)
		}
		return s.at > from
	}
}

// ends says whether a byte ends a number or a word.
func ends(c byte) bool { return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\t' }

// list walks through a list: a stack may be one of texts, or of objects.
func (s *scanner) list(key *jsonKey, depth int, f *fields) bool {
	s.at++ // [
	var lines []string
	for n := 0; ; n++ {
		s.blank()
		if s.at >= len(s.data) || s.values > mostValues {
			return false
		}
		switch {
		case s.data[s.at] == ']':
			s.at++
			if len(lines) > 0 && f.stack == nil && f.lines == "" {
				f.lines = strings.Join(lines, "\n")
			}
			return true
		case s.data[s.at] == '"':
			raw, whole := s.text()
			s.values++
			if key.stack && len(lines) < 200 {
				lines = append(lines, unescaped(raw))
			}
			if !whole {
				return false
			}
		case s.data[s.at] == '{' && key.stack:
			var one fields
			if !s.object(&noKey, depth+1, &one) {
				return false
			}
			if name := firstOf(one.function, one.caller); name != "" && f.first.name == "" {
				if one.caller != "" && one.function != "" && !strings.Contains(one.function, ".") {
					name = one.caller + "." + one.function
				}
				f.first, f.failed = frame{name: name, own: true}, true
			}
		default:
			if !s.value(&noKey, key, depth+1, f) {
				return false
			}
		}
	}
}

func stackKey(key string) bool { return contains(key, "stack", "trace", "exc_info") }

// wanted says whether a key's text is worth reading, inside that it is so in an
// object that has a key.
func wanted(key string) (anywhere, inside bool) {
	switch key {
	case "type", "name", "class", "kind", "classname", "class_name":
		return false, true
	case "@x", "@l", "@m", "msg", "message", "textpayload", "log", "event", "level", "severity", "lvl", "levelname", "loglevel", "log_level",
		"function", "func", "funcname", "method", "caller", "source", "file", "logger", "logger_name", "loggername", "sourcecontext", "short_message", "full_message", "backtrace":
		return true, false
	}
	return contains(key, "err", "exc", "stack", "trace", "type", "level", "function", "thrown"), false
}

// text reads a string and returns what is between its quotes.
func (s *scanner) text() (raw []byte, whole bool) {
	s.at++
	from := s.at
	for s.at < len(s.data) {
		i := bytes.IndexByte(s.data[s.at:], '"')
		if i < 0 {
			break
		}
		end := s.at + i
		slashes := 0
		for j := end - 1; j >= from && s.data[j] == '\\'; j-- {
			slashes++
		}
		s.at = end + 1
		if slashes%2 == 0 {
			return s.data[from:end], true
		}
	}
	s.at = len(s.data)
	return s.data[min(from, len(s.data)):], false
}

// plain is unescaped for who only looks at it.
func plain(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	return []byte(unescaped(raw))
}

// unescaped is the text that a JSON string stands for.
func unescaped(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			b.WriteByte(raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r', 'b', 'f':
			b.WriteByte(' ')
		case 'u':
			if i+4 < len(raw) {
				if v, err := strconv.ParseUint(string(raw[i+1:i+5]), 16, 16); err == nil {
					r := rune(v)
					if !utf8.ValidRune(r) {
						r = utf8.RuneError
					}
					b.WriteRune(r)
					i += 4
					continue
				}
			}
		default:
			b.WriteByte(raw[i])
		}
	}
	return b.String()
}

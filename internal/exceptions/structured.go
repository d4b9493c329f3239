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
	typ, stack, level string
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
	s.object("", 0, &f)
	if quiet(f.level) {
		return
	}
	var t *trace
	if f.stack != "" {
		t = r.traceIn(f.stack)
	}
	panicked := f.level == "panic" || f.level == "dpanic"
	switch {
	case t != nil:
		if f.typ != "" && t.kind != goTrace {
			// The field's word is the outermost type; the trace knows the cause.
			if t.typ == "" || !strings.Contains(f.stack, "aused by") && !strings.Contains(f.stack, "direct cause") && !strings.Contains(f.stack, "[cause]") && !strings.Contains(f.stack, "--->") {
				t.typ = f.typ
			}
		}
	case f.typ == "" && panicked:
		t = &trace{typ: "panic", critical: true}
	case f.typ == "" && f.failed && loud(f.level) && (f.function != "" || f.caller != "" || f.first.name != ""):
		t = &trace{typ: "error"}
	case f.typ != "":
		t = &trace{typ: f.typ}
	default:
		return
	}
	if t.own == "" && f.first.name != "" {
		t.own = f.first.name
	}
	if t.own == "" && t.any == "" {
		t.own = firstOf(f.function, f.caller, f.logger)
	}
	critical := t.critical || f.critical || panicked || criticalType(t.typ)
	r.count(t.class(), critical, t.stack.String())
}

// traceIn reads a trace that is a text by itself; nil when it is none.
func (r *Reader) traceIn(stack string) *trace {
	known, ok := r.memo.stacks[stack]
	if !ok {
		known = r.readTrace(stack)
		r.memo.rememberStack(stack, known)
	}
	if known == nil {
		return nil
	}
	t := *known // whoever asks changes it, without adding to its stack
	return &t
}

func (r *Reader) readTrace(stack string) *trace {
	if r.inner == nil {
		r.inner = &Reader{seen: map[string]*Seen{}, stacks: map[string]bool{}, memo: r.memo}
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
		return r.bareStack(stack)
	}
	if !found.believed() {
		return nil
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
			t.pythonFrame(line)
		case strings.Contains(line, ".go:") && name != "":
			place, _, _ := strings.Cut(line, " ")
			t.add(r.memo.goFrame(name, place))
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

// take notes a text field. The parent is the key of the object it is in.
func (f *fields) take(parent, key, value string) {
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		parent, key = key[:i], key[i+1:]
	}
	if i := strings.LastIndexByte(parent, '.'); i >= 0 {
		parent = parent[i+1:]
	}
	inError := parent == "error" || parent == "err" || parent == "exception" || parent == "exc" || parent == "thrown" || parent == "throwable" || parent == "cause" && f.typ == ""
	many := strings.Contains(value, "\n")
	switch key {
	case "type", "name", "class", "kind", "classname", "class_name":
		if inError {
			f.setType(value)
		}
	case "error_type", "errortype", "exception_type", "exceptiontype", "exception_class", "exceptionclass", "exc_type", "error_class", "errorclass", "error_name", "err_type", "error.type", "exceptionname":
		f.setType(value)
	case "stack", "stacktrace", "stack_trace", "exc_info", "exc_text", "traceback", "backtrace", "errorverbose", "extendedstacktrace", "@x", "error_stack", "error_stacktrace", "exception_stack", "exception_stacktrace", "stackTrace":
		f.setStack(value)
	case "exception", "error", "err":
		f.failed = value != ""
		f.critical = f.critical || criticalText(value)
		if many {
			f.setStack(value)
		} else if name, _ := typeToken(value); name != "" && key == "exception" {
			f.setType(name)
		}
	case "message", "msg", "textpayload", "log", "@m", "event", "short_message", "full_message":
		if inError {
			f.critical = f.critical || criticalText(value)
		}
		if many && f.stack == "" && (contains(value, "\tat ", "   at ", pythonHeader, "goroutine ")) {
			f.setStack(value)
		}
	case "level", "severity", "lvl", "@l", "levelname", "loglevel", "log_level":
		f.level = strings.ToLower(value)
	case "function", "func", "funcname", "method":
		f.function = goName(withoutArguments(value + "()"))
	case "caller", "source", "file":
		if f.caller == "" {
			f.caller = callerName(value)
		}
	case "logger", "logger_name", "loggername", "sourcecontext":
		f.logger = lastParts(value, 2)
	}
}

func (f *fields) setType(value string) {
	if name := typeName(strings.TrimPrefix(value, "*")); name != "" && f.typ == "" {
		f.typ = name
	}
}

func (f *fields) setStack(value string) {
	if f.stack == "" {
		f.stack = value
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
	memo   *memo
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
func (s *scanner) object(parent string, depth int, f *fields) bool {
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
		if !s.value(parent, s.small(raw), depth, f) {
			return false
		}
	}
}

// small is a key in small letters.
func (s *scanner) small(raw []byte) string {
	if key, ok := s.memo.keys[string(raw)]; ok {
		return key
	}
	key := strings.ToLower(string(raw))
	remember(s.memo.keys, string(raw), key)
	return key
}

// value walks through the value of a key.
func (s *scanner) value(parent, key string, depth int, f *fields) bool {
	if s.values++; s.at >= len(s.data) || s.values > mostValues || depth > deepest {
		return false
	}
	switch c := s.data[s.at]; c {
	case '"':
		raw, whole := s.text()
		if wanted(parent, key) {
			f.take(parent, key, unescaped(raw))
		}
		return whole
	case '{':
		return s.object(key, depth+1, f)
	case '[':
		return s.list(key, depth, f)
	default:
		from := s.at
		for s.at < len(s.data) && !strings.ContainsRune(",}] \t", rune(s.data[s.at])) {
			s.at++
		}
		if key == "level" || key == "severity" {
			f.take(parent, key, string(s.data[from:s.at]))
		}
		return s.at > from
	}
}

// list walks through a list: a stack may be one of texts, or of objects.
func (s *scanner) list(key string, depth int, f *fields) bool {
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
			if len(lines) > 0 && stackKey(key) {
				f.setStack(strings.Join(lines, "\n"))
			}
			return true
		case s.data[s.at] == '"':
			raw, whole := s.text()
			s.values++
			if stackKey(key) && len(lines) < 200 {
				lines = append(lines, unescaped(raw))
			}
			if !whole {
				return false
			}
		case s.data[s.at] == '{' && stackKey(key):
			var one fields
			if !s.object("", depth+1, &one) {
				return false
			}
			if name := firstOf(one.function, one.caller); name != "" && f.first.name == "" {
				if one.caller != "" && one.function != "" && !strings.Contains(one.function, ".") {
					name = one.caller + "." + one.function
				}
				f.first, f.failed = frame{name: name, own: true}, true
			}
		default:
			if !s.value("", key, depth+1, f) {
				return false
			}
		}
	}
}

func stackKey(key string) bool { return contains(key, "stack", "trace", "exc_info") }

// wanted says whether a key's text is worth unescaping.
func wanted(parent, key string) bool {
	switch key {
	case "type", "name", "class", "kind", "classname", "class_name":
		return parent != ""
	case "@x", "@l", "@m", "msg", "message", "textpayload", "log", "event", "level", "severity", "lvl", "levelname", "loglevel", "log_level",
		"function", "func", "funcname", "method", "caller", "source", "file", "logger", "logger_name", "loggername", "sourcecontext", "short_message", "full_message", "backtrace":
		return true
	}
	return contains(key, "err", "exc", "stack", "trace", "type", "level", "function", "thrown")
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

package exceptions

import "strings"

// rubyBegins may stand right before a file.
var rubyBegins = setOf(" \t[")

// rubyFrame reads "app/cart.rb:12:in 'Cart#add'", and what is behind it.
func rubyFrame(s string) (f frame, rest string, ok bool) {
	at := strings.Index(s, ".rb:")
	if at < 0 {
		return f, "", false
	}
	file := s[:at+3]
	if i := rubyBegins.lastIndex(file); i >= 0 {
		if strings.TrimSpace(file[:i]) != "" && text(file[:i]) != "from" && !strings.HasSuffix(text(file[:i]), ":") && !onlyPrefix(file[:i]) {
			return f, "", false
		}
		file = file[i+1:]
	}
	after := s[at+4:]
	line, in, found := strings.Cut(after, ":in ")
	if !number(line) {
		return f, "", false
	}
	name := stem(file)
	if found && in != "" && (in[0] == '`' || in[0] == '\'') {
		end := strings.IndexByte(in[1:], '\'')
		if end < 0 {
			return f, "", false
		}
		method := in[1 : end+1]
		rest = in[end+2:]
		if i := strings.LastIndex(method, " in "); i >= 0 {
			method = method[i+4:] // block in, rescue in
		}
		if i := strings.LastIndexAny(method, "#."); i >= 0 {
			method = method[i+1:]
		}
		if !strings.HasPrefix(method, "<") {
			name += "." + method
		}
	}
	own := !contains(file, "/gems/", "/lib/ruby/", "<internal:", "/bundler/", "/rubygems/")
	return frame{name: name, place: shortPlace(file + ":" + line), own: own}, rest, true
}

// rubyType is the type at the end of "…': message (Shop::CartError)".
func rubyType(rest string) (typ, message string) {
	rest = text(rest)
	if !strings.HasPrefix(rest, ":") || !strings.HasSuffix(rest, ")") {
		return "", ""
	}
	open := strings.LastIndex(rest, " (")
	if open < 0 {
		return "", ""
	}
	return typeName(rest[open+2:]), rest[:open]
}

func (r *Reader) beginRuby(line string) *trace {
	f, rest, ok := rubyFrame(line)
	if !ok {
		return nil
	}
	t := r.newTrace(rubyTrace)
	if typ, message := rubyType(rest); typ != "" {
		t.typ, t.critical = typ, t.memo.critical(typ) || criticalText(message)
		t.add(f)
		return t
	}
	r.lookedBack(func(before string) bool {
		if _, _, isFrame := rubyFrame(before); isFrame {
			return true
		}
		typ, message := typeToken(text(before))
		t.typ, t.critical = typ, t.memo.critical(typ) || criticalText(message)
		return typ != ""
	})
	if t.typ == "" {
		return nil
	}
	t.add(f)
	return t
}

func (t *trace) takeRuby(line string) bool {
	f, rest, ok := rubyFrame(line)
	if !ok {
		return false
	}
	if typ, _ := rubyType(rest); typ != "" {
		t.over = true // the next one, or what caused this one: they look alike
		return false
	}
	t.add(f)
	return true
}

// phpState is where a PHP trace is.
type phpState struct {
	// file is where the next frame's function was when it called or threw.
	file string
}

func (r *Reader) beginPHP(line string) *trace {
	if _, rest, ok := strings.Cut(line, "Uncaught "); ok && strings.Contains(line, "rror:") {
		name, message, _ := strings.Cut(rest, ": ")
		if i := strings.IndexByte(name, ' '); i >= 0 {
			name = name[:i]
		}
		return r.newPHP(typeName(name), message)
	}
	if _, rest, ok := strings.Cut(line, "[object] ("); ok {
		name, message, _ := strings.Cut(rest, "(code: ")
		t := r.newPHP(typeName(strings.ReplaceAll(name, `\\`, `\`)), "")
		if t == nil {
			return nil
		}
		t.critical = t.critical || criticalText(message)
		if i := strings.LastIndex(message, " at "); i >= 0 {
			t.php.file, _, _ = strings.Cut(message[i+4:], ")")
		}
		t.phpFallback()
		return t
	}
	if strings.TrimSpace(line) != "Stack trace:" {
		return nil
	}
	var t *trace
	r.lookedBack(func(before string) bool {
		typ, message := typeToken(text(before))
		t = r.newPHP(typ, message)
		return t != nil
	})
	return t
}

func (r *Reader) newPHP(typ, message string) *trace {
	if typ == "" {
		return nil
	}
	t := r.newTrace(phpTrace)
	t.typ, t.critical = typ, t.memo.critical(typ) || criticalText(message)
	if i := strings.LastIndex(message, " in "); i >= 0 {
		t.php.file = message[i+4:]
	}
	t.phpFallback()
	return t
}

// phpFallback is the file where it was thrown, for a trace without functions.
func (t *trace) phpFallback() {
	file, _, _ := strings.Cut(t.php.file, ".php")
	if t.php.file != "" {
		t.any = stem(file)
	}
}

func (t *trace) takePHP(line string) bool {
	trimmed := text(line)
	switch {
	case trimmed == "Stack trace:", trimmed == "[stacktrace]", trimmed == `"}`:
		return true
	case strings.HasPrefix(trimmed, "thrown in "):
		t.over = true
		return true
	case strings.HasPrefix(trimmed, "Next "):
		return false
	case !strings.HasPrefix(trimmed, "#"):
		return false
	}
	index, rest, _ := strings.Cut(trimmed[1:], " ")
	if !number(index) {
		return false
	}
	place, call := "", rest
	if i := strings.Index(rest, "): "); i >= 0 && strings.Contains(rest[:i], "(") {
		place, call = strings.Replace(rest[:i], "(", ":", 1), rest[i+3:]
	} else if after, ok := strings.CutPrefix(rest, "[internal function]: "); ok {
		call = after
	}
	t.add(phpFrame(call, t.php.file))
	t.php.file = place
	return true
}

// phpFrame is a function and the file that it is in.
func phpFrame(call, file string) frame {
	own := file != "" && !contains(file, "/vendor/", "\\vendor\\")
	if i := strings.IndexByte(call, '('); i >= 0 {
		call = call[:i]
	}
	base, _, _ := strings.Cut(file, ".php")
	name := stem(base)
	call = strings.ReplaceAll(call, "->", "::")
	class, method, inClass := strings.Cut(call, "::")
	switch {
	case strings.Contains(call, "{main}"), strings.Contains(call, "{closure"), call == "":
	case inClass:
		name = typeName(class) + "." + method
	default:
		if i := strings.LastIndexByte(call, '\\'); i >= 0 {
			call = call[i+1:]
		}
		name += "." + call
	}
	return frame{name: name, place: shortPlace(file), own: own}
}

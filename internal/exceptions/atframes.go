package exceptions

import (
	"bytes"
	"strings"
)

// atState is where a trace of Java, Node.js or .NET is.
type atState struct {
	// outer is the topmost own frame of what the cause was wrapped in.
	outer string
	// suppressed says that the frames are of an exception that was suppressed,
	// settled that those to come are of what wraps the one that counts.
	suppressed, settled bool
	// other says that a line told of another exception, whose frames may follow.
	other bool
	// open says that properties are being told, as Node.js does behind a stack.
	open bool
}

// indented says whether a line begins with blanks and "at ".
func indented(line []byte) bool {
	i := 0
	for i < len(line) && blanks[line[i]] {
		i++
	}
	return i > 0 && bytes.HasPrefix(line[i:], []byte("at "))
}

// frameStart is where "at " begins in a line that may be a frame; -1 when it
// cannot be one. Before it there are blanks, and perhaps a prefix and blanks.
func frameStart(line string) int {
	if i := len(line) - len(blanks.trimLeft(line)); i > 0 && strings.HasPrefix(line[i:], "at ") {
		return i
	}
	if i := strings.Index(line, "\tat "); i >= 0 {
		return i + 1
	}
	if i := strings.Index(line, "   at "); i >= 0 {
		return i + 3
	}
	return -1
}

func (r *Reader) beginAt(line string) *trace {
	i := frameStart(line)
	if i < 0 {
		return nil
	}
	begin := i
	for begin > 0 && blanks[line[begin-1]] {
		begin--
	}
	f, ok := r.memo.at[line[begin:]]
	if !ok {
		if f, ok = atFrame(line[i:]); !ok {
			return nil
		}
		f = f.ready()
		remember(r.memo.at, line[begin:], len(line)-begin, f)
	}
	t := r.newTrace(atTrace)
	t.prefix = line[:begin]
	first := true
	r.lookedBack(func(before string) bool {
		before = text(before)
		if before == "" {
			return false
		}
		name, message := typeToken(before)
		if name == "" && first {
			// A type of an unusual name, in the line right before.
			word, after, _ := strings.Cut(before, ": ")
			word = strings.TrimPrefix(word, "---> ")
			if n := typeName(word); n != "" && !strings.ContainsAny(word, " (") && n[0] >= 'A' && n[0] <= 'Z' && n != "Trace" && !strings.HasSuffix(n, "Warning") {
				name, message = n, after
			}
		}
		first = false
		if name == "" || hasPrefix(before, "at ") || name == "State" {
			return hasPrefix(before, "at ")
		}
		t.typ = name
		t.critical = t.memo.critical(name) || criticalText(message)
		return true
	})
	if t.typ == "" {
		return nil
	}
	t.add(f)
	return t
}

func (t *trace) takeAt(line string) bool {
	trimmed := text(line)
	a := &t.at
	switch {
	case strings.HasPrefix(trimmed, "at "):
		f, ok := atFrame(trimmed)
		if !ok {
			return false
		}
		f = f.ready()
		remember(t.memo.at, line, len(line), f)
		return t.takeAtFrame(f, strings.HasSuffix(trimmed, "{"))
	case strings.HasPrefix(trimmed, "Caused by: "):
		if a.suppressed && trimmed != line {
			return true
		}
		a.suppressed = false
		return t.cause(strings.TrimPrefix(trimmed, "Caused by: "))
	case strings.HasPrefix(trimmed, "[cause]: "):
		a.open = true
		return t.cause(strings.TrimPrefix(trimmed, "[cause]: "))
	case strings.HasPrefix(trimmed, "Suppressed: "):
		a.suppressed = true
		return true
	case strings.HasPrefix(trimmed, "---> "):
		return true // of an inner exception that is not the first
	case strings.HasPrefix(trimmed, "--- End of inner exception"):
		a.settled = t.any != ""
		return true
	case hasPrefix(trimmed, "--- End of ", "... ", "[CIRCULAR REFERENCE"):
		return true
	case trimmed == "}", trimmed == "]", trimmed == "},":
		return a.open
	case trimmed == "":
		return false
	case a.open && line[0] == ' ':
		return true // a property
	}
	if !a.other {
		name, _ := typeToken(trimmed)
		a.other = name != ""
	}
	return false
}

// takeAtFrame takes in a frame; open says that properties follow.
func (t *trace) takeAtFrame(f frame, open bool) bool {
	a := &t.at
	if a.other {
		t.over = true
		return false
	}
	a.open = a.open || open
	if !a.suppressed && !a.settled {
		t.add(f)
	}
	return true
}

// cause takes in what caused the exception.
func (t *trace) cause(header string) bool {
	name, message := typeToken(header)
	if name == "" {
		word, after, _ := strings.Cut(header, ": ")
		if name, message = typeName(word), after; name == "" {
			return true
		}
	}
	t.critical = t.critical || t.memo.critical(name) || criticalText(message)
	t.restart(name)
	return true
}

// atFrame reads a frame that begins with "at ".
func atFrame(s string) (frame, bool) {
	s = strings.TrimSuffix(strings.TrimSpace(s), " {")
	s = strings.TrimPrefix(s, "at ")
	switch {
	case s == "":
		return frame{}, false
	case nodePlace(s) != "":
		return nodeFrame(s), true
	}
	open := strings.IndexByte(s, '(')
	if open <= 0 {
		if _, file, ok := strings.Cut(s, " in "); ok && strings.Contains(file, ":line ") {
			return dotnetFrame(s), true
		}
		return frame{}, false
	}
	inside := s[open+1:]
	if i := strings.LastIndexByte(inside, ')'); i >= 0 {
		inside = inside[:i]
	}
	switch {
	case strings.ContainsAny(strings.TrimSpace(s[:open]), " ") && !strings.HasPrefix(inside, "<anonymous>"):
		return frame{}, false // a sentence
	case contains(inside, ".java", ".kt", ".scala", ".groovy", ".clj", "Native Method", "Unknown Source") || inside == "SourceFile" || strings.HasPrefix(inside, "SourceFile:"):
		return javaFrame(s[:open], inside), true
	case inside == "<anonymous>", inside == "native", inside == "index 0":
		return frame{name: s[:open]}, true
	case !strings.Contains(s[:open], "."):
		return frame{}, false
	}
	return dotnetFrame(s), true
}

// nodePlace is the file of a frame of Node.js: "file:12:5" in parentheses or
// alone.
func nodePlace(s string) string {
	place := s
	if strings.HasSuffix(s, ")") {
		i := strings.LastIndexByte(s, '(')
		if i < 0 {
			return ""
		}
		place = s[i+1 : len(s)-1]
	} else if i := strings.LastIndexByte(s, ' '); i >= 0 {
		if s[:i] != "async" {
			return ""
		}
		place = s[i+1:]
	}
	column := strings.LastIndexByte(place, ':')
	if column <= 0 || !number(place[column+1:]) {
		return ""
	}
	line := strings.LastIndexByte(place[:column], ':')
	if line <= 0 || !number(place[line+1:column]) {
		return ""
	}
	return place[:line]
}

func number(s string) bool { return numbered(s, "") }

func nodeFrame(s string) frame {
	file := nodePlace(s)
	fn := ""
	if i := strings.LastIndex(s, " ("); i > 0 {
		fn = s[:i]
	}
	fn = strings.TrimPrefix(fn, "async ")
	fn = strings.TrimPrefix(fn, "new ")
	if i := strings.Index(fn, " [as "); i >= 0 {
		fn = fn[:i]
	}
	for _, p := range []string{"Object.", "Module.", "exports.", "Function.", "global."} {
		fn = strings.TrimPrefix(fn, p)
	}
	fn = strings.TrimSuffix(strings.TrimSuffix(fn, "<anonymous>"), ".")
	base := strings.TrimPrefix(file, "file://")
	name := stem(base)
	switch {
	case fn == "":
	case strings.Contains(fn, "."):
		name = fn
	default:
		name += "." + fn
	}
	place := s[strings.Index(s, file):]
	return frame{
		name: name, place: shortPlace(strings.TrimSuffix(place, ")")),
		own: !hasPrefix(file, "node:", "internal/", "<anonymous>", "native", "evalmachine", "bun:", "ext:", "deno:") && !contains(file, "/node_modules/", "\\node_modules\\"),
	}
}

// javaLibraries are the packages of runtimes and frameworks.
var javaLibraries = []string{
	"java.", "javax.", "jakarta.", "jdk.", "sun.", "com.sun.", "kotlin.", "kotlinx.", "scala.", "groovy.", "clojure.",
	"org.springframework.", "org.apache.", "org.hibernate.", "org.jboss.", "org.eclipse.", "org.junit.", "org.slf4j.",
	"org.postgresql.", "org.mariadb.", "org.h2.", "org.gradle.", "org.codehaus.", "org.glassfish.", "org.jetbrains.", "org.redisson.",
	"ch.qos.logback.", "io.netty.", "io.undertow.", "io.micronaut.", "io.quarkus.", "io.vertx.", "io.grpc.", "io.ktor.",
	"io.opentelemetry.", "io.micrometer.", "io.lettuce.", "io.reactivex.", "io.smallrye.", "io.helidon.", "reactor.", "rx.", "akka.", "play.",
	"com.fasterxml.", "com.google.common.", "com.google.inject.", "com.google.gson.", "com.zaxxer.", "com.mysql.", "com.mongodb.",
	"com.netflix.", "com.oracle.", "com.microsoft.sqlserver.", "com.datastax.", "feign.", "okhttp3.", "okio.", "retrofit2.", "redis.clients.",
	"net.bytebuddy.", "net.sf.cglib.", "junit.", "worker.org.gradle.",
}

func javaFrame(call, inside string) frame {
	if i := strings.LastIndexByte(call, '/'); i >= 0 {
		call = call[i+1:] // its loader and module
	}
	own := !hasPrefix(call, javaLibraries...) && !strings.Contains(call, "$$")
	var kept []string
	for p := range strings.SplitSeq(call, ".") {
		words := strings.Split(p, "$")
		if words[0] == "lambda" && len(words) > 1 {
			words = words[1:2] // lambda$add$0 is in add
		}
		for _, w := range words {
			if w != "" && !number(w) {
				kept = append(kept, w)
			}
		}
	}
	return frame{name: lastParts(strings.Join(kept, "."), 3), place: inside, own: own}
}

// dotnetLibraries are the namespaces of runtime and frameworks.
var dotnetLibraries = []string{
	"System.", "Microsoft.", "Npgsql.", "Newtonsoft.", "Grpc.", "Serilog.", "MySql.", "MySqlConnector.", "Dapper.", "Polly.",
	"MediatR.", "Autofac.", "AutoMapper.", "StackExchange.", "MongoDB.", "RabbitMQ.", "MassTransit.", "FluentValidation.", "Castle.", "NLog.",
	"Azure.", "Amazon.", "Google.", "Swashbuckle.", "Hangfire.", "Quartz.", "lambda_method",
}

func dotnetFrame(s string) frame {
	call, file, _ := strings.Cut(s, " in ")
	if i := strings.IndexByte(call, '('); i > 0 {
		call = call[:i]
	}
	own := !hasPrefix(call, dotnetLibraries...)
	var kept []string
	for p := range strings.SplitSeq(call, ".") {
		p, _, _ = strings.Cut(p, "`")
		p, _, _ = strings.Cut(p, "[")
		for w := range strings.SplitSeq(p, "+") {
			// <Add>d__3, <Add>b__0 and <Add>g__Local|3_0 are in Add; <>c is nothing.
			if inner, rest, ok := strings.Cut(strings.TrimPrefix(w, "<"), ">"); ok {
				w = inner
				_ = rest
			}
			if w != "" && w != "MoveNext" && !number(w) {
				kept = append(kept, w)
			}
		}
	}
	if n := len(kept); n > 1 && kept[n-1] == kept[n-2] {
		kept = kept[:n-1]
	}
	return frame{name: lastParts(strings.Join(kept, "."), 3), place: shortPlace(strings.Replace(file, ":line ", ":", 1)), own: own}
}

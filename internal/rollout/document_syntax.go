package rollout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

var (
	yamlError = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)
	// Errors of the grammar, as opposed to those of the scanner, are reported
	// by the parser with lines that count from 0.
	grammarError = regexp.MustCompile(`^did not find expected (?:'|node content|key|<)`)
	// Errors of a block are reported at its beginning, which may be far above.
	blockError    = regexp.MustCompile(`^did not find expected (?:key|'-' indicator)`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
)

// syntaxProblem locates a parser's error, which names a line at most, and says
// what usually causes it.
func syntaxProblem(file string, data []byte, err error) Located {
	if p, ok := jsonProblem(file, data); ok {
		return p
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	m := yamlError.FindStringSubmatch(text)
	message := m[2]
	lines := strings.SplitAfter(string(data), "\n")
	line, _ := strconv.Atoi(m[1])
	if grammarError.MatchString(message) {
		line++
	}
	p := Located{File: file, Problem: Problem{
		Message: "this is not YAML: " + message,
		Mend:    "check the indentation and the quotes here and in the line above",
	}}
	switch {
	case unknownAnchor.MatchString(message):
		name := unknownAnchor.FindStringSubmatch(message)[1]
		p.Message, p.Mend = "*"+name+" refers to an anchor that is not written above", "write &"+name+" before the value it is to repeat, or quote a text that begins with *"
		p.Line, p.Column = find(lines, "*"+name)
		return p
	case message == "control characters are not allowed":
		p.Message, p.Mend = "this character is not printable, which YAML forbids", `remove it, or write its code in double quotes, such as "\x00"`
		p.Line, p.Column = position(data, bytes.IndexFunc(data, isControl))
		return p
	case message == "found incompatible YAML document":
		p.Message, p.Mend = "this version of YAML is not known", "remove the line, or write %YAML 1.1"
		p.Line, p.Column = find(lines, "%YAML")
		return p
	case blockError.MatchString(message):
		line = lastOfFirstFailing(lines, message)
		p.Message, p.Mend = "the line does not fit those above it", "indent it as its neighbours are, with spaces"
	}
	p.Line = min(max(line, 1), len(lines))
	// The parser may name the line before or after the one with the tab.
	for _, l := range []int{p.Line, p.Line + 1, p.Line - 1} {
		if l < 1 || l > len(lines) {
			continue
		}
		if tab := strings.IndexByte(indent(lines[l-1]), '\t'); tab >= 0 {
			p.Line, p.Column = l, tab+1
			p.Message, p.Mend = "the line is indented with a tab, which YAML forbids", "indent with spaces"
			return p
		}
	}
	p.Column = 1 + len(indent(lines[p.Line-1]))
	return p
}

// startsAsJSON matches the beginning of what is meant to be JSON: YAML, which may
// begin so too, hardly does.
var startsAsJSON = regexp.MustCompile(`^\s*\{\s*"`)

// jsonProblem is syntaxProblem for a file in JSON, whose own parser knows the place
// where YAML's only knows where the braces begin.
func jsonProblem(file string, data []byte) (Located, bool) {
	var syntax *json.SyntaxError
	if !startsAsJSON.Match(data) || bytes.Contains(data, []byte("\n---")) || !errors.As(json.Unmarshal(data, new(any)), &syntax) {
		return Located{}, false
	}
	p := Located{File: file, Problem: Problem{
		Message: "this is not JSON: " + syntax.Error(),
		Mend:    "check the commas, the quotes and the brackets here and in the line above",
	}}
	p.Line, p.Column = position(data, int(syntax.Offset)-1)
	return p, true
}

// position is the line and column of a byte; a negative one stands for the first.
func position(data []byte, at int) (line, column int) {
	before := data[:min(max(at, 0), len(data))]
	return 1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[1+bytes.LastIndexByte(before, '\n'):])
}

// isControl reports what may stand in no YAML file.
func isControl(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85
}

func indent(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// find returns where text first occurs.
func find(lines []string, text string) (line, column int) {
	for i, l := range lines {
		if at := strings.Index(l, text); at >= 0 {
			return i + 1, 1 + utf8.RuneCountInString(l[:at])
		}
	}
	return 1, 1
}

// lastOfFirstFailing returns the line that makes the file fail with message:
// the last one of the shortest beginning of the file that fails so.
func lastOfFirstFailing(lines []string, message string) int {
	n := sort.Search(len(lines), func(n int) bool {
		err := parses([]byte(strings.Join(lines[:n+1], "")))
		return err != nil && strings.HasSuffix(err.Error(), message)
	})
	return n + 1
}

// parses returns the error of the first document that does not parse.
func parses(data []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

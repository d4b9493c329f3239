package exceptions

import (
	"strings"
	"unicode/utf8"
)

// Bounds of the two parts of a class.
const (
	longestType = 60
	longestName = 90
)

// classOf joins both parts of a class.
func classOf(typ, where string) string {
	typ = clean(typ, longestType)
	if typ == "" {
		return ""
	}
	if where = clean(where, longestName); where == "" {
		return typ
	}
	return typ + "@" + where
}

// clean keeps of a name what names consist of, without what differs from build to
// build: long numbers and hashes become #.
func clean(s string, longest int) string {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < longest; {
		end, digits, hex := i, 0, true
		for end < len(s) && alphanumeric(s[end]) {
			if c := s[end]; c >= '0' && c <= '9' {
				digits++
			} else if c < 'a' || c > 'f' {
				hex = false
			}
			end++
		}
		switch n := end - i; {
		case n == 0:
			switch c := s[i]; {
			case c == '_', c == '.', c == ':', c == '-', c == '[', c == ']', c == '#', c == ' ' && i > 0 && i < len(s)-1:
				b.WriteByte(c)
			case c >= utf8.RuneSelf:
				// Letters of other alphabets are names as well.
				r, size := utf8.DecodeRuneInString(s[i:])
				if r != utf8.RuneError && b.Len()+size <= longest {
					b.WriteRune(r)
				}
				i += size
				continue
			}
			i++
		case n >= 6 && digits >= 2 && hex, digits >= 5:
			b.WriteByte('#')
			i = end
		default:
			b.WriteString(s[i:min(end, i+longest-b.Len())])
			i = end
		}
	}
	return strings.Trim(b.String(), " .:-")
}

// typeName is the last part of a type's name: java.io.IOException is
// IOException, Shop::CartError is CartError.
func typeName(s string) string {
	s = strings.TrimSpace(s)
	if i := genericBegins.index(s); i > 0 {
		s = s[:i] // generic arguments
	}
	s = typeEnds.trimRight(s)
	if i := pathMarks.lastIndex(s); i >= 0 {
		s = s[i+1:]
	}
	if !identifier(s) {
		return ""
	}
	return s
}

func identifier(s string) bool {
	if s == "" || len(s) > longestType || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '_' {
			return false
		}
	}
	return true
}

// typeEndings are how the names of exceptions end.
var typeEndings = []string{"Error", "Exception", "Throwable", "Failure", "Fault", "Panic", "Timeout", "Interrupt", "Exit"}

// byteSet says of each byte whether it is in a set, at once: most words are
// looked at for this alone.
type byteSet [256]bool

func setOf(chars string) *byteSet {
	in := &byteSet{}
	for i := range len(chars) {
		in[chars[i]] = true
	}
	return in
}

// index is where the first byte of the set is; -1 without one.
func (in *byteSet) index(s string) int {
	for i := range len(s) {
		if in[s[i]] {
			return i
		}
	}
	return -1
}

// lastIndex is where the last byte of the set is; -1 without one.
func (in *byteSet) lastIndex(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if in[s[i]] {
			return i
		}
	}
	return -1
}

func (in *byteSet) trimLeft(s string) string {
	for s != "" && in[s[0]] {
		s = s[1:]
	}
	return s
}

func (in *byteSet) trimRight(s string) string {
	for s != "" && in[s[len(s)-1]] {
		s = s[:len(s)-1]
	}
	return s
}

var (
	blanks = setOf(" \t")
	// quoteBegins may stand before a type, callBegins and genericBegins begin what
	// is behind its name, typeEnds are what may follow it, and pathMarks part it
	// from what it is in.
	quoteBegins   = setOf("([{\"'*")
	callBegins    = setOf("([\"")
	genericBegins = setOf("<`")
	typeEnds      = setOf(":.,;)]}")
	pathMarks     = setOf(".:\\/$")
	// typeBytes are what names of types and their paths consist of.
	typeBytes = func() *byteSet {
		in := setOf("_.:$\\/`")
		for c := range in {
			in[c] = in[c] || alphanumeric(byte(c))
		}
		return in
	}()
)

// throwable says whether a word is the name of an exception, and the name.
func throwable(word string) (name string, ok bool) {
	word = quoteBegins.trimLeft(word)
	if i := callBegins.index(word); i > 0 {
		word = word[:i]
	}
	for i := range len(word) {
		if !typeBytes[word[i]] {
			return "", false
		}
	}
	name = typeName(word)
	if name == "" || name[0] < 'A' || name[0] > 'Z' {
		return "", false
	}
	for _, e := range typeEndings {
		if strings.HasSuffix(name, e) {
			return name, true
		}
	}
	return "", false
}

// typeToken finds the name of an exception in a line, and what is behind it:
// the first word that is one, with a colon behind it or at the line's end.
func typeToken(line string) (name, rest string) {
	const words = 40
	left := line
	for range words {
		left = blanks.trimLeft(left)
		if left == "" {
			return "", ""
		}
		word, after, _ := strings.Cut(left, " ")
		if after == "" || word != "" && word[len(word)-1] == ':' || after[0] == '[' || after[0] == '(' {
			if n, ok := throwable(word); ok {
				return n, after
			}
		}
		left = after
	}
	return "", ""
}

// stem is a file's name without folders and extensions; of a file called
// __init__ or index, its folder's.
func stem(path string) string {
	path = strings.ReplaceAll(path, "\\", "/")
	path, _, _ = strings.Cut(path, "?")
	dir := ""
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, path = path[:i], path[i+1:]
	}
	name, _, _ := strings.Cut(path, ".")
	if (name == "__init__" || name == "index" || name == "__main__") && dir != "" {
		if i := strings.LastIndexByte(dir, '/'); i >= 0 {
			dir = dir[i+1:]
		}
		if dir != "" {
			return dir
		}
	}
	return name
}

// lastParts are the last n parts of a dotted name.
func lastParts(s string, n int) string {
	end := len(s)
	for range n {
		i := strings.LastIndexByte(s[:end], '.')
		if i < 0 {
			return s
		}
		end = i
	}
	return s[end+1:]
}

// printable replaces what would move a terminal's cursor.
func printable(s string) string {
	const longest = 200
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "")
	}
	plain := true
	for i := range len(s) {
		plain = plain && s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

func contains(s string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

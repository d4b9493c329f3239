package exceptions

import "strings"

// memo remembers what lines of traces were read as: a program that fails writes
// the same frames again and again, and to look a line up costs a tenth of
// reading it. It forgets all when it is full.
type memo struct {
	// at holds frames that begin with "at", by their line, and python Python's; calls the functions of
	// Go's, by how they are called, and golang frames of Go, by both their lines.
	at     map[string]frame
	python map[string]frame
	calls  map[string]goCall
	golang map[goFrameKey]frame
	// keys holds those of structured logs; types, functions, callers and loggers
	// what their values name.
	keys                               map[string]*jsonKey
	types, functions, callers, loggers map[string]string
	// order holds the latest keys by their place in their line, and level the
	// latest name of a level.
	order [32]*jsonKey
	level *jsonKey
	// stacks holds traces inside structured lines, by their text as it is written
	// there; nil for a text that is none.
	stacks map[string]*trace
	// classes holds the names of classes, by their parts, and criticals whether a
	// type is critical.
	classes   map[classParts]class
	criticals map[string]bool
}

// goFrameKey is what a frame of Go's is read from.
type goFrameKey struct{ path, place string }

// classParts is what a class is named after, and class that name and whether its
// type alone makes it critical.
type classParts struct{ typ, where string }

type class struct {
	name     string
	critical bool
}

// Bounds of one of its maps, and of what is worth remembering.
const (
	mostRemembered    = 256
	longestRemembered = 300

	mostStacksRemembered   = 32
	longestStackRemembered = 8 << 10
)

func newMemo() *memo {
	return &memo{
		at: map[string]frame{}, python: map[string]frame{}, calls: map[string]goCall{}, golang: map[goFrameKey]frame{},
		keys: map[string]*jsonKey{}, types: map[string]string{}, functions: map[string]string{}, callers: map[string]string{}, loggers: map[string]string{},
		stacks: map[string]*trace{}, classes: map[classParts]class{}, criticals: map[string]bool{},
	}
}

// named is what read makes of a value of a structured log, remembered.
func named(in map[string]string, raw []byte, read func(string) string) string {
	if name, ok := in[string(raw)]; ok {
		return name
	}
	name := read(unescaped(raw))
	remember(in, string(raw), len(raw), name)
	return name
}

// class is that of a type and where it was thrown.
func (m *memo) class(typ, where string) class {
	parts := classParts{typ, where}
	c, ok := m.classes[parts]
	if !ok {
		c = class{classOf(typ, where), criticalType(typ)}
		remember(m.classes, parts, len(typ)+len(where), c)
	}
	return c
}

// critical is criticalType, remembered.
func (m *memo) critical(typ string) bool {
	is, ok := m.criticals[typ]
	if !ok {
		is = criticalType(typ)
		remember(m.criticals, strings.Clone(typ), len(typ), is)
	}
	return is
}

// remember keeps what something stands for, in a map of the memo; size is how
// long it is.
func remember[K comparable, V any](in map[K]V, key K, size int, v V) {
	if size > longestRemembered {
		return
	}
	if len(in) >= mostRemembered {
		clear(in)
	}
	in[key] = v
}

func (m *memo) rememberStack(raw []byte, t *trace) {
	if len(raw) > longestStackRemembered {
		return
	}
	if len(m.stacks) >= mostStacksRemembered {
		clear(m.stacks)
	}
	m.stacks[string(raw)] = t
}

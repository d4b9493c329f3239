package exceptions

// memo remembers what lines of traces were read as: a program that fails writes
// the same frames again and again, and to look a line up costs a tenth of
// reading it. It forgets all when it is full.
type memo struct {
	// at holds frames that begin with "at", by their line; calls the functions of
	// Go's, by how they are called; keys those of structured logs in small
	// letters.
	at    map[string]frame
	calls map[string]goCall
	keys  map[string]string
	// stacks holds traces inside structured lines, by their text.
	stacks map[string]*trace
}

// Bounds of one of its maps, and of what is worth remembering.
const (
	mostRemembered    = 256
	longestRemembered = 300

	mostStacksRemembered   = 32
	longestStackRemembered = 8 << 10
)

func newMemo() *memo {
	return &memo{at: map[string]frame{}, calls: map[string]goCall{}, keys: map[string]string{}, stacks: map[string]*trace{}}
}

// remember keeps what a line stands for, in a map of the memo.
func remember[V any](in map[string]V, line string, v V) {
	if len(line) > longestRemembered {
		return
	}
	if len(in) >= mostRemembered {
		clear(in)
	}
	in[line] = v
}

func (m *memo) rememberStack(stack string, t *trace) {
	if len(stack) > longestStackRemembered {
		return
	}
	if len(m.stacks) >= mostStacksRemembered {
		clear(m.stacks)
	}
	m.stacks[stack] = t
}

package command

import (
	"strings"

	"serin.dev/serin/internal/credential"
)

// maxOutput is how much of what a program printed is kept: its end, where the
// reason for a failure is.
const maxOutput = 4 << 10

// tail keeps the last bytes written to it, in bounded memory.
type tail struct {
	buf  []byte
	keep int
	lost bool
}

// newTail keeps enough that scrubbing can drop what may be half a secret.
func newTail(scrubber credential.Scrubber) *tail {
	return &tail{keep: maxOutput + scrubber.Longest()}
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if n > t.keep {
		p, t.lost, t.buf = p[n-t.keep:], true, t.buf[:0]
	}
	// Compacting only at twice the size makes a byte cost at most one copy.
	if len(t.buf)+len(p) > 2*t.keep {
		kept := copy(t.buf, t.buf[len(t.buf)-(t.keep-len(p)):])
		t.buf, t.lost = t.buf[:kept], true
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// text returns the end of what was written, scrubbed, at most maxOutput bytes.
func (t *tail) text(scrubber credential.Scrubber) string {
	b := t.buf
	if len(b) > t.keep {
		b, t.lost = b[len(b)-t.keep:], true
	}
	s := scrubber.Scrub(string(b))
	if t.lost {
		// A secret that was cut at the front is not recognised any more.
		s = s[min(scrubber.Longest(), len(s)):]
	}
	if len(s) > maxOutput {
		s = s[len(s)-maxOutput:]
	}
	return strings.ToValidUTF8(s, "")
}

// lastLine returns the last line with something in it.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

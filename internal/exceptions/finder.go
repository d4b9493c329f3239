package exceptions

import "math/bits"

// finder says whether a line holds one of a few short texts. It looks at every
// third pair of bytes only: a text of four bytes or more has one of three
// neighbouring pairs at such a place.
type finder struct {
	// by holds for each pair of bytes the texts that have it, a bit each.
	by [1 << 16]uint16
	// texts are what is looked for; the pairs at from, from+1 and from+2 stand
	// for one.
	texts []needle
}

type needle struct {
	text string
	from int
}

const stride = 3

func newFinder(texts ...needle) *finder {
	f := &finder{texts: texts}
	for i, n := range texts {
		for off := n.from; off < n.from+stride; off++ {
			f.by[pair(n.text[off], n.text[off+1])] |= 1 << i
		}
	}
	return f
}

func pair(a, b byte) uint16 { return uint16(a)<<8 | uint16(b) }

// in says whether a line holds any of the texts.
func (f *finder) in(line []byte) bool {
	for i := 0; i+1 < len(line); i += stride {
		if m := f.by[pair(line[i], line[i+1])]; m != 0 && f.at(line, i, m) != 0 {
			return true
		}
	}
	return false
}

// all are the texts that a line holds, a bit each.
func (f *finder) all(line []byte) (found uint16) {
	for i := 0; i+1 < len(line); i += stride {
		if m := f.by[pair(line[i], line[i+1])] &^ found; m != 0 {
			found |= f.at(line, i, m)
		}
	}
	return found
}

// at are those of the texts in m that have a pair at i.
func (f *finder) at(line []byte, i int, m uint16) (found uint16) {
	for ; m != 0; m &= m - 1 {
		id := bits.TrailingZeros16(m)
		n := f.texts[id]
		for off := n.from; off < n.from+stride; off++ {
			if from := i - off; from >= 0 && from+len(n.text) <= len(line) && string(line[from:from+len(n.text)]) == n.text {
				found |= 1 << id
			}
		}
	}
	return found
}

// The texts that begin traces, and those in structured lines that may tell of
// an exception. The numbers choose the pairs that are rare in logs.
var (
	beginnings = newFinder(
		needle{"panic", 0}, needle{"fatal error: ", 0}, needle{"Traceback", 4}, needle{".rb:", 0}, needle{"Uncaught", 3},
		needle{" memory", 2}, needle{"terminate called", 3}, needle{"Rejection", 1}, needle{"java.lang.", 0},
		needle{"Stack trace:", 0}, needle{"[object] (", 0}, needle{"\tat ", 0}, needle{"   at ", 0},
	)
	tellings = newFinder(
		needle{"rror", 0}, needle{"xception", 0}, needle{"stack", 1}, needle{"panic", 0}, needle{"exc_info", 1}, needle{`"@x"`, 0},
		needle{"raceback", 4}, needle{`"err"`, 0}, needle{"thrown", 1},
	)
)

// The bits of beginnings.
const (
	beginsPanic = 1 << iota
	beginsFatal
	beginsTraceback
	beginsRuby
	beginsUncaught
	beginsMemory
	beginsTerminate
	beginsRejection
	beginsJava
	beginsStack
	beginsObject
	beginsAt
	beginsAtBlanks
	// beginsIndented is no text: the line is blanks and a frame.
	beginsIndented
)

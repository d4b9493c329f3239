package judge

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"serin.dev/serin/internal/engine"
)

// maxLine bounds one line.
const maxLine = 64 << 20

// Result is what a stream came to.
type Result struct {
	Decision engine.Kind
	// Lines counts the lines that were judged, Malformed those that were not.
	Lines, Malformed int
}

// failure is the output line for a malformed input line.
type failure struct {
	Error string `json:"error"`
}

// Stream judges the lines of in until it ends and answers each on out at once:
// nothing answered is ever held back while the next line is waited for. Each
// warning is told once.
func Stream(plan engine.Plan, in io.Reader, out io.Writer, warn func(string)) (Result, error) {
	s := &stream{judge: New(plan), out: bufio.NewWriterSize(out, 64<<10), warn: warn, warned: map[string]bool{}}
	s.encode = json.NewEncoder(s.out)
	s.encode.SetEscapeHTML(false)
	lines := &lineReader{r: bufio.NewReaderSize(in, 64<<10)}
	for n := 1; ; n++ {
		raw, err := lines.next()
		if n == 1 {
			// Some programs on Windows begin what they write with this mark; a
			// reader may ignore it (RFC 8259, 8.1).
			raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
		}
		switch {
		case errors.Is(err, io.EOF):
			s.result.Decision = s.judge.Decision()
			return s.result, s.out.Flush()
		case errors.Is(err, errTooLong):
			err = s.malformed(n, err)
		case err != nil:
			return s.result, errors.Join(fmt.Errorf("read line %d: %w", n, err), s.out.Flush())
		case len(bytes.TrimSpace(raw)) == 0:
			continue
		default:
			err = s.line(n, bytes.TrimRight(raw, "\r\n"))
		}
		if err == nil && !lines.ready() {
			err = s.out.Flush()
		}
		if err != nil {
			return s.result, fmt.Errorf("answer line %d: %w", n, err)
		}
	}
}

type stream struct {
	judge  *Judge
	out    *bufio.Writer
	encode *json.Encoder
	warn   func(string)
	warned map[string]bool
	result Result
}

func (s *stream) line(n int, raw []byte) error {
	t, unknown, err := parse(raw)
	if err != nil {
		return s.malformed(n, err)
	}
	answer, err := s.judge.Tick(t)
	if err != nil {
		return s.malformed(n, err)
	}
	const most = 100
	for _, key := range unknown {
		if !s.warned[key] && len(s.warned) < most {
			s.warned[key] = true
			s.warn(fmt.Sprintf("line %d: the key %q is not known and is ignored; if it is misspelt, its figures are missing", n, key))
		}
	}
	s.result.Lines++
	return s.encode.Encode(answer)
}

func (s *stream) malformed(n int, err error) error {
	s.result.Malformed++
	return s.encode.Encode(failure{fmt.Sprintf("line %d: %v", n, err)})
}

var errTooLong = fmt.Errorf("is longer than %d MiB", maxLine>>20)

// lineReader reads lines of bounded length.
type lineReader struct {
	r   *bufio.Reader
	buf []byte
}

// next returns the next line without its end, good until the call after it. A
// line that is too long is read to its end and is errTooLong.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	tooLong := false
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf)+len(part) > maxLine {
			tooLong, l.buf = true, nil
		}
		if !tooLong {
			if err == nil && len(l.buf) == 0 {
				return part, nil
			}
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(l.buf) == 0 && !tooLong:
			return nil, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case tooLong:
			return nil, errTooLong
		}
		return l.buf, nil
	}
}

// ready reports whether a whole line is there already.
func (l *lineReader) ready() bool {
	buffered, err := l.r.Peek(l.r.Buffered())
	return err == nil && bytes.IndexByte(buffered, '\n') >= 0
}

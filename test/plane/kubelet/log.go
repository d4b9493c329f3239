package kubelet

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// logWriter keeps what a container says, each line with its time and stream, as
// container runtimes do.
type logWriter struct {
	mu   sync.Mutex
	file *os.File
	part map[string][]byte // of the last line of a stream, not ended yet
}

func createLog(path string) (*logWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("keep the container's log: %w", err)
	}
	return &logWriter{file: f, part: map[string][]byte{}}, nil
}

// longestLine is where a line without an end is cut.
const longestLine = 16 << 10

// stream returns what a process writes one of its streams to.
func (l *logWriter) stream(name string) streamWriter { return streamWriter{l, name} }

type streamWriter struct {
	log  *logWriter
	name string
}

func (s streamWriter) Write(b []byte) (int, error) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	part := append(l.part[s.name], b...)
	for {
		line, rest, ended := bytes.Cut(part, []byte("\n"))
		if !ended {
			if len(part) < longestLine {
				l.part[s.name] = part
				return len(b), nil
			}
			line, rest = part, nil
		}
		if err := l.line(s.name, line); err != nil {
			return 0, err
		}
		part = append([]byte(nil), rest...)
	}
}

func (l *logWriter) line(stream string, text []byte) error {
	_, err := fmt.Fprintf(l.file, "%s %s F %s\n", time.Now().UTC().Format(time.RFC3339Nano), stream, text)
	return err
}

// Close keeps what has no end of line too.
func (l *logWriter) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for stream, text := range l.part {
		if len(text) > 0 {
			_ = l.line(stream, text) // the process is over; nobody could be told
		}
	}
	return l.file.Close()
}

// logLine is a line of a log as it was kept.
type logLine struct {
	at     time.Time
	stream string
	text   string
}

func parseLine(s string) (logLine, bool) {
	part := strings.SplitN(s, " ", 4)
	if len(part) != 4 {
		return logLine{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, part[0])
	return logLine{at: at, stream: part[1], text: part[3]}, err == nil
}

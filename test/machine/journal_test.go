package machine

import (
	"strings"
	"sync"
	"time"
)

// journal keeps what a program writes, with the time of every piece.
type journal struct {
	mu    sync.Mutex
	text  strings.Builder
	marks []mark
}

type mark struct {
	upTo int
	at   time.Time
}

func newJournal() *journal { return &journal{} }

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(p)
	j.marks = append(j.marks, mark{j.text.Len(), time.Now()})
	return len(p), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// when says when a text was first written.
func (j *journal) when(text string) (time.Time, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := strings.Index(j.text.String(), text)
	if n < 0 {
		return time.Time{}, false
	}
	for _, m := range j.marks {
		if m.upTo >= n+len(text) {
			return m.at, true
		}
	}
	return time.Time{}, false
}

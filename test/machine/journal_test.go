package machine

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// journal is a file that a program and its successors write to, with the time
// at which every piece of it was first seen.
type journal struct {
	file *os.File

	mu    sync.Mutex
	marks []mark
}

type mark struct {
	upTo int
	at   time.Time
}

// journalInterval is how exactly the times are known.
const journalInterval = 5 * time.Millisecond

func newJournal(t *testing.T) *journal {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "journal")
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{file: f}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			j.look()
			select {
			case <-time.After(journalInterval):
			case <-quit:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(quit)
		<-done
		f.Close()
	})
	return j
}

// look notes how long the file is by now.
func (j *journal) look() {
	info, err := j.file.Stat()
	if err != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.marks); n == 0 || j.marks[n-1].upTo < int(info.Size()) {
		j.marks = append(j.marks, mark{int(info.Size()), time.Now()})
	}
}

func (j *journal) String() string {
	data, err := os.ReadFile(j.file.Name())
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return string(data)
}

// when says when a text was first seen.
func (j *journal) when(text string) (time.Time, bool) {
	n := strings.Index(j.String(), text)
	if n < 0 {
		return time.Time{}, false
	}
	j.look()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range j.marks {
		if m.upTo >= n+len(text) {
			return m.at, true
		}
	}
	return time.Now(), true
}

package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// progressBar is a line on a terminal's stderr that says how far a long command
// has come, and how fast it goes. Elsewhere it shows nothing.
type progressBar struct {
	c     *command
	what  string
	shown bool

	mu    sync.Mutex
	began time.Time
	next  time.Time
	// done of all were done when the speed began to be measured.
	done, all int
}

func (c *command) newBar(what string) *progressBar {
	now := time.Now()
	return &progressBar{c: c, what: what, shown: interactive(c.err), began: now, next: now.Add(300 * time.Millisecond)}
}

// show says that so many of all are done. It may be called from several
// goroutines.
func (b *progressBar) show(done, all int) {
	if !b.shown {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Before(b.next) {
		return
	}
	if all != b.all {
		b.all, b.began, b.done = all, now, done
	}
	b.next = now.Add(100 * time.Millisecond)
	const columns = 30
	full := columns * done / max(1, all)
	line := fmt.Sprintf("%s%s %d of %d %s", strings.Repeat("█", full), strings.Repeat("░", columns-full), done, all, b.what)
	if lasted := now.Sub(b.began).Seconds(); lasted > 0.2 {
		line += fmt.Sprintf(", %.0f a second", float64(done-b.done)/lasted)
	}
	fmt.Fprintf(b.c.err, "\r\x1b[K%s", line)
}

// end takes the line away.
func (b *progressBar) end() {
	if b.shown {
		fmt.Fprint(b.c.err, "\r\x1b[K")
	}
}

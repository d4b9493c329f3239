package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"serin.dev/serin/internal/cli/view"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/server"
)

const (
	// redraw is how often a view is drawn although nothing happened: its clocks
	// go on.
	redraw = 250 * time.Millisecond
	// absence is how long a program that has stopped answering is waited for:
	// it may be restarting.
	absence = time.Minute
)

// display is where a run is shown while it is followed, and where log lines go
// meanwhile.
type display struct {
	mu sync.Mutex
	w  io.Writer
	// screen is nil where there is no terminal.
	screen *view.Screen
	// standing: a view is on the screen.
	standing bool
	last     view.Model
}

// displayOn returns a steady view on a terminal, and lines elsewhere.
func displayOn(w io.Writer) *display {
	d := &display{w: w}
	if interactive(w) {
		d.screen = view.NewScreen(w, size(w), colored(w))
	}
	return d
}

func (d *display) show(m view.Model) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer func() { d.last = m }()
	if d.screen != nil {
		d.standing = true
		return d.screen.Show(m)
	}
	for _, line := range view.Lines(d.last, m) {
		if _, err := fmt.Fprintln(d.w, line); err != nil {
			return err
		}
	}
	return nil
}

// Write puts whole lines above a view that stands.
func (d *display) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.standing {
		return d.w.Write(p)
	}
	for line := range strings.SplitSeq(strings.TrimRight(string(p), "\n"), "\n") {
		if err := d.screen.Say(line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (d *display) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.standing {
		return nil
	}
	d.standing = false
	return d.screen.Close()
}

// follower follows one run through the API.
type follower struct {
	link *link
	id   string
	// again reaches the program anew when it has stopped answering; nil: it is
	// not waited for.
	again func(context.Context) (*link, error)
	// latest is the run as last seen.
	latest server.Run
}

// follow shows the run until it has ended.
func (f *follower) follow(ctx context.Context, d *display) error {
	_, err := view.Follow(ctx, f.news, redraw, d.show)
	return errors.Join(err, d.close())
}

// news is a view.Feed.
func (f *follower) news(ctx context.Context, after int) (view.News, error) {
	events, err := f.link.Events(ctx, f.id, after, f.link.newsWait())
	if f.again != nil && ctx.Err() == nil && away(err) {
		events, err = f.askAgain(ctx, after, err)
	}
	if err != nil {
		return view.News{}, err
	}
	f.latest = events.Run
	return view.News{Run: events.Run.Stored(), Lines: events.Lines}, nil
}

// away reports that nobody answered, or that who did has no answer from what it
// asks itself, as the API server of a cluster.
func away(err error) bool {
	return err != nil && (!server.Answered(err) || server.HasCode(err, server.CodeUnavailable))
}

// askAgain tries to reach the program again, until it has news.
func (f *follower) askAgain(ctx context.Context, after int, why error) (server.Events, error) {
	ctx, cancel := context.WithTimeout(ctx, absence)
	defer cancel()
	for {
		if l, err := f.again(ctx); err == nil {
			events, err := l.Events(ctx, f.id, after, l.newsWait())
			if ctx.Err() == nil && !away(err) {
				f.link.close()
				*f.link = *l
				return events, err
			}
			l.close()
		}
		select {
		case <-time.After(redraw):
		case <-ctx.Done():
			if server.Answered(why) {
				return server.Events{}, why
			}
			return server.Events{}, unreachable("serin has stopped answering (%w); the run goes on when `serin serve` is started again", why)
		}
	}
}

// end is the exit of a command that waited for a run.
func end(s engine.State) error {
	switch s.Status {
	case engine.Promoted:
		return nil
	case engine.RolledBack:
		return &exit{code: exitRolledBack}
	}
	return &exit{code: exitWaiting}
}

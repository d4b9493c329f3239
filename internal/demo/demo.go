// Package demo shows Serin at work on a sample shop: a good version that is
// promoted and two bad ones that are rolled back, on real processes and real
// requests. It runs the daemon as it is and speaks to it over its API, as a user
// does; it must not know how a version is judged, and has no say in it.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	machine "github.com/shirou/gopsutil/v4/load"

	"serin.dev/serin/internal/cli/view"
	"serin.dev/serin/internal/demo/load"
	"serin.dev/serin/internal/engine"
)

// Options are where and on what the demo runs.
type Options struct {
	Out io.Writer
	// Terminal: Out is one, so there is a view that is redrawn; Color allows
	// color, and Size is asked before each drawing.
	Terminal, Color bool
	Size            func() (width, height int)
	// Program is the path of the program that "demo-shop" is a command of.
	Program string
	// Dir is where everything is left; empty makes a new folder.
	Dir string
	// Seed makes the users and the shop's chance repeatable; 0 takes a new one.
	Seed uint64
	// Serve is the daemon: it serves the rollouts in the folder dir until ctx
	// ends, keeps its state in another, and tells the address of each rollout
	// once it serves.
	Serve func(ctx context.Context, state, dir string, ready func(listen map[string]string)) error
	// Stay goes on serving the shop and its users after the story, until ctx
	// ends.
	Stay bool
}

// rate and users are how busy the shop is: enough to tell a version that fails
// three times as often within seconds, little enough for a small machine.
const (
	rate  = 600
	users = 10000
)

// Bounds of what the demo waits for.
const (
	openTime    = 20 * time.Second
	storyTime   = 55 * time.Second
	archiveTime = 10 * time.Second
	redraw      = 200 * time.Millisecond
	warmUp      = time.Second
)

// ErrUnexpected is wrapped when the story ended otherwise than it should have.
var ErrUnexpected = errors.New("the demo did not end as expected")

// Run tells the story. When it ended otherwise than expected, that is told and
// the error wraps ErrUnexpected.
func Run(ctx context.Context, o Options) error { return run(ctx, o, story) }

func run(ctx context.Context, o Options, story []chapter) (err error) {
	if o.Seed == 0 {
		o.Seed = rand.Uint64() >> 1
	}
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "serin-demo-"); err != nil {
			return fmt.Errorf("make a folder for the demo: %w; set TMPDIR to a folder that can be written", err)
		}
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return fmt.Errorf("find the demo's folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, stateDir)); err == nil {
		return fmt.Errorf("an earlier demo left its state there; name another folder, or none: %w",
			&fs.PathError{Op: "demo in", Path: o.Dir, Err: fs.ErrExist})
	}
	began := time.Now()
	h, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()

	visiting, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	l, err := load.Start(visiting, load.Config{URL: h.url, Rate: rate, Users: users, Seed: o.Seed})
	if err != nil {
		return fmt.Errorf("let users in: %w", err)
	}
	t := newTeller(o, len(story))
	defer func() { err = errors.Join(err, t.close()) }()
	t.opening(h.url, o.Seed)
	// The shop's first answers are slower than the others: its connections are
	// still being made.
	if err := sleep(ctx, warmUp); err != nil {
		return interrupted(err)
	}
	told, err := tellAll(ctx, h, l, t, story)
	if err != nil && !errors.Is(err, errTimeUp) {
		return interrupted(err)
	}
	if err := t.close(); err != nil {
		return fmt.Errorf("show the view: %w", err)
	}
	if !o.Stay {
		l.Stop()
	}
	counts := l.Counts()
	t.closing(told, counts, time.Since(began), o.Dir)
	outcome := verdict(told, counts)
	if outcome != nil {
		t.busy(loadAverage(), runtime.NumCPU())
	}
	if o.Stay {
		t.staying(h, o.Program)
		<-ctx.Done()
		l.Stop()
	}
	return outcome
}

// loadAverage is how many programs waited for a processor, or ran, in the last
// minute; 0 where it cannot be known.
func loadAverage() float64 {
	a, err := machine.Avg()
	if err != nil {
		return 0
	}
	return a.Load1
}

// interrupted says so when it was the user who ended the demo.
func interrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("the demo was interrupted: %w", err)
	}
	return err
}

// errTimeUp is wrapped when the story took too long to be told to its end.
var errTimeUp = errors.New("the demo's time is up")

// tellAll tells the chapters, as many as there is time for.
func tellAll(ctx context.Context, h *home, l *load.Load, t *teller, story []chapter) ([]ending, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, storyTime, errTimeUp)
	defer cancel()
	var told []ending
	for i, c := range story {
		e, err := tell(ctx, h, l, t, i, c)
		if errors.Is(context.Cause(ctx), errTimeUp) {
			// What is known of it is told; the rest of the story is not.
			return append(told, e), errTimeUp
		}
		if err != nil {
			return told, err
		}
		told = append(told, e)
	}
	return told, nil
}

// tell releases a chapter's version and shows the run until it has ended.
func tell(ctx context.Context, h *home, l *load.Load, t *teller, i int, c chapter) (ending, error) {
	t.chapter(i, c)
	e := ending{chapter: c, before: l.Counts()}
	v := c.change(h.serving)
	run, err := h.release(ctx, c.version, v)
	if err != nil {
		return e, fmt.Errorf("release %s: %w", c.version, err)
	}
	if e.last, err = view.Follow(ctx, h.feed(run), redraw, t.show); err != nil {
		return e, err
	}
	if err := h.archived(ctx, run, &e.last); err != nil {
		return e, err
	}
	if e.last.Status == engine.Promoted {
		h.serving = v
	}
	t.ended(e, l.Counts())
	return e, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

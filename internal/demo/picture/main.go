// Command picture draws the terminal view of a recorded run as an SVG, moving
// or still:
//
//	go run ./internal/demo/picture -o docs/images/demo.svg record.jsonl
//
// It decides the record again, so a picture shows what happened and nothing
// else.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"serin.dev/serin/internal/cli/view"
	"serin.dev/serin/internal/cli/view/svg"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
)

func main() {
	if err := draw(); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func draw() error {
	out := flag.String("o", "", "file to write; default: standard output")
	width := flag.Int("width", 80, "columns of the terminal")
	height := flag.Int("height", 22, "lines of the terminal")
	every := flag.Duration("every", 750*time.Millisecond, "time between two frames; 0 draws the last one only")
	text := flag.Bool("text", false, "write the last frame as plain text")
	flag.Parse()
	if flag.NArg() != 1 {
		return fmt.Errorf("name one record, such as record.jsonl")
	}
	data, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		return err
	}
	w := io.Writer(os.Stdout)
	if *out != "" {
		f, err := os.Create(*out)
		if err != nil {
			return err
		}
		defer f.Close()
		w = f
	}
	film, err := project(data, *every, *width, *height)
	if err != nil {
		return fmt.Errorf("%s: %w", flag.Arg(0), err)
	}
	if *text {
		for _, line := range view.Render(film.last, *width, *height, false) {
			fmt.Fprintln(w, line)
		}
		return nil
	}
	return svg.Write(w, film.title, *width, film.frames)
}

type film struct {
	title  string
	frames []svg.Frame
	last   view.Model
}

// lastFrame is how long the last frame stays.
const lastFrame = 5 * time.Second

// project decides a record again and takes frames of its view.
func project(data []byte, every time.Duration, width, height int) (film, error) {
	var (
		f       film
		run     store.Run
		history view.History
		taken   time.Time
	)
	err := record.Read(bytes.NewReader(data), func(e record.Entry) error {
		history.Add(e)
		switch {
		case e.Header != nil:
			h := e.Header
			run = store.Run{
				ID: h.Run.ID, Rollout: h.Rollout.Name, Plan: h.Plan, State: engine.Start(h.Plan),
				StableVersion: h.Run.StableVersion, CanaryVersion: h.Run.CanaryVersion, StartedAt: h.Run.StartedAt,
			}
			f.title = fmt.Sprintf("%s: %s → %s", run.Rollout, run.StableVersion, run.CanaryVersion)
		case e.Input != nil:
			run.State = engine.Decide(run.Plan, run.State, e.Input.Observation()).Next
			if run.State.Ended() && run.EndedAt.IsZero() {
				run.EndedAt = run.State.At
			}
		case e.Decision != nil:
			f.last = view.FromRun(run, &history, run.State.At)
			if every > 0 && run.State.At.Sub(taken) >= every && !run.State.Ended() {
				taken = run.State.At
				f.frames = append(f.frames, svg.Frame{Lines: view.Render(f.last, width, height, true), For: every})
			}
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	if f.last.Run == "" {
		return f, record.ErrTruncated
	}
	f.frames = append(f.frames, svg.Frame{Lines: view.Render(f.last, width, height, true), For: lastFrame})
	return f, nil
}

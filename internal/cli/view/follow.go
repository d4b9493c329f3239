package view

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/store"
)

// News is what became known of a run: its latest form and the lines that its
// record has grown by.
type News struct {
	Run   store.Run
	Lines []json.RawMessage
}

// Feed returns what is new since line after of the record. It waits until
// something is, but not for longer than a second or so.
type Feed func(ctx context.Context, after int) (News, error)

// patience bounds how long a feed may fail before that is told.
const patience = 10 * time.Second

// Follow shows a run until it has ended, every interval and whenever there is
// news, and returns its last view. It does not act on the run: when ctx ends,
// the run goes on.
func Follow(ctx context.Context, feed Feed, every time.Duration, show func(Model) error) (Model, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type fetched struct {
		news News
		err  error
	}
	// Unbuffered: the next lines are asked for when these have been shown.
	arrived := make(chan fetched)
	go func() {
		defer close(arrived)
		for after, since := 0, time.Now(); ctx.Err() == nil; {
			news, err := feed(ctx, after)
			switch {
			case err == nil:
				since = time.Now()
				after += len(news.Lines)
			case time.Since(since) < patience:
				select {
				case <-time.After(patience / 20):
				case <-ctx.Done():
				}
				continue
			}
			select {
			case arrived <- fetched{news, err}:
			case <-ctx.Done():
			}
			if err != nil {
				return
			}
		}
	}()

	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var (
		history History
		run     store.Run
		model   Model
	)
	for {
		over := false
		select {
		case f, ok := <-arrived:
			if !ok {
				return model, ctx.Err()
			}
			if f.err != nil {
				return model, fmt.Errorf("follow the run: %w", f.err)
			}
			run = f.news.Run
			if err := history.AddLines(f.news.Lines); err != nil {
				return model, fmt.Errorf("follow run %s: %w", run.ID, err)
			}
			over = run.State.Ended() && len(f.news.Lines) == 0
		case <-ticker.C:
			if run.ID == "" {
				continue
			}
		case <-ctx.Done():
			return model, ctx.Err()
		}
		model = FromRun(run, &history, time.Now())
		if err := show(model); err != nil {
			return model, fmt.Errorf("show the run: %w", err)
		}
		if over {
			return model, nil
		}
	}
}

// AddLines takes in lines of the record.
func (h *History) AddLines(lines []json.RawMessage) error {
	for _, line := range lines {
		err := record.Read(bytes.NewReader(line), func(e record.Entry) error {
			h.Add(e)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the record: %w", err)
		}
	}
	return nil
}

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"serin.dev/serin/internal/record"
)

// Bounds of one call for news.
const (
	maxWait     = 30 * time.Second
	eventsLimit = 500
)

// Events is what is new about a run.
type Events struct {
	Run Run `json:"run"`
	// Next is what to pass as after in the next call.
	Next  int               `json:"next" doc:"What to pass as after in the next call"`
	Lines []json.RawMessage `json:"lines" nullable:"false" doc:"New lines of the record, in the record's form"`
	// Live is there while the run goes on in the program that answers.
	Live *LiveNews `json:"live,omitempty" doc:"The latest decision, while the run goes on"`
}

// LiveNews is a Live in the record's form.
type LiveNews struct {
	At       time.Time       `json:"at"`
	Decision json.RawMessage `json:"decision" doc:"The decision, in the record's form"`
	Input    json.RawMessage `json:"input" doc:"The latest tick with its samples, in the record's form"`
}

// Live returns the news in the program's form.
func (n *LiveNews) Live() (Live, error) {
	live := Live{At: n.At}
	if err := json.Unmarshal(n.Decision, &live.Decision); err != nil {
		return live, fmt.Errorf("latest decision: %w", err)
	}
	if err := json.Unmarshal(n.Input, &live.Input); err != nil {
		return live, fmt.Errorf("latest tick: %w", err)
	}
	return live, nil
}

func (a *api) events(doc huma.API) {
	huma.Register(doc, operation(http.MethodGet, "/v1/runs/{id}/events", "awaitEvents",
		"What is new about a run; waits until something is", http.StatusNotFound), a.news)
}

func (a *api) news(ctx context.Context, in *struct {
	ByID
	After int `query:"after" minimum:"0" doc:"Number of lines of the record already known"`
	Wait  int `query:"wait" minimum:"0" maximum:"30" doc:"Seconds to wait for something new; 0: none"`
}) (*body[Events], error) {
	changes, stop := a.backend.Watch(in.ID)
	defer stop()
	bound := time.NewTimer(min(time.Duration(in.Wait)*time.Second, maxWait))
	defer bound.Stop()
	again := time.NewTicker(a.backend.Glance())
	defer again.Stop()
	for over := false; ; {
		// First the run, then its lines: an ended run has all of them.
		r, err := a.run(ctx, in.ID)
		if err != nil {
			return nil, told(err)
		}
		lines, err := a.store().Lines(ctx, in.ID, in.After, eventsLimit)
		if err != nil {
			return nil, told(fmt.Errorf("record of run %s: %w", in.ID, err))
		}
		if len(lines) > 0 || r.State.Ended() || over {
			news := Events{Run: runOf(r), Next: in.After + len(lines), Lines: lines}
			news.Live, err = a.live(in.ID)
			return answer(news, err)
		}
		// A run's last change is a line too, so what is looked for is lines: a
		// run's state is much to read so often.
		for !over && len(lines) == 0 {
			select {
			case <-changes:
			case <-again.C:
			case <-bound.C:
				over = true
				continue
			case <-ctx.Done():
				return nil, told(ctx.Err())
			}
			if lines, err = a.store().Lines(ctx, in.ID, in.After, 1); err != nil {
				return nil, told(fmt.Errorf("record of run %s: %w", in.ID, err))
			}
		}
	}
}

func (a *api) live(run string) (*LiveNews, error) {
	live, ok := a.backend.Live(run)
	if !ok {
		return nil, nil
	}
	decision, err := record.Encode(live.Decision)
	if err != nil {
		return nil, err
	}
	input, err := record.Encode(live.Input)
	if err != nil {
		return nil, err
	}
	return &LiveNews{At: live.At, Decision: decision, Input: input}, nil
}

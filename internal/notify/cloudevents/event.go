package cloudevents

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"serin.dev/serin/internal/notify"
)

// TypeOf is the type of the event that tells of e.
func TypeOf(m notify.Message) string { return "dev.serin.run." + string(m.Event) + ".v1" }

// SourceOf is the source of a rollout's events.
func SourceOf(rollout string) string { return "/rollouts/" + url.PathEscape(rollout) }

// eventOf is the message as an event. Its id is the message's, so that a
// receiver recognises a repetition by source and id, as CloudEvents asks.
func eventOf(m notify.Message) (event.Event, error) {
	e := event.New()
	e.SetID(m.ID)
	e.SetType(TypeOf(m))
	e.SetSource(SourceOf(m.Rollout))
	if m.Run != "" {
		e.SetSubject(m.Run)
	}
	if !m.At.IsZero() {
		e.SetTime(m.At)
	}
	if err := e.SetData(event.ApplicationJSON, m); err != nil {
		return e, fmt.Errorf("encode the message: %w", err)
	}
	if err := e.Validate(); err != nil {
		return e, fmt.Errorf("the message makes no event: %w", err)
	}
	return e, nil
}

// encode returns the headers and the body of the event's request.
func encode(ctx context.Context, e event.Event, mode Mode) (http.Header, []byte, error) {
	if mode == Structured {
		ctx = binding.WithForceStructured(ctx)
	} else {
		ctx = binding.WithForceBinary(ctx)
	}
	req, err := cehttp.NewHTTPRequestFromEvent(ctx, "http://receiver.invalid", e)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the event: %w", err)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the event: %w", err)
	}
	return req.Header, body, nil
}

// Package notify is the port to people: one adapter a way of telling them. It
// knows messages; it must not know runs, and nothing waits for it.
package notify

import (
	"context"
	"errors"

	"serin.dev/serin/internal/rollout"
)

// Notifier delivers messages to one receiver.
type Notifier interface {
	// Send delivers m or says why not, before ctx ends. The caller tries again
	// later unless the error wraps ErrRejected; Message.ID is the same then,
	// so that a receiver can recognise a repetition.
	Send(ctx context.Context, m Message) error
}

// Message is one thing people are told about a run.
type Message = rollout.Message

// ErrRejected is wrapped by errors that trying again cannot mend.
var ErrRejected = errors.New("rejected by the receiver")

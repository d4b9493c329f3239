// Package notify is the port to people: one adapter a way of telling them. It
// knows messages; it must not know runs, and nothing waits for it.
package notify

import (
	"context"
	"errors"
	"time"

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
type Message struct {
	ID      string        `json:"id"`
	At      time.Time     `json:"at"`
	Event   rollout.Event `json:"event"`
	Rollout string        `json:"rollout"`
	Run     string        `json:"run"`
	// StableVersion and CanaryVersion are the two versions of the run.
	StableVersion string `json:"stableVersion"`
	CanaryVersion string `json:"canaryVersion"`
	Phase         int    `json:"phase"`
	Phases        int    `json:"phases"`
	Weight        int    `json:"weight"`
	// Text is the message in one line: what happened and why.
	Text string `json:"text"`
	// Do says what the reader can do now, often a command; may be empty.
	Do string `json:"do,omitempty"`
	// Link leads to the report or the run; may be empty.
	Link string `json:"link,omitempty"`
}

// ErrRejected is wrapped by errors that trying again cannot mend.
var ErrRejected = errors.New("rejected by the receiver")

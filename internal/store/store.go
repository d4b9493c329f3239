// Package store is the port to live state: runs, their records while they go
// on, people's intents, messages not yet delivered. It must not know what a
// state means.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
)

// Store keeps live state. Every method is durable when it returns nil, atomic,
// safe for concurrent use, and returns before ctx ends. Errors wrap one of the
// errors below where one fits.
type Store interface {
	// Create stores a new run together with its first lines. ErrActive when the
	// rollout has a run that has not ended.
	Create(ctx context.Context, r Run, lines []record.Line, messages []Outgoing) error
	// Load returns a run. ErrNotFound.
	Load(ctx context.Context, id string) (Run, error)
	// Active returns the rollout's run that has not ended. ErrNotFound.
	Active(ctx context.Context, rollout string) (Run, error)
	// Runs returns the newest runs first, of one rollout or of all (empty name),
	// at most limit (0: all), without their states' analysis.
	Runs(ctx context.Context, rollout string, limit int) ([]Run, error)

	// Save replaces the run's state when its version is still r.Version, and in
	// the same transaction appends the lines, puts the messages in the outbox
	// and marks the intents as answered. It returns the new version.
	// ErrConflict when somebody else saved since r was loaded.
	Save(ctx context.Context, r Run, c Change) (version int64, err error)
	// Append adds lines that change no state: effects, gates, notifications.
	Append(ctx context.Context, run string, lines []record.Line) error
	// Lines returns the record from line after (0: from the start) on, at most
	// limit lines (0: all).
	Lines(ctx context.Context, run string, after, limit int) ([]record.Line, error)
	// SetArchived notes that the run's record and report are in the archive.
	SetArchived(ctx context.Context, run, report string) error

	// AddIntent queues a person's intent for a run and appends it to the
	// record. ErrNotFound; ErrEnded when the run is over.
	AddIntent(ctx context.Context, run string, i rollout.Intent) error
	// Intents returns the intents of a run not yet answered, oldest first.
	Intents(ctx context.Context, run string) ([]rollout.Intent, error)
	// Answer returns what became of an intent; ErrNotFound while it is open.
	Answer(ctx context.Context, run, intent string) (engine.Answer, error)

	// Due returns the messages whose time has come, oldest first; of each receiver
	// of a rollout at most each (0: all), so that none hides another's.
	Due(ctx context.Context, now time.Time, each int) ([]Outgoing, error)
	// Settle notes that a message was delivered or given up (retry zero), or
	// when to try again, and why.
	Settle(ctx context.Context, id string, delivered bool, retry time.Time, failure string) error

	Close() error
}

// Run is one run as stored.
type Run struct {
	ID string `json:"id"`
	// Number counts the rollout's runs from 1; the store gives it.
	Number  int    `json:"number"`
	Rollout string `json:"rollout"`
	// Spec is the rollout as it was when the run began.
	Spec rollout.Rollout `json:"spec"`
	Plan engine.Plan     `json:"plan"`
	// StableVersion serves when the run begins, CanaryVersion is the candidate.
	StableVersion string `json:"stableVersion"`
	CanaryVersion string `json:"canaryVersion"`
	// Candidate is how the workload runs the candidate, in its own form.
	Candidate json.RawMessage `json:"candidate,omitempty"`
	Actor     string          `json:"actor"`
	StartedAt time.Time       `json:"startedAt"`
	// EndedAt is zero until the run has ended.
	EndedAt time.Time    `json:"endedAt,omitzero"`
	State   engine.State `json:"state"`
	// Version is the store's own, for Save.
	Version int64 `json:"version"`
	// Archived says that record and report are in the archive; Report is where.
	Archived bool   `json:"archived"`
	Report   string `json:"report,omitempty"`
}

// Change is what a Save does besides replacing the state.
type Change struct {
	Lines    []record.Line
	Messages []Outgoing
	Answered []engine.Answer
}

// Outgoing is one message to one receiver.
type Outgoing struct {
	// ID is unique: a message put in twice is there once.
	ID string `json:"id"`
	// To is the receiver's name in the rollout's file.
	To       string          `json:"to"`
	Message  rollout.Message `json:"message"`
	Attempts int             `json:"attempts"`
	NotUntil time.Time       `json:"notUntil"`
}

// Receiver is who a message is for. Two rollouts may call theirs by one name.
type Receiver struct{ Rollout, Name string }

// Receiver returns who m is for.
func (m Outgoing) Receiver() Receiver { return Receiver{m.Message.Rollout, m.To} }

// Share keeps at most each messages of every receiver (0: all), the first ones.
func Share(messages []Outgoing, each int) []Outgoing {
	if each <= 0 {
		return messages
	}
	of := map[Receiver]int{}
	return slices.DeleteFunc(messages, func(m Outgoing) bool {
		of[m.Receiver()]++
		return of[m.Receiver()] > each
	})
}

var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("changed by somebody else meanwhile")
	ErrActive   = errors.New("the rollout has a run that has not ended")
	ErrEnded    = errors.New("the run has ended")
	// ErrNewer: the stored data was written by a newer program.
	ErrNewer = errors.New("written by a newer version of serin")
	// ErrFull: there is no space left to write.
	ErrFull = errors.New("no space left")
	// ErrUnavailable: the store cannot be reached or is locked.
	ErrUnavailable = errors.New("store not available")
	// ErrForbidden: the store does not let who asks do this.
	ErrForbidden = errors.New("not permitted")
)

package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// Bounds of the wait for an intent's answer: one tick and a little more, but
// neither too short for a busy machine nor as long as a tick of an hour.
const (
	minAnswerTime = 5 * time.Second
	maxAnswerTime = 30 * time.Second
	// AtHand is the Glance of a store that nobody else asks. An answer is looked for
	// as often everywhere: it comes soon, and who asked waits.
	AtHand = 100 * time.Millisecond
)

// IntentRequest is what a person asks of a run. Who asks is not theirs to say:
// it is the user at the other end of the socket.
type IntentRequest struct {
	Intent rollout.IntentKind `json:"intent" enum:"promote,pause,resume,rollback,complain"`
	Reason string             `json:"reason,omitempty" maxLength:"1000" doc:"In the person's own words"`
	Full   bool               `json:"full,omitempty" doc:"With promote: end every remaining phase"`
	// Arm or Version says which version the user who complains had.
	Arm     rollout.Arm `json:"arm,omitempty" enum:"stable,canary" doc:"With complain: the version that the user had, if it is known"`
	Version string      `json:"version,omitempty" doc:"With complain: the same by its name"`
}

// IntentAnswer is what became of an intent.
type IntentAnswer struct {
	ID string `json:"id"`
	// Answered is false when the run has not looked yet: it will.
	Answered bool   `json:"answered" doc:"False when the run has not looked at it yet; it will"`
	Accepted bool   `json:"accepted"`
	Message  string `json:"message"`
}

func (a *api) intents(doc huma.API) {
	huma.Register(doc, operation(http.MethodPost, "/v1/runs/{id}/intents", "askOfRun", "Promote, pause, resume or roll back a run, or report a complaint",
		http.StatusNotFound, http.StatusConflict, http.StatusForbidden), a.intent)
}

func (a *api) intent(ctx context.Context, in *struct {
	ByID
	Body IntentRequest
}) (*body[IntentAnswer], error) {
	who, err := actor(ctx)
	if err != nil {
		return nil, told(err)
	}
	r, err := a.run(ctx, in.ID)
	if err != nil {
		return nil, told(err)
	}
	if r.State.Ended() {
		return nil, told(fmt.Errorf("%s of run %s: %w: it was %s", in.Body.Intent, r.ID, store.ErrEnded, r.State.Status))
	}
	if err := a.backend.Owns(r.Rollout); err != nil {
		return nil, told(err)
	}
	arm, err := in.Body.about(r)
	if err != nil {
		return nil, told(err)
	}
	i := rollout.Intent{
		ID: rand.Text(), Kind: in.Body.Intent, At: time.Now().UTC(), Actor: who,
		Reason: in.Body.Reason, Arm: arm, Full: in.Body.Full && in.Body.Intent == rollout.Promote,
	}
	changes, stop := a.backend.Watch(r.ID)
	defer stop()
	if err := a.store().AddIntent(ctx, r.ID, i); err != nil {
		return nil, told(fmt.Errorf("%s of run %s: %w", i.Kind, r.ID, err))
	}
	a.backend.Wake(r.ID)
	wait := min(max(2*time.Duration(r.Plan.Analysis.Interval), minAnswerTime), maxAnswerTime)
	said, err := a.awaitAnswer(ctx, r.ID, i.ID, changes, wait)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return answer(IntentAnswer{ID: i.ID, Message: string(i.Kind) + " is noted; the run has not looked at it yet"}, nil)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return answer(IntentAnswer{ID: i.ID, Message: fmt.Sprintf("%s is noted; what the run says to it cannot be read: %v", i.Kind, err)}, nil)
	}
	return answer(IntentAnswer{ID: i.ID, Answered: true, Accepted: said.Accepted, Message: said.Message}, err)
}

// about is the arm that a complaint is about; empty when that is not known.
func (q IntentRequest) about(r store.Run) (rollout.Arm, error) {
	switch {
	case q.Intent != rollout.Complain:
		return "", nil
	case strings.TrimSpace(q.Reason) == "":
		return "", fmt.Errorf("%w: a complaint says what is wrong; write it in reason", errInvalid)
	case q.Version == "":
		return q.Arm, nil
	case q.Arm != "":
		return "", fmt.Errorf("%w: arm and version say the same; keep one", errInvalid)
	case q.Version == r.StableVersion && q.Version == r.CanaryVersion:
		return "", fmt.Errorf("%w: both arms of run %s are called %s; write arm instead of version", errInvalid, r.ID, q.Version)
	case q.Version == r.StableVersion:
		return rollout.Stable, nil
	case q.Version == r.CanaryVersion:
		return rollout.Canary, nil
	}
	return "", fmt.Errorf("%w: run %s has no version %q; write %s, %s, or leave it out when it is not known", errInvalid, r.ID, q.Version, r.StableVersion, r.CanaryVersion)
}

// awaitAnswer returns what became of an intent; store.ErrNotFound when that was
// not to be learnt within the time.
func (a *api) awaitAnswer(ctx context.Context, run, intent string, changes <-chan struct{}, wait time.Duration) (engine.Answer, error) {
	bound := time.NewTimer(wait)
	defer bound.Stop()
	again := time.NewTicker(AtHand)
	defer again.Stop()
	for {
		said, err := a.store().Answer(ctx, run, intent)
		if !errors.Is(err, store.ErrNotFound) {
			return said, err
		}
		select {
		case <-changes:
		case <-again.C:
		case <-bound.C:
			return said, err
		case <-ctx.Done():
			return said, ctx.Err()
		}
	}
}

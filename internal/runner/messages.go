package runner

import (
	"fmt"
	"slices"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// Messages returns what people are told about a move from one state to the
// next, one for every receiver that wants to know.
func Messages(was engine.State, run store.Run, d engine.Decision, link string) []store.Outgoing {
	event, text, do := tell(was, run, d)
	switch event {
	case "":
		return nil
	case rollout.RolledBack, rollout.Promoted:
	default:
		link = "" // there is no report before the run's end
	}
	return Address(run, event, text, do, link)
}

// Address puts one message into an envelope for every receiver that wants it.
func Address(run store.Run, event rollout.Event, text, do, link string) []store.Outgoing {
	weight := run.Plan.Want(run.State).Weight
	if event == rollout.Promoted {
		// The canary's own weight is 0 again: it is stable now.
		weight = rollout.Full
	}
	var out []store.Outgoing
	for i, n := range run.Spec.Spec.Notify {
		if len(n.Events) > 0 && !slices.Contains(n.Events, event) {
			continue
		}
		to := ReceiverName(n, i)
		id := fmt.Sprintf("%s/%d/%s/%s", run.ID, run.State.Elapsed, event, to)
		out = append(out, store.Outgoing{ID: id, To: to, NotUntil: run.State.At, Message: rollout.Message{
			ID: id, At: run.State.At, Event: event, Rollout: run.Rollout, Run: run.ID,
			StableVersion: run.StableVersion, CanaryVersion: run.CanaryVersion,
			Phase: run.State.Phase + 1, Phases: len(run.Plan.Phases), Weight: weight,
			Text: text, Do: do, Link: link,
		}})
	}
	return out
}

// ReceiverName is a notifier's name, or its kind and place where it has none.
func ReceiverName(n rollout.Notifier, index int) string {
	if n.Name != "" {
		return n.Name
	}
	return fmt.Sprintf("%s-%d", n.Kind, index+1)
}

// tell says which event a move is, in one line, and what the reader can do.
func tell(was engine.State, run store.Run, d engine.Decision) (event rollout.Event, text, do string) {
	next := d.Next
	subject := fmt.Sprintf("%s %s", run.Rollout, run.CanaryVersion)
	switch {
	case next.Status == engine.RollingBack && was.Status != engine.RollingBack:
		return rollout.RolledBack, subject + " is rolled back: " + firstMessage(d), "traffic is on " + run.StableVersion
	case next.Status == engine.Promoted && was.Status != engine.Promoted:
		return rollout.Promoted, fmt.Sprintf("%s is promoted: it serves all traffic, %s is gone", subject, run.StableVersion), ""
	case next.Status == engine.Progressing && (was.Status != engine.Progressing || was.Phase != next.Phase):
		ph := run.Plan.Phases[next.Phase]
		return rollout.PhaseBegan, fmt.Sprintf("%s gets %d %% for %s (phase %d of %d)", subject, ph.Weight, ph.Duration, next.Phase+1, len(run.Plan.Phases)), ""
	case next.Hold != nil && (was.Hold == nil || was.Hold.Rule != next.Hold.Rule || next.Hold.Person && !was.Hold.Person):
		do = fmt.Sprintf("serin promote %s, or serin rollback %s", run.Rollout, run.Rollout)
		if next.Hold.Person {
			return rollout.Waiting, subject + " waits for a person: " + next.Hold.Message, do
		}
		return rollout.Held, subject + " is held: " + next.Hold.Message, do
	}
	return "", "", ""
}

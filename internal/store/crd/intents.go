package crd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

// AddIntent implements store.Store. The intent is in force when it is in the
// run's spec, which a person may be allowed to write without being allowed to
// write the status: its line comes into the record now, or with the next write
// of whoever carries the run.
func (s *Store) AddIntent(ctx context.Context, run string, i rollout.Intent) error {
	key := s.key(run)
	if _, err := s.get(ctx, key); err != nil {
		return fmt.Errorf("ask run %s to %s: %w", run, i.Kind, err)
	}
	o := &serinv1.CanaryRun{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	err := kube.Mutate(ctx, s.client, s.live, o, func() ([]kube.Op, error) {
		if current := s.newest(o.DeepCopy()); current.Status.EndedAt != nil {
			return nil, store.ErrEnded
		}
		asked := slices.ContainsFunc(o.Spec.Intents, func(have serinv1.Intent) bool { return have.ID == i.ID })
		switch {
		case asked:
			return nil, nil
		case i.Kind == rollout.Complain && len(o.Spec.Intents) >= maxComplaints:
			return nil, errManyComplaints
		case i.Kind != rollout.Rollback && others(o.Spec.Intents) >= maxIntents:
			return nil, errManyIntents
		case len(o.Spec.Intents) == 0:
			return []kube.Op{{Op: "add", Path: kube.Pointer("spec", "intents"), Value: []serinv1.Intent{written(i)}}}, nil
		}
		return []kube.Op{{Op: "add", Path: kube.Pointer("spec", "intents", "-"), Value: written(i)}}, nil
	})
	switch {
	case errors.Is(err, store.ErrEnded), errors.Is(err, errManyComplaints), errors.Is(err, errManyIntents):
		return fmt.Errorf("ask run %s to %s: %w", run, i.Kind, err)
	case err != nil:
		return fmt.Errorf("ask run %s to %s: %w", run, i.Kind, explain(err, "patch", runs))
	}
	s.mu.Lock()
	if wrote := s.known[key]; wrote == nil || wrote.Status.Writes <= o.Status.Writes {
		s.known[key] = o.DeepCopy()
	} else if wrote.Generation < o.Generation {
		wrote.Spec, wrote.Generation, wrote.ManagedFields = o.Spec, o.Generation, o.ManagedFields
	}
	s.mu.Unlock()
	_, _ = s.write(ctx, key, func(o *serinv1.CanaryRun, _ bool) error {
		if len(o.Status.Heard) == len(o.Spec.Intents) {
			return errDone
		}
		return s.addLines(ctx, o, nil)
	})
	return nil
}

// maxComplaints is how many intents a run may have for another complaint to be
// taken: what people ask of the run must have room.
const maxComplaints = 60

var errManyComplaints = fmt.Errorf("%w for more complaints in the run; count them where they arrive, and let analysis read that", store.ErrFull)

// maxIntents is how many intents other than rollbacks a run may have: a rollback
// always has room. The schema says the same.
const maxIntents = 100

var errManyIntents = fmt.Errorf("%w for more intents in the run, which holds %d: only a rollback is taken now", store.ErrFull, maxIntents)

// others counts the intents that are no rollback.
func others(intents []serinv1.Intent) (n int) {
	for _, i := range intents {
		if i.Intent != string(rollout.Rollback) {
			n++
		}
	}
	return n
}

func written(i rollout.Intent) serinv1.Intent {
	out := serinv1.Intent{ID: i.ID, Intent: string(i.Kind), Actor: i.Actor, Reason: i.Reason, Full: i.Full, Arm: string(i.Arm)}
	if !i.At.IsZero() {
		at := metav1.NewMicroTime(i.At)
		out.At = &at
	}
	return out
}

// intentOf reads an intent. Who wrote it with kubectl need not say when and
// who: the API server knows when, and with which program.
func intentOf(o *serinv1.CanaryRun, i serinv1.Intent) rollout.Intent {
	out := rollout.Intent{ID: i.ID, Kind: rollout.IntentKind(i.Intent), Actor: i.Actor, Reason: i.Reason, Full: i.Full, Arm: rollout.Arm(i.Arm)}
	if i.At != nil {
		out.At = i.At.UTC()
	}
	manager, at := writerOf(o, i.ID)
	if out.At.IsZero() && at != nil {
		out.At = at.UTC()
	}
	if out.Actor == "" {
		out.Actor = manager
	}
	return out
}

// writerOf returns the program that wrote an intent, and when, as far as the
// API server noted it.
func writerOf(o *serinv1.CanaryRun, id string) (string, *metav1.Time) {
	field := fmt.Sprintf(`"k:{\"id\":\"%s\"}"`, id)
	for _, m := range o.ManagedFields {
		if m.FieldsV1 != nil && strings.Contains(string(m.FieldsV1.GetRawBytes()), field) {
			return m.Manager, m.Time
		}
	}
	return "kubectl", nil
}

// hear returns the lines of the intents that have none in the record yet, and
// notes that they have.
func hear(o *serinv1.CanaryRun) ([]record.Line, error) {
	var lines []record.Line
	for _, i := range o.Spec.Intents {
		if slices.Contains(o.Status.Heard, i.ID) {
			continue
		}
		line, err := record.Encode(record.Intent{Intent: intentOf(o, i)})
		if err != nil {
			return nil, fmt.Errorf("write the intent: %w", err)
		}
		lines = append(lines, line)
		o.Status.Heard = append(o.Status.Heard, i.ID)
	}
	return lines, nil
}

// Intents implements store.Store.
func (s *Store) Intents(ctx context.Context, run string) ([]rollout.Intent, error) {
	o, err := s.get(ctx, s.key(run))
	if err != nil {
		return nil, fmt.Errorf("the intents of run %s: %w", run, err)
	}
	var open []rollout.Intent
	for _, i := range o.Spec.Intents {
		if !slices.ContainsFunc(o.Status.Answers, func(a serinv1.Answer) bool { return a.ID == i.ID }) {
			open = append(open, intentOf(o, i))
		}
	}
	return open, nil
}

// Answer implements store.Store.
func (s *Store) Answer(ctx context.Context, run, intent string) (engine.Answer, error) {
	o, err := s.get(ctx, s.key(run))
	if err != nil {
		return engine.Answer{}, fmt.Errorf("the answers of run %s: %w", run, err)
	}
	for _, a := range o.Status.Answers {
		if a.ID == intent {
			return engine.Answer{ID: a.ID, Accepted: a.Accepted, Message: a.Message}, nil
		}
	}
	return engine.Answer{}, fmt.Errorf("answer to intent %s: %w", intent, store.ErrNotFound)
}

func addAnswers(st *serinv1.CanaryRunStatus, answers []engine.Answer) {
	for _, a := range answers {
		answer := serinv1.Answer{ID: a.ID, Accepted: a.Accepted, Message: a.Message}
		if at := slices.IndexFunc(st.Answers, func(have serinv1.Answer) bool { return have.ID == a.ID }); at >= 0 {
			st.Answers[at] = answer
		} else {
			st.Answers = append(st.Answers, answer)
		}
	}
}

package crd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/store"
)

// outbox is a run's messages: those still to be delivered, and the ids of those
// that were or were given up, so that none is put in again.
type outbox struct {
	Waiting []store.Outgoing `json:"waiting,omitempty"`
	Settled []string         `json:"settled,omitempty"`
}

func outboxOf(st *serinv1.CanaryRunStatus) (outbox, error) {
	var b outbox
	if len(st.Outbox) == 0 {
		return b, nil
	}
	if err := unpack(st.Outbox, &b); err != nil {
		return b, fmt.Errorf("read the outbox: %w", err)
	}
	return b, nil
}

func (b outbox) keep(st *serinv1.CanaryRunStatus) error {
	packed, err := pack(b)
	if err != nil {
		return fmt.Errorf("write the outbox: %w", err)
	}
	st.Outbox, st.Undelivered = packed, int32(len(b.Waiting))
	return nil
}

func (b outbox) at(id string) int {
	return slices.IndexFunc(b.Waiting, func(m store.Outgoing) bool { return m.ID == id })
}

func (s *Store) addMessages(o *serinv1.CanaryRun, messages []store.Outgoing) error {
	if len(messages) == 0 {
		return nil
	}
	b, err := outboxOf(&o.Status)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if b.at(m.ID) < 0 && !slices.Contains(b.Settled, m.ID) {
			b.Waiting = append(b.Waiting, m)
		}
	}
	return b.keep(&o.Status)
}

// waiting returns the messages of a run that are to be delivered.
func (s *Store) waiting(o *serinv1.CanaryRun) ([]store.Outgoing, error) {
	if o.Status.Format == 0 {
		b, err := s.beginning(o)
		return b.Messages, err
	}
	if o.Status.Undelivered == 0 {
		return nil, nil
	}
	b, err := outboxOf(&o.Status)
	return b.Waiting, err
}

// Due implements store.Store. A run whose outbox cannot be read does not keep
// the others' messages back.
func (s *Store) Due(ctx context.Context, now time.Time, each int) ([]store.Outgoing, error) {
	// Every second, and hardly ever is there one: what a cache holds is looked at
	// where it is.
	list, err := s.list(ctx, "", client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("look for messages: %w", err)
	}
	var due []store.Outgoing
	var failed error
	for _, o := range list {
		messages, err := s.waiting(o)
		failed = errors.Join(failed, err)
		for _, m := range messages {
			if !m.NotUntil.After(now) {
				due = append(due, m)
			}
		}
	}
	slices.SortStableFunc(due, func(a, b store.Outgoing) int { return a.NotUntil.Compare(b.NotUntil) })
	due = store.Share(due, each)
	if len(due) > 0 {
		failed = nil
	}
	return due, failed
}

// Settle implements store.Store.
func (s *Store) Settle(ctx context.Context, id string, delivered bool, retry time.Time, _ string) error {
	list, err := s.list(ctx, "")
	if err != nil {
		return fmt.Errorf("settle message %s: %w", id, err)
	}
	for _, o := range list {
		messages, err := s.waiting(o)
		if err != nil || !slices.ContainsFunc(messages, func(m store.Outgoing) bool { return m.ID == id }) {
			continue
		}
		return s.settle(ctx, s.id(o), id, delivered, retry)
	}
	return fmt.Errorf("settle message %s: %w", id, store.ErrNotFound)
}

func (s *Store) settle(ctx context.Context, run, id string, delivered bool, retry time.Time) error {
	_, err := s.write(ctx, s.key(run), func(o *serinv1.CanaryRun, _ bool) error {
		if err := s.addLines(ctx, o, nil); err != nil {
			return err
		}
		b, err := outboxOf(&o.Status)
		if err != nil {
			return err
		}
		i := b.at(id)
		switch {
		case i < 0:
			return errDone
		case delivered || retry.IsZero():
			b.Waiting, b.Settled = slices.Delete(b.Waiting, i, i+1), append(b.Settled, id)
		case b.Waiting[i].NotUntil.Equal(retry):
			return errDone
		default:
			b.Waiting[i].Attempts++
			b.Waiting[i].NotUntil = retry
		}
		return b.keep(&o.Status)
	})
	if err != nil {
		return fmt.Errorf("settle message %s: %w", id, err)
	}
	return nil
}

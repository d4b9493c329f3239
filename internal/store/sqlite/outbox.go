package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"serin.dev/serin/internal/store"
)

// putMessages puts messages in the outbox; one that was ever there stays as it
// is.
func putMessages(ctx context.Context, tx *sql.Tx, messages []store.Outgoing) error {
	for _, m := range messages {
		data, err := json.Marshal(m.Message)
		if err != nil {
			return fmt.Errorf("write message %s: %w", m.ID, err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (id, run, receiver, message, attempts, not_until)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			m.ID, m.Message.Run, m.To, string(data), m.Attempts, nanos(m.NotUntil)); err != nil {
			return fmt.Errorf("put message %s in the outbox: %w", m.ID, err)
		}
	}
	return nil
}

// nanos orders times as integers; the zero time comes first.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Due implements store.Store.
func (s *Store) Due(ctx context.Context, now time.Time, each int) ([]store.Outgoing, error) {
	return answered(ctx, s, func() ([]store.Outgoing, error) {
		const what = "read the outbox"
		rows, err := s.read.QueryContext(ctx, `SELECT id, receiver, message, attempts, not_until FROM (
				SELECT *, row_number() OVER (PARTITION BY message ->> 'rollout', receiver ORDER BY not_until, seq) AS place
				FROM outbox WHERE standing = 'open' AND not_until <= ?1)
			WHERE ?2 <= 0 OR place <= ?2 ORDER BY not_until, seq`, nanos(now), each)
		if err != nil {
			return nil, s.named(ctx, what, err)
		}
		defer rows.Close()
		var due []store.Outgoing
		for rows.Next() {
			var m store.Outgoing
			var data []byte
			var notUntil int64
			if err := rows.Scan(&m.ID, &m.To, &data, &m.Attempts, &notUntil); err != nil {
				return nil, s.named(ctx, what, err)
			}
			if err := json.Unmarshal(data, &m.Message); err != nil {
				return nil, fmt.Errorf("%s: message %s: %w", what, m.ID, err)
			}
			if notUntil != 0 {
				m.NotUntil = time.Unix(0, notUntil).UTC()
			}
			due = append(due, m)
		}
		return due, s.named(ctx, what, rows.Err())
	})
}

// Settle implements store.Store.
func (s *Store) Settle(ctx context.Context, id string, delivered bool, retry time.Time, failure string) error {
	standing := "open"
	switch {
	case delivered:
		standing = "delivered"
	case retry.IsZero():
		standing = "givenUp"
	}
	return s.change(ctx, "settle message "+id, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE outbox SET standing = ?, failure = ?, attempts = attempts + 1, not_until = ?
			WHERE id = ? AND standing = 'open'`, standing, failure, nanos(retry), id))
	})
}

package storetest

import (
	"fmt"
	"testing"
	"time"

	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
)

func message(id, run string, notUntil time.Time) store.Outgoing {
	return store.Outgoing{ID: id, To: "team", NotUntil: notUntil, Message: rollout.Message{ID: id, Run: run, Event: rollout.PhaseBegan, Text: "hello", At: recordtest.Start()}}
}

func testOutbox(t *testing.T, s store.Store) {
	now := recordtest.Start()
	r := create(t, s, "shop", "a")
	_, err := s.Save(ctx(t), r, store.Change{Messages: []store.Outgoing{
		message("late", "a", now.Add(time.Minute)), message("b", "a", now), message("a", "a", now.Add(-time.Minute)), message("zero", "a", time.Time{}), message("a", "a", now),
	}})
	must(t, err)
	due := func(at time.Time, each int) (ids []string) {
		t.Helper()
		list, err := s.Due(ctx(t), at, each)
		must(t, err)
		for _, m := range list {
			ids = append(ids, m.ID)
			if m.To != "team" || m.Message.Text != "hello" || m.Message.Run != "a" {
				t.Errorf("message %s came back as %s", m.ID, asJSON(t, m))
			}
		}
		return ids
	}
	same(t, "due", due(now, 0), []string{"zero", "a", "b"})
	same(t, "due, at most two of the receiver", due(now, 2), []string{"zero", "a"})
	must(t, s.Settle(ctx(t), "zero", true, time.Time{}, ""))
	must(t, s.Settle(ctx(t), "a", false, now.Add(time.Hour), "timeout"))
	must(t, s.Settle(ctx(t), "b", false, time.Time{}, "rejected"))
	same(t, "due after settling", due(now.Add(time.Minute), 0), []string{"late"})
	list, err := s.Due(ctx(t), now.Add(2*time.Hour), 0)
	must(t, err)
	if len(list) != 2 || list[1].ID != "a" || list[1].Attempts != 1 || !list[1].NotUntil.Equal(now.Add(time.Hour)) {
		t.Errorf("the message to try again: %s", asJSON(t, list))
	}
	// What was delivered or given up is never put in again.
	r, err = s.Load(ctx(t), "a")
	must(t, err)
	_, err = s.Save(ctx(t), r, store.Change{Messages: []store.Outgoing{message("zero", "a", now), message("b", "a", now)}})
	must(t, err)
	same(t, "due after a repeated save", due(now, 0), []string(nil))
	is(t, "an unknown message", s.Settle(ctx(t), "nothing", true, time.Time{}, ""), store.ErrNotFound)
}

// However many messages one receiver has, those to others are seen, and a
// receiver of another rollout is another one although it has the same name.
func testOutboxShares(t *testing.T, s store.Store) {
	now := recordtest.Start()
	r := create(t, s, "shop", "a")
	var messages []store.Outgoing
	for i := range 200 {
		messages = append(messages, message(fmt.Sprintf("team-%03d", i), "a", now.Add(-time.Hour+time.Duration(i)*time.Second)))
	}
	other, elsewhere := message("other", "a", now), message("elsewhere", "a", now.Add(-time.Second))
	other.To, elsewhere.Message.Rollout = "other", "cart"
	_, err := s.Save(ctx(t), r, store.Change{Messages: append(messages, other, elsewhere)})
	must(t, err)
	list, err := s.Due(ctx(t), now, 2)
	must(t, err)
	var ids []string
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	same(t, "due, two of each receiver", ids, []string{"team-000", "team-001", "elsewhere", "other"})
}

package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
)

// receiver notes when it got which message, and answers as it is told to.
type receiver struct {
	mu     sync.Mutex
	got    []time.Duration
	began  time.Time
	answer func(attempt int) error
	hang   bool
}

func (r *receiver) Send(ctx context.Context, _ notify.Message) error {
	r.mu.Lock()
	r.got = append(r.got, time.Since(r.began))
	attempt := len(r.got)
	r.mu.Unlock()
	if r.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if r.answer == nil {
		return nil
	}
	return r.answer(attempt)
}

// outbox returns a store with one message to each receiver, and a courier.
func outbox(t *testing.T, receivers map[string]*receiver) (*memory.Store, *Courier) {
	t.Helper()
	st := &memory.Store{}
	run := store.Run{ID: "shop-1", Rollout: "shop", StartedAt: time.Now()}
	var messages []store.Outgoing
	for to, r := range receivers {
		if r != nil {
			r.began = time.Now()
		}
		messages = append(messages, store.Outgoing{ID: "m-" + to, To: to, NotUntil: time.Now(),
			Message: rollout.Message{ID: "m-" + to, Run: "shop-1", Rollout: "shop", Event: rollout.Started}})
	}
	if err := st.Create(t.Context(), run, nil, messages); err != nil {
		t.Fatal(err)
	}
	return st, &Courier{
		Store: st, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		Receiver: func(_, name string) (notify.Notifier, error) {
			if r, ok := receivers[name]; ok && r != nil {
				return r, nil
			}
			return nil, ErrNotOurs
		},
	}
}

func deliverFor(t *testing.T, c *Courier, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	c.Run(ctx, NewWaker())
}

func TestAHangingReceiverDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, quick := &receiver{hang: true}, &receiver{}
		_, c := outbox(t, map[string]*receiver{"slow": slow, "quick": quick})
		deliverFor(t, c, time.Minute)
		if len(quick.got) != 1 || quick.got[0] > 0 {
			t.Errorf("the quick receiver got its message at %v, want once, at once", quick.got)
		}
		if len(slow.got) < 2 {
			t.Errorf("the hanging receiver was tried %d times in a minute, want again after its time-out", len(slow.got))
		}
	})
}

func TestAMessageIsTriedAgainWithGrowingPausesAndArrivesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(attempt int) error {
			if attempt < 4 {
				return errors.New("not now")
			}
			return nil
		}}
		st, c := outbox(t, map[string]*receiver{"chat": r})
		deliverFor(t, c, time.Hour)
		if len(r.got) != 4 {
			t.Fatalf("tried at %v, want four times", r.got)
		}
		for i := 2; i < len(r.got); i++ {
			if before, now := r.got[i-1]-r.got[i-2], r.got[i]-r.got[i-1]; now <= before {
				t.Errorf("pauses %v then %v, want them to grow", before, now)
			}
		}
		if due, _ := st.Due(t.Context(), time.Now().Add(time.Hour), 0); len(due) != 0 {
			t.Errorf("still in the outbox: %v", due)
		}
		if told := notifications(t, st); len(told) != 1 || !told[0].Delivered {
			t.Errorf("recorded %+v, want one delivery", told)
		}
	})
}

func TestAMessageThatIsRejectedIsGivenUpAndRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(int) error { return fmt.Errorf("no such channel: %w", notify.ErrRejected) }}
		st, c := outbox(t, map[string]*receiver{"chat": r})
		deliverFor(t, c, time.Hour)
		if len(r.got) != 1 {
			t.Errorf("tried at %v, want once", r.got)
		}
		if told := notifications(t, st); len(told) != 1 || told[0].Delivered || told[0].Error == "" {
			t.Errorf("recorded %+v, want the failure", told)
		}
	})
}

// Who a receiver is may not be to be learnt for a moment, as when the API server
// does not answer: the message is not lost by that.
func TestAMessageWhoseReceiverCannotBeLookedUpIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		st, c := outbox(t, map[string]*receiver{"chat": r})
		known, asked := c.Receiver, 0
		c.Receiver = func(rollout, name string) (notify.Notifier, error) {
			if asked++; asked < 3 {
				return nil, store.ErrUnavailable
			}
			return known(rollout, name)
		}
		deliverFor(t, c, time.Minute)
		if told := notifications(t, st); len(r.got) != 1 || len(told) != 1 || !told[0].Delivered {
			t.Errorf("the receiver got its message at %v, recorded is %+v; want one delivery", r.got, told)
		}
	})
}

func TestAMessageToNobodyIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, c := outbox(t, map[string]*receiver{"chat": nil})
		c.Receiver = func(string, string) (notify.Notifier, error) {
			return nil, fmt.Errorf("there is no chat any more: %w", notify.ErrRejected)
		}
		deliverFor(t, c, time.Minute)
		if due, _ := st.Due(t.Context(), time.Now().Add(time.Hour), 0); len(due) != 0 {
			t.Errorf("still in the outbox: %+v", due)
		}
		if told := notifications(t, st); len(told) != 1 || told[0].Delivered || told[0].Error == "" {
			t.Errorf("recorded %+v, want the failure", told)
		}
	})
}

func TestAMessageOfAnotherProgramsRolloutIsLeftToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, c := outbox(t, map[string]*receiver{"theirs": nil})
		deliverFor(t, c, time.Hour)
		if due, _ := st.Due(t.Context(), time.Now(), 0); len(due) != 1 || due[0].Attempts != 0 {
			t.Errorf("the outbox holds %+v, want the message as it was", due)
		}
	})
}

func TestAMessageWaitsInTheOutboxWhenSerinStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{hang: true}
		st, c := outbox(t, map[string]*receiver{"chat": r})
		deliverFor(t, c, 3*time.Second)
		if due, _ := st.Due(t.Context(), time.Now(), 0); len(due) != 1 {
			t.Errorf("%d messages in the outbox, want the one that was cut off", len(due))
		}
	})
}

func notifications(t *testing.T, st store.Store) []record.Notification {
	t.Helper()
	lines, err := st.Lines(t.Context(), "shop-1", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []record.Notification
	for _, l := range lines {
		e, err := record.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		if e.Notification != nil {
			out = append(out, *e.Notification)
		}
	}
	return out
}

func TestPeopleAreToldOfEveryTurnOnce(t *testing.T) {
	run := store.Run{ID: "shop-1", Rollout: "shop", CanaryVersion: "v2", StableVersion: "v1",
		Plan: engine.Plan{Plan: rollout.Plan{Phases: []rollout.Phase{{Weight: 5}, {Weight: 50}}}}}
	run.Spec.Spec.Notify = []rollout.Notifier{
		{Name: "all", Adapter: rollout.Adapter{Kind: "x"}},
		{Name: "bad-news", Events: []rollout.Event{rollout.RolledBack, rollout.Waiting}, Adapter: rollout.Adapter{Kind: "x"}},
	}
	watching := engine.State{Status: engine.Progressing}
	held := watching
	held.Hold = &engine.Held{Rule: "noData", Message: "no figures"}
	asking := held
	asking.Hold = &engine.Held{Rule: "noData", Message: "no figures", Person: true}
	next := watching
	next.Phase = 1
	returning := engine.State{Status: engine.RollingBack, Stage: engine.Returning}
	draining := engine.State{Status: engine.RollingBack, Stage: engine.Draining}
	for _, tt := range []struct {
		name      string
		was, now  engine.State
		event     rollout.Event
		receivers int
		link      bool
	}{
		{"the first phase begins", engine.State{Status: engine.Preparing}, watching, rollout.PhaseBegan, 1, false},
		{"the next phase begins", watching, next, rollout.PhaseBegan, 1, false},
		{"nothing changes", watching, watching, "", 0, false},
		{"held", watching, held, rollout.Held, 1, false},
		{"held as before", held, held, "", 0, false},
		{"a hold comes to need a person", held, asking, rollout.Waiting, 2, false},
		{"rolls back", watching, returning, rollout.RolledBack, 2, true},
		{"goes on rolling back", returning, draining, "", 0, false},
		{"promoted", engine.State{Status: engine.Promoting}, engine.State{Status: engine.Promoted}, rollout.Promoted, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run
			r.State = tt.now
			got := Messages(tt.was, r, engine.Decision{Next: tt.now, Because: []engine.Reason{{Message: "why"}}}, "/report.html")
			if len(got) != tt.receivers {
				t.Fatalf("%d messages, want %d: %+v", len(got), tt.receivers, got)
			}
			for _, m := range got {
				if m.Message.Event != tt.event || m.Message.Text == "" || (m.Message.Link != "") != tt.link {
					t.Errorf("told %+v, want event %q", m.Message, tt.event)
				}
				if m.Message.Event == rollout.Promoted && m.Message.Weight != rollout.Full {
					t.Errorf("a promoted version is told to have %d %% of the traffic", m.Message.Weight)
				}
			}
		})
	}
}

// One receiver hangs and has many messages, and another program's messages fill
// the outbox: who is well gets its own at once.
func TestNoReceiverTakesAnothersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, quick := &receiver{hang: true}, &receiver{}
		st, c := outbox(t, map[string]*receiver{"slow": slow, "quick": quick, "theirs": nil})
		run, err := st.Load(t.Context(), "shop-1")
		if err != nil {
			t.Fatal(err)
		}
		var more []store.Outgoing
		for to, n := range map[string]int{"slow": 200, "theirs": 200, "quick": 40} {
			for i := range n {
				id := fmt.Sprintf("more-%s-%d", to, i)
				m := rollout.Message{ID: id, Run: "shop-1", Rollout: "shop", Event: rollout.Held}
				if to == "theirs" {
					m.Rollout = "cart"
				}
				at := time.Now()
				if to != "quick" {
					at = at.Add(-time.Hour) // those of the others have waited longer
				}
				more = append(more, store.Outgoing{ID: id, To: to, NotUntil: at, Message: m})
			}
		}
		if _, err := st.Save(t.Context(), run, store.Change{Messages: more}); err != nil {
			t.Fatal(err)
		}
		deliverFor(t, c, time.Minute)
		if len(quick.got) != 41 || quick.got[40] > time.Second {
			t.Errorf("the quick receiver got its messages at %v, want all 41 within a second", quick.got)
		}
		first := 0
		for _, at := range slow.got {
			if at < sendTimeout {
				first++
			}
		}
		if first != share {
			t.Errorf("%d messages were on their way at once to the receiver that hangs, want %d", first, share)
		}
	})
}

// readOnly is a store that notes nothing for some time.
type readOnly struct {
	store.Store
	until time.Time
}

func (s readOnly) Append(ctx context.Context, run string, lines []record.Line) error {
	if time.Now().Before(s.until) {
		return store.ErrFull
	}
	return s.Store.Append(ctx, run, lines)
}

func (s readOnly) Settle(ctx context.Context, id string, delivered bool, retry time.Time, failure string) error {
	if time.Now().Before(s.until) {
		return store.ErrFull
	}
	return s.Store.Settle(ctx, id, delivered, retry, failure)
}

// The disk is full for half an hour, and it cannot be noted what became of a
// message: people get it once, one that did not arrive is tried again with pauses
// as ever, and the record tells of both.
func TestAMessageWhoseDeliveryCannotBeNotedIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chat, mail := &receiver{}, &receiver{answer: func(attempt int) error {
			if attempt < 5 {
				return errors.New("not now")
			}
			return nil
		}}
		st, c := outbox(t, map[string]*receiver{"chat": chat, "mail": mail})
		c.Store = readOnly{st, time.Now().Add(30 * time.Minute)}
		deliverFor(t, c, time.Hour)
		if len(chat.got) != 1 {
			t.Errorf("the message was delivered at %v, want once", chat.got)
		}
		if len(mail.got) != 5 || mail.got[4] < 15*time.Second || mail.got[4] > time.Minute {
			t.Errorf("the other was tried at %v, want five times with growing pauses", mail.got)
		}
		if told := notifications(t, st); len(told) != 2 || !told[0].Delivered || !told[1].Delivered {
			t.Errorf("recorded %+v, want two deliveries", told)
		}
		if due, err := st.Due(t.Context(), time.Now().Add(time.Hour), 0); err != nil || len(due) != 0 {
			t.Errorf("still in the outbox: %v (%v)", due, err)
		}
	})
}

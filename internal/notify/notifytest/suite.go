// Package notifytest is the conformance suite of the notify port: what every
// notifier does, whomever it tells.
package notifytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"serin.dev/serin/internal/notify"
	"serin.dev/serin/internal/rollout"
)

// Harness makes notifiers whose receiver's behaviour is known, on real
// servers, which it ends with t.Cleanup.
type Harness struct {
	// Accepting returns a notifier and a function that lists what its receiver
	// has taken, each delivery as the text that came.
	Accepting func(t *testing.T) (notify.Notifier, func() []string)
	// Refusing tells a receiver that will never take it.
	Refusing func(t *testing.T) notify.Notifier
	// Overloaded tells a receiver that asks to be tried later.
	Overloaded func(t *testing.T) notify.Notifier
	// Unreachable tells a receiver that is not there.
	Unreachable func(t *testing.T) notify.Notifier
	// Hanging tells a receiver that takes the connection and never answers.
	Hanging func(t *testing.T) notify.Notifier
	// Leaky makes a notifier for every way to fail, each of which is given the
	// secret by reference and is answered with it as far as that way permits.
	Leaky func(t *testing.T, secret string) map[string]notify.Notifier
}

// slack is how much later than its context Send may return on a busy machine.
const slack = 5 * time.Second

// Message is a message such as the suite sends.
func Message(id string) notify.Message {
	return notify.Message{
		ID: id, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Event: rollout.RolledBack,
		Rollout: "shop", Run: "run-7", StableVersion: "v1", CanaryVersion: "v2", Phase: 2, Phases: 5, Weight: 0,
		Text: "shop v2 was rolled back at 10 %: error rate 3.1 times stable's",
		Do:   "serin report shop",
		Link: "http://127.0.0.1:7070/runs/run-7",
	}
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("a message arrives once, with what happened, what to do and the link", func(t *testing.T) {
		noLeak(t)
		n, received := h.Accepting(t)
		m := Message("m1")
		if err := send(t, n, m, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		got := received()
		if len(got) != 1 {
			t.Fatalf("%d deliveries", len(got))
		}
		for _, want := range []string{m.Text, m.Do, m.Link} {
			if !strings.Contains(got[0], want) {
				t.Errorf("%q is missing in:\n%s", want, got[0])
			}
		}
	})
	t.Run("every event can be told", func(t *testing.T) {
		noLeak(t)
		n, received := h.Accepting(t)
		for _, event := range rollout.Events() {
			m := Message("m-" + string(event))
			m.Event = event
			if err := send(t, n, m, 10*time.Second); err != nil {
				t.Errorf("%s: %v", event, err)
			}
		}
		if got := received(); len(got) != len(rollout.Events()) {
			t.Errorf("%d deliveries of %d", len(got), len(rollout.Events()))
		}
	})
	t.Run("a message with text alone can be told", func(t *testing.T) {
		noLeak(t)
		n, received := h.Accepting(t)
		m := notify.Message{ID: "m1", Event: rollout.Started, Rollout: "shop", Text: "it begins"}
		if err := send(t, n, m, 10*time.Second); err != nil || len(received()) != 1 {
			t.Errorf("%v after %d deliveries", err, len(received()))
		}
	})
	t.Run("a refusal is for good", func(t *testing.T) {
		noLeak(t)
		if err := send(t, h.Refusing(t), Message("m1"), 10*time.Second); !errors.Is(err, notify.ErrRejected) {
			t.Errorf("got %v", err)
		}
	})
	for name, make := range map[string]func(*testing.T) notify.Notifier{
		"an overloaded receiver": h.Overloaded, "a receiver that is not there": h.Unreachable,
	} {
		t.Run(name+" may be tried again", func(t *testing.T) {
			noLeak(t)
			if err := send(t, make(t), Message("m1"), 10*time.Second); err == nil || errors.Is(err, notify.ErrRejected) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a receiver that hangs is given up in time and may be tried again", func(t *testing.T) {
		noLeak(t)
		n := h.Hanging(t)
		for range 8 { // and does not pile up
			if err := send(t, n, Message("m1"), 150*time.Millisecond); err == nil || errors.Is(err, notify.ErrRejected) {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("a secret appears in no error", func(t *testing.T) {
		noLeak(t)
		const secret = "canary-s3cret-value"
		for name, n := range h.Leaky(t, secret) {
			t.Run(name, func(t *testing.T) {
				err := send(t, n, Message("m1"), time.Second)
				if err == nil {
					t.Fatal("it was delivered")
				}
				for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, errors.Unwrap(err)), fmt.Sprintf("%+v", n)} {
					if strings.Contains(text, "s3cret") {
						t.Errorf("the secret shows in: %s", text)
					}
				}
			})
		}
	})
}

// send sends once and checks what holds for every delivery.
func send(t *testing.T, n notify.Notifier, m notify.Message, timeout time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	started := time.Now()
	err := n.Send(ctx, m)
	if took := time.Since(started); took > timeout+slack {
		t.Errorf("returned after %s, with a timeout of %s", took, timeout)
	}
	if err != nil && (strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 1000) {
		t.Errorf("its error is not one line: %q", err)
	}
	return err
}

// noLeak checks that nothing started by the test goes on once its servers have
// ended.
func noLeak(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		err := goleak.Find(before)
		// One look waits for less than half a second, too little on a busy machine.
		for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); {
			err = goleak.Find(before)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

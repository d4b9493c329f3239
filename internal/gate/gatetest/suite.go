// Package gatetest is the conformance suite of the gate port: what every gate
// does, whatever it asks.
package gatetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"serin.dev/serin/internal/gate"
)

// Case is a gate and the call that it is asked with.
type Case struct {
	Gate gate.Gate
	Call gate.Call
}

// Harness makes gates whose behaviour is known, on real programs and servers,
// which it ends with t.Cleanup.
type Harness struct {
	// Passing answers passed.
	Passing func(t *testing.T) Case
	// Failing is asked and answers failed.
	Failing func(t *testing.T) Case
	// Unreachable cannot be asked.
	Unreachable func(t *testing.T) Case
	// Hanging never answers.
	Hanging func(t *testing.T) Case
	// Flooding fails and answers with at least 10 MB.
	Flooding func(t *testing.T) Case
	// Leaky makes a gate for every way to fail, each of which is given the
	// secret by reference and is answered with it as far as that way permits.
	Leaky func(t *testing.T, secret string) map[string]Case
}

// slack is how much later than its context a gate may return on a busy machine.
const slack = 5 * time.Second

// maxOutput is what gate.Result allows.
const maxOutput = 4 << 10

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("a passing gate passes, again and again", func(t *testing.T) {
		noLeak(t)
		c := h.Passing(t)
		for range 3 {
			if r := ask(t, c, 10*time.Second); !r.Passed {
				t.Fatalf("failed: %+v", r)
			}
		}
	})
	t.Run("a passing gate passes when asked by several at once", func(t *testing.T) {
		noLeak(t)
		c := h.Passing(t)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if r := ask(t, c, 20*time.Second); !r.Passed {
					t.Errorf("failed: %+v", r)
				}
			})
		}
		wg.Wait()
	})
	t.Run("a failing gate fails", func(t *testing.T) {
		noLeak(t)
		mustFail(t, ask(t, h.Failing(t), 10*time.Second))
	})
	t.Run("a gate that cannot be asked fails and says so", func(t *testing.T) {
		noLeak(t)
		mustFail(t, ask(t, h.Unreachable(t), 10*time.Second))
	})
	t.Run("a gate that hangs fails when its time is up", func(t *testing.T) {
		noLeak(t)
		const timeout = 300 * time.Millisecond
		r := ask(t, h.Hanging(t), timeout)
		mustFail(t, r)
		if r.Took < timeout/2 {
			t.Errorf("took %s: it did not hang", r.Took)
		}
	})
	t.Run("a gate that hangs ends when nobody waits for it any more", func(t *testing.T) {
		noLeak(t)
		c := h.Hanging(t)
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(200*time.Millisecond, cancel)
		defer cancel()
		started := time.Now()
		mustFail(t, c.Gate.Run(ctx, c.Call))
		if took := time.Since(started); took > slack {
			t.Errorf("returned %s after its start, cancelled after 200ms", took)
		}
	})
	t.Run("a gate asked too late fails at once", func(t *testing.T) {
		noLeak(t)
		c := h.Hanging(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		mustFail(t, c.Gate.Run(ctx, c.Call))
	})
	t.Run("an endless answer is bounded", func(t *testing.T) {
		noLeak(t)
		mustFail(t, ask(t, h.Flooding(t), 20*time.Second))
	})
	t.Run("a secret appears in no result", func(t *testing.T) {
		noLeak(t)
		const secret = "canary/s3cret+value=="
		for name, c := range h.Leaky(t, secret) {
			t.Run(name, func(t *testing.T) {
				r := ask(t, c, 2*time.Second)
				mustFail(t, r)
				encoded, err := json.Marshal(r)
				if err != nil {
					t.Fatal(err)
				}
				for _, text := range []string{r.Message, r.Output, string(encoded), fmt.Sprintf("%+v", r), fmt.Sprintf("%+v", c.Gate)} {
					if strings.Contains(text, secret) || strings.Contains(text, "s3cret") {
						t.Errorf("the secret shows in: %s", text)
					}
				}
			})
		}
	})
}

// ask asks once and checks what holds for every result.
func ask(t *testing.T, c Case, timeout time.Duration) gate.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	started := time.Now()
	r := c.Gate.Run(ctx, c.Call)
	took := time.Since(started)
	if took > timeout+slack {
		t.Errorf("returned after %s, with a timeout of %s", took, timeout)
	}
	if r.Took <= 0 || r.Took > took {
		t.Errorf("says it took %s, took %s", r.Took, took)
	}
	if r.Message == "" || strings.ContainsAny(r.Message, "\n\r") || len(r.Message) > 1000 {
		t.Errorf("its message is not one line: %q", r.Message)
	}
	if len(r.Output) > maxOutput {
		t.Errorf("its output has %d bytes", len(r.Output))
	}
	if !utf8.ValidString(r.Output) || !utf8.ValidString(r.Message) {
		t.Errorf("its words are not text: %q, %q", r.Message, r.Output)
	}
	return r
}

func mustFail(t *testing.T, r gate.Result) {
	t.Helper()
	if r.Passed {
		t.Errorf("passed: %+v", r)
	}
	if r.Message == "" {
		t.Error("does not say why it failed")
	}
}

// noLeak checks that nothing started by the test goes on after it, servers
// that the test's cleanups end included.
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

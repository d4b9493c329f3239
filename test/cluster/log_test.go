//go:build plane

package cluster

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// structured asks of all that the controller has said that each line is one JSON
// object, whichever library said it, and returns the messages.
func structured(t *testing.T) (messages []string) {
	t.Helper()
	out, err := cluster.Kubectl(t.Context(), "logs", "-n", "serin-system", "deployment/serin-controller")
	if err != nil {
		t.Fatalf("kubectl logs: %v: %s", err, out)
	}
	for text := range strings.Lines(out) {
		var line struct {
			Time  time.Time `json:"time"`
			Level string    `json:"level"`
			Msg   string    `json:"msg"`
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Time.IsZero() || line.Level == "" || line.Msg == "" {
			t.Errorf("the controller said what no program can read (%v): %s", err, text)
		}
		messages = append(messages, line.Msg)
	}
	return messages
}

func TestTheControllersLogIsStructured(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	s.change("v2")
	s.weighs(20)
	s.says(2, "", "rollback", "shop", "--wait")
	all := strings.Join(structured(t), "\n")
	for _, part := range []string{
		"run moved",       // Serin's own
		"Starting worker", // controller-runtime's
		"acquired lease",  // client-go's
	} {
		if !strings.Contains(all, part) {
			t.Errorf("the controller's log does not say %q:\n%s", part, all)
		}
	}
	// client-go says so of an answer that its own caller does not wait for.
	if cut := "Unexpected error when reading response body"; strings.Contains(all, cut) {
		t.Errorf("the controller cut a request of its own off: it says %q", cut)
	}
}

//go:build plane

package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// lives is a way to the API server on which the controller dies, as by kill -9, at
// every effect twice: once before the request has reached the API server, and once
// when it was carried out and the controller has not heard of it.
type lives struct {
	mu sync.Mutex
	// process is the controller that lives now; nil between two lives.
	process *exec.Cmd
	// phases are the positions of the runs that were saved last.
	phases map[string]string
	// ended counts the lives that have ended at an effect, by where the runs were.
	ended map[string]int
	// after are the effects that lives have ended after.
	after []string
}

// effect names what a request changes outside; empty for one that changes nothing
// but where the run is said to be, for a lease and for an event.
func (l *lives) effect(r *http.Request, body []byte) string {
	path := strings.TrimPrefix(r.URL.Path, "/apis/")
	switch {
	case r.Method == http.MethodGet, strings.HasSuffix(path, "reviews"), strings.Contains(path, "/events"), strings.Contains(path, "/leases/"), strings.Contains(path, "/canaryrecords"): // the record is a part of the save
		return ""
	case strings.Contains(path, "/canaryrollouts/") && strings.HasSuffix(path, "/status"):
		return ""
	case strings.Contains(path, "/canaryruns/") && strings.HasSuffix(path, "/status"):
		var run serinv1.CanaryRun
		if json.Unmarshal(body, &run) != nil || run.Status.Phase == l.phases[run.Name] || strings.Contains(run.Status.Phase, "held:") {
			return "" // the run stays where it is
		}
		return "SAVE " + run.Name + " " + run.Status.Phase
	}
	return r.Method + " " + path
}

// meet is what happens at an effect: whether it is carried out, and whether the
// controller hears of that.
func (l *lives) meet(what string) (carried, heard bool) {
	if l.process == nil {
		return false, false // one that is dead does nothing
	}
	at := fmt.Sprint(l.phases, what)
	l.ended[at]++
	carried, heard = l.ended[at] > 1, l.ended[at] > 2
	if !heard {
		_ = l.process.Process.Kill()
		_ = l.process.Wait()
		l.process = nil
	}
	if !carried {
		return carried, heard
	}
	if !heard {
		l.after = append(l.after, what)
	}
	if save := strings.Fields(what); save[0] == "SAVE" {
		l.phases[save[1]] = strings.Join(save[2:], " ")
	}
	return carried, heard
}

func (l *lives) way(t *testing.T) *httptest.Server {
	t.Helper()
	return way(t, func(through *httputil.ReverseProxy) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body []byte
			if r.Method != http.MethodGet {
				var err error
				if body, err = io.ReadAll(r.Body); err != nil {
					panic(http.ErrAbortHandler)
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			l.mu.Lock()
			what := l.effect(r, body)
			if what == "" {
				l.mu.Unlock()
				through.ServeHTTP(w, r)
				return
			}
			defer l.mu.Unlock()
			switch carried, heard := l.meet(what); {
			case heard:
				through.ServeHTTP(w, r)
				return
			case carried:
				through.ServeHTTP(httptest.NewRecorder(), r.WithContext(t.Context()))
			}
			panic(http.ErrAbortHandler)
		})
	})
}

// until lives on, one controller after another, until there is nothing left to ask
// for.
func (l *lives) until(t *testing.T, s *shop, start func() *exec.Cmd, over func() error) {
	t.Helper()
	eventually(t, 8*time.Minute, func() error {
		l.mu.Lock()
		if l.process == nil {
			l.process = start()
		}
		last := l.after[max(0, len(l.after)-6):]
		l.mu.Unlock()
		if err := over(); err != nil {
			return fmt.Errorf("%w; the last lives ended at %q", err, last)
		}
		return nil
	})
}

// The controller is killed at every effect of a release and of a rollback, before
// it and after it. Both come to the same end as without, no step is taken twice
// and no decision is lost.
func TestTheControllerIsKilledAtEveryEffect(t *testing.T) {
	s := open(t, 2)
	s.away()
	l := &lives{phases: map[string]string{}, ended: map[string]int{}}
	start := s.besideThe(l.way(t))
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.process != nil {
			_ = l.process.Process.Kill()
		}
	})
	// How quick both are is not what is tried, and hard to tell with so little of it.
	s.apply(rolloutOf(crashPhases, ", {name: latency, type: responseTime}", ""))
	l.until(t, s, start, func() error {
		if s.deployment().Labels[serinv1.RolloutLabel] != "shop" {
			return fmt.Errorf("the Deployment has no label")
		}
		return nil
	})
	weights := s.history()
	users := send(t, s.host, 50)
	s.change("v2")
	var tested []string
	l.until(t, s, start, func() error {
		if s.weights()[1] == 100 {
			tested = s.podsOf("v2")
		}
		if d := s.deployment(); d.Spec.Paused || d.Status.UpdatedReplicas != 2 || d.Status.Replicas != 2 || d.Spec.Template.Spec.Containers[0].Image != "sample:v2" {
			return fmt.Errorf("after %d lives it is not released: %+v", 2*len(l.after), s.rollout().Status)
		}
		if run := s.runs()[0]; !run.Status.Archived || len(run.Finalizers) > 0 {
			return fmt.Errorf("the run is not done with: %+v", run.Status)
		}
		return nil
	})
	s.released(1, 2)
	if now := s.pods(); !slices.Equal(now, tested) {
		t.Errorf("%v were tested and %v serve", tested, now)
	}
	if got := fmt.Sprint(weights()); got != "[0 10 50 100 0]" {
		t.Errorf("the canary's weights were %s", got)
	}
	s.recorded("shop-1")

	s.change("v3", "-errors=0.5")
	l.until(t, s, start, func() error {
		if runs := s.runs(); len(runs) < 2 || !runs[1].Status.Archived {
			return fmt.Errorf("after %d lives it has not gone back: %+v", 2*len(l.after), s.rollout().Status)
		}
		return nil
	})
	// The weight goes before the reason is written: who was killed between the two has
	// told nobody, and the next one goes back because it sees the weight.
	if reason := s.rolledBack(2, "").Status.Reason; !strings.Contains(reason, "errors") && !strings.Contains(reason, "taken as a rollback that could not be written down") {
		t.Errorf("the run went back because %s", reason)
	}
	s.recorded("shop-2")
	users.stop()
	if got := count(users.got(time.Time{})); len(got.why) > 1 || got.why["v3 Internal Server Error"] != got.failed {
		t.Errorf("requests failed that v3 did not fail: %v", got.why)
	}
	if len(l.after) < 30 {
		t.Errorf("only %d effects have ended a life", len(l.after))
	}
}

package app

import (
	"context"
	"testing"
	"testing/synctest"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// slowWorkload takes all the time it is given to say how it is.
type slowWorkload struct{ builtin.Workload }

func (slowWorkload) Serving() workload.Version { return workload.Version{Version: "v1"} }

func (slowWorkload) Observe(ctx context.Context) (workload.Status, error) {
	<-ctx.Done()
	return workload.Status{}, ctx.Err()
}

type quietRouter struct{ builtin.Router }

func (quietRouter) Listen() string { return "127.0.0.1:8080" }

func (quietRouter) Observe(context.Context) (traffic.Observed, error) {
	return traffic.Observed{Known: true, Weight: 5, InEffect: true}, nil
}

// Who asks how a rollout is, as a dashboard does all the time, does not hold up
// the run that goes on there, however long the answer takes.
func TestARunDoesNotWaitForWhoLooksAtIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &home{parts: &builtin.Machine{Workload: slowWorkload{}, Router: quietRouter{}}, run: "shop-1"}
		asked := make(chan int)
		go func() { asked <- h.state().Weight }()
		synctest.Wait()
		if h.mu.TryLock() { // as the run's loop does to note where it is
			h.mu.Unlock()
		} else {
			t.Error("the run waits until the answer is there")
		}
		if weight := <-asked; weight != 5 {
			t.Errorf("the canary is said to get %d %%, want 5", weight)
		}
	})
}

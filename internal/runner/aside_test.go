package runner

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/metrics"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// slowLogs is a workload whose logs take long to read and tell of a panic.
type slowLogs struct {
	obedientWorkload
	takes time.Duration
}

func (w slowLogs) Exceptions(ctx context.Context) (map[rollout.Arm][]rollout.Exception, error) {
	select {
	case <-time.After(w.takes):
		return map[rollout.Arm][]rollout.Exception{rollout.Stable: {}, rollout.Canary: {{Class: "panic: no", Count: 1}}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// even is a source in which all is well.
type even struct{}

func (even) Collect(context.Context, time.Time, time.Time) (rollout.Arms, error) {
	requests, none := 1000.0, 0.0
	return rollout.Arms{Stable: &rollout.Sample{Requests: &requests, Errors: &none}, Canary: &rollout.Sample{Requests: &requests, Errors: &none}}, nil
}

func (even) Close() error { return nil }

// While logs are being read a person rolls back, and the weight is 0 at once.
// Where nobody does, the tick's figures are judged without them, and what they
// tell is in the next tick.
func TestLogsThatAreSlowToReadDelayNothing(t *testing.T) {
	for _, asked := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			st := &memory.Store{}
			run := store.Run{ID: "shop-1", Rollout: "shop", Plan: engine.Plan{
				Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 5, Duration: rollout.Duration(time.Hour)}}, HoldTimeout: rollout.Duration(time.Hour)},
				Analysis: rollout.Analysis{Interval: rollout.Duration(10 * time.Second), Alpha: .01, Checks: []rollout.Check{{Name: "exceptions", Type: rollout.Exceptions}}},
			}}
			run.State = engine.StartWatching(run.Plan, time.Now())
			run.State.Seen = 5
			if err := st.Create(t.Context(), run, nil, nil); err != nil {
				t.Fatal(err)
			}
			w := &obedient{Store: st, want: workload.Want{Stable: 100, Canary: 5}, split: traffic.Split{Weight: 5}}
			wake := NewWaker()
			var source metrics.Source = even{}
			r := New(run.ID, Ports{Store: w, Router: obedientRouter{w}, Workload: slowLogs{obedientWorkload{w}, 4 * time.Second}, Metrics: source, Jobs: noJobs{}, Tests: noTests{}},
				Options{Wake: wake.Wake})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			var latest atomic.Pointer[rollout.Arms]
			go func() {
				ended <- r.Loop(ctx, wake, nil, func(l Look, _ error) { latest.Store(l.Tick.Arms) })
			}()
			time.Sleep(11 * time.Second) // a tick is over, and the logs are being read
			synctest.Wait()
			if asked {
				if err := st.AddIntent(ctx, run.ID, rollout.Intent{ID: "1", Kind: rollout.Rollback, Actor: "ana", At: time.Now()}); err != nil {
					t.Fatal(err)
				}
				wake.Wake()
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				if w.split.Weight != 0 {
					t.Errorf("100 ms after a person rolled back the weight is %d", w.split.Weight)
				}
			} else {
				if tick := latest.Load(); tick == nil || tick.Canary == nil || tick.Canary.Exceptions != nil {
					t.Errorf("a second after the tick's end its figures are not judged by themselves: %+v", tick)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				tick := latest.Load()
				if tick == nil || tick.Canary == nil || len(tick.Canary.Exceptions) != 1 || tick.Stable.Exceptions == nil {
					t.Errorf("the next tick does not hold what the logs told: %+v", tick)
				}
			}
			cancel()
			<-ended
			time.Sleep(time.Minute) // what is under way is over
		})
	}
}

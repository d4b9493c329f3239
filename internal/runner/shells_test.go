package runner

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/workload"
)

// gateFunc answers as a function does.
type gateFunc func(ctx context.Context, c gate.Call) gate.Result

func (f gateFunc) Run(ctx context.Context, c gate.Call) gate.Result { return f(ctx, c) }

func stored(t *testing.T) (*memory.Store, store.Run) {
	t.Helper()
	st := &memory.Store{}
	run := store.Run{ID: "shop-1", Rollout: "shop", Plan: engine.Plan{Plan: rollout.Plan{Phases: []rollout.Phase{{Weight: 5}}}}}
	if err := st.Create(t.Context(), run, nil, nil); err != nil {
		t.Fatal(err)
	}
	return st, run
}

func nothing() {}

func TestAHookIsCalledAgainBeforeItCountsAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, run := stored(t)
		var keys []string
		flaky := gateFunc(func(_ context.Context, c gate.Call) gate.Result {
			keys = append(keys, c.Key)
			return gate.Result{Passed: len(keys) == 3}
		})
		jobs := NewJobs(map[string]Hook{"migrate": {Gate: flaky, Timeout: time.Second, Retries: 2}}, nil, st, slog.New(slog.DiscardHandler), nothing)
		job := engine.Job{Key: "beforeCanary/migrate", Kind: engine.JobHook, Hook: "migrate", Point: rollout.BeforeCanary}
		jobs.Start(job, run, workload.Status{})
		jobs.Start(job, run, workload.Status{}) // asked for again every look
		time.Sleep(time.Minute)
		synctest.Wait()
		got := jobs.Results()
		if len(got) != 1 || !got[0].Passed {
			t.Errorf("results %+v, want one pass", got)
		}
		if len(keys) != 3 || keys[0] != keys[2] {
			t.Errorf("called with the keys %v, want three times the same", keys)
		}
		jobs.Close()
	})
}

// What Serin keeps of a run is tried again for as long as the run waits for it: a
// full disk may have room a moment later.
func TestAChoreIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		works  time.Duration // from when on
		passed bool
	}{"room after a while": {20 * time.Second, true}, "never any room": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, run := stored(t)
				begun := time.Now()
				chores := map[engine.JobKind]Chore{engine.JobLogs: func(context.Context, store.Run, workload.Status) (string, error) {
					if time.Since(begun) < c.works {
						return "", errors.New("no space left")
					}
					return "kept", nil
				}}
				jobs := NewJobs(nil, chores, st, slog.New(slog.DiscardHandler), nothing)
				jobs.Start(engine.Job{Key: "logs", Kind: engine.JobLogs}, run, workload.Status{})
				time.Sleep(choreTimeout)
				synctest.Wait()
				if got := jobs.Results(); len(got) != 1 || got[0].Passed != c.passed || got[0].Message == "" {
					t.Errorf("results %+v, want one that passed: %v", got, c.passed)
				}
				jobs.Close()
			})
		})
	}
}

func TestAHookCutOffByTheEndOfTheProgramHasNoResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, run := stored(t)
		hangs := gateFunc(func(ctx context.Context, _ gate.Call) gate.Result {
			<-ctx.Done()
			return gate.Result{Message: "cut off"}
		})
		jobs := NewJobs(map[string]Hook{"tell": {Gate: hangs, Timeout: time.Hour}}, nil, st, slog.New(slog.DiscardHandler), nothing)
		jobs.Start(engine.Job{Key: "onRollback/tell", Kind: engine.JobHook, Hook: "tell"}, run, workload.Status{})
		time.Sleep(time.Second)
		jobs.Close()
		if got := jobs.Results(); len(got) != 0 {
			t.Errorf("results %+v, want none", got)
		}
	})
}

func TestAContinuousTestStandsByItsLatestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, run := stored(t)
		var failing atomic.Bool
		var asked atomic.Int64
		smoke := gateFunc(func(context.Context, gate.Call) gate.Result {
			asked.Add(1)
			return gate.Result{Passed: !failing.Load(), Message: "answer"}
		})
		tests := NewTests([]Test{{Name: "smoke", Gate: smoke, Interval: 10 * time.Second, Timeout: time.Second}}, st, slog.New(slog.DiscardHandler), nothing)
		stand := func() engine.TestResult {
			synctest.Wait()
			got := tests.Results()
			if len(got) != 1 {
				t.Fatalf("results %+v, want one", got)
			}
			return got[0]
		}
		tests.Watch(1, 5, run, workload.Status{})
		time.Sleep(25 * time.Second)
		if got := stand(); got.Passes != 3 || got.Failures != 0 {
			t.Errorf("after three passes: %+v", got)
		}
		failing.Store(true)
		time.Sleep(20 * time.Second)
		if got := stand(); got.Failures != 2 {
			t.Errorf("after two failures in a row: %+v", got)
		}
		failing.Store(false)
		time.Sleep(10 * time.Second)
		if got := stand(); got.Failures != 0 || got.Passes != 4 {
			t.Errorf("after a pass: %+v", got)
		}
		tests.Watch(2, 10, run, workload.Status{})
		synctest.Wait()
		if got := stand(); got.Passes != 1 {
			t.Errorf("a new phase begins its own count: %+v", got)
		}
		tests.Watch(0, 0, run, workload.Status{})
		synctest.Wait()
		before := asked.Load()
		time.Sleep(time.Minute)
		if asked.Load() != before {
			t.Error("a test was asked after the phases were over")
		}
		tests.Close()
	})
}

func TestAHangingTestDelaysNoOtherAndCountsAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, run := stored(t)
		hangs := gateFunc(func(ctx context.Context, _ gate.Call) gate.Result {
			<-ctx.Done()
			return gate.Result{Message: "no answer"}
		})
		passes := gateFunc(func(context.Context, gate.Call) gate.Result { return gate.Result{Passed: true} })
		tests := NewTests([]Test{
			{Name: "hangs", Gate: hangs, Interval: 10 * time.Second, Timeout: 5 * time.Second},
			{Name: "passes", Gate: passes, Interval: 10 * time.Second, Timeout: 5 * time.Second},
		}, st, slog.New(slog.DiscardHandler), nothing)
		tests.Watch(1, 5, run, workload.Status{})
		time.Sleep(16 * time.Second)
		synctest.Wait()
		got := tests.Results()
		if len(got) != 2 || got[0].Failures != 2 || got[1].Passes != 2 {
			t.Errorf("results %+v, want two failures and two passes", got)
		}
		tests.Close()
	})
}

// full is a store that takes nothing more.
type full struct{ store.Store }

func (full) Append(context.Context, string, []record.Line) error { return store.ErrFull }

// The answer of a hook that cannot be recorded counts all the same, and somebody
// is told of it.
func TestAnAnswerThatCannotBeRecordedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, run := stored(t)
		var log bytes.Buffer
		passes := gateFunc(func(context.Context, gate.Call) gate.Result { return gate.Result{Passed: true, Message: "migrated"} })
		jobs := NewJobs(map[string]Hook{"migrate": {Gate: passes, Timeout: time.Second}}, nil, full{st}, slog.New(slog.NewTextHandler(&log, nil)), nothing)
		jobs.Start(engine.Job{Key: "beforeCanary/migrate", Kind: engine.JobHook, Hook: "migrate"}, run, workload.Status{})
		synctest.Wait()
		if got := jobs.Results(); len(got) != 1 || !got[0].Passed {
			t.Errorf("results %+v, want one pass", got)
		}
		jobs.Close()
		for _, word := range []string{"not in the record", "gate=migrate", "migrated", store.ErrFull.Error()} {
			if !strings.Contains(log.String(), word) {
				t.Errorf("the log does not say %q: %s", word, log.String())
			}
		}
	})
}

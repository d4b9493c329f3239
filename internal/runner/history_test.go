package runner

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/store"
	"serin.dev/serin/internal/store/memory"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/workload"
)

// archivist is a source that takes its time to remember, or cannot.
type archivist struct {
	even
	takes time.Duration
	fails bool
	asked *atomic.Int32
}

func (a archivist) History(ctx context.Context, _ time.Time, tick time.Duration) (*rollout.History, error) {
	a.asked.Add(1)
	select {
	case <-time.After(a.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a.fails {
		return nil, errors.New("nobody remembers")
	}
	return rollout.NewHistory(tick, []rollout.HistoryTick{{CPU: map[string]float64{"shop-0": 0.25, "shop-1": 0.5}}}), nil
}

// However long the hour before takes to read, ticks come in time; it is in the
// first that ends after it, once. When it cannot be read the record says so and
// the run goes on.
func TestTheHourBeforeDelaysNothing(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		fails bool
		check rollout.CheckType
		// in is the tick that has it, -1: none; asked is how often it was asked for.
		in, asked int
		says      string
	}{
		"at once":           {0, false, rollout.CPU, 0, 1, `"read history"`},
		"after 25 s":        {25 * time.Second, false, rollout.Memory, 2, 1, "processor time of 2"},
		"never":             {time.Hour, false, rollout.CPU, -1, 1, "deadline"},
		"it cannot be read": {time.Second, true, rollout.CPU, -1, 3, "nobody remembers"},
		"nobody needs it":   {0, false, rollout.ErrorRate, -1, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := &memory.Store{}
				run := store.Run{ID: "shop-1", Rollout: "shop", Plan: engine.Plan{
					Plan:     rollout.Plan{Phases: []rollout.Phase{{Weight: 5, Duration: rollout.Duration(time.Hour)}}, HoldTimeout: rollout.Duration(time.Hour)},
					Analysis: rollout.Analysis{Interval: rollout.Duration(10 * time.Second), Alpha: .01, Checks: []rollout.Check{{Name: "use", Type: c.check}}},
				}}
				run.State = engine.StartWatching(run.Plan, time.Now())
				run.State.Seen = 5
				if err := st.Create(t.Context(), run, nil, nil); err != nil {
					t.Fatal(err)
				}
				w := &obedient{Store: st, want: workload.Want{Stable: 100, Canary: 5}, split: traffic.Split{Weight: 5}}
				asked := &atomic.Int32{}
				var ticks, in []int
				watch := func(l Look, _ error) {
					if l.Input.Tick == nil {
						return
					}
					ticks = append(ticks, int(l.Input.Tick.Sub(run.State.At).Seconds()))
					if l.Input.History != nil {
						in = append(in, len(ticks)-1)
					}
				}
				wake := NewWaker()
				r := New(run.ID, Ports{Store: w, Router: obedientRouter{w}, Workload: obedientWorkload{w}, Metrics: archivist{takes: c.takes, fails: c.fails, asked: asked}, Jobs: noJobs{}, Tests: noTests{}},
					Options{Wake: wake.Wake})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- r.Loop(ctx, wake, nil, watch) }()
				time.Sleep(61 * time.Second)
				cancel()
				<-ended
				if len(ticks) != 6 || ticks[5] != 60 {
					t.Errorf("the ticks end at %v s", ticks)
				}
				if c.in < 0 && len(in) > 0 || c.in >= 0 && (len(in) != 1 || in[0] != c.in) {
					t.Errorf("the ticks %v have a history, want %d", in, c.in)
				}
				if n := int(asked.Load()); n != c.asked {
					t.Errorf("it was asked for %d times, want %d", n, c.asked)
				}
				lines, err := st.Lines(t.Context(), run.ID, 0, 1000)
				if err != nil {
					t.Fatal(err)
				}
				said := ""
				for _, l := range lines {
					if strings.Contains(string(l), `"effect":"read history"`) {
						said += string(l)
					}
				}
				if (said != "") != (c.says != "") || !strings.Contains(said, c.says) {
					t.Errorf("the record says %q, want %q", said, c.says)
				}
				time.Sleep(time.Minute) // what is under way is over
			})
		})
	}
}

// Package backtest shows a plan what was recorded of a past release and writes
// down what it would have decided: from series that a Prometheus has kept, or
// from the archived record of a run.
//
// It knows the pure rooms only; who can read recorded series is handed to it as
// a function.
package backtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// Collect returns what both arms did from the end of the call before (for the
// first: since) to now, as a metrics source does, but of a time that is past.
type Collect func(ctx context.Context, since, now time.Time) (rollout.Arms, error)

// Window is a past time in which there was a release.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// maxTicks bounds a window: a year of ten-second ticks is a mistake.
const maxTicks = 200_000

// Check says what is wrong with a window for ticks of this length.
func (w Window) Check(interval time.Duration) error {
	switch n := w.To.Sub(w.From) / interval; {
	case !w.To.After(w.From):
		return fmt.Errorf("the range ends at %s, which is not after its beginning, %s", w.To.Format(time.RFC3339), w.From.Format(time.RFC3339))
	case n < 1:
		return fmt.Errorf("the range is shorter than a tick of %s", interval)
	case n > maxTicks:
		return fmt.Errorf("the range has %d ticks of %s, more than %d; narrow it to one release", n, interval, maxTicks)
	}
	return nil
}

// ErrNothing says that a window holds no figures of a canary at all.
var ErrNothing = errors.New("no request of the canary is recorded in this range")

// Series reads a window as ticks, from the first in which the canary had
// requests. weights are the plan's, among which each tick's share is looked for.
// progress, when not nil, is told after every tick.
func Series(ctx context.Context, collect Collect, w Window, interval time.Duration, weights []int, progress func(done, all int)) ([]rollout.Tick, error) {
	if err := w.Check(interval); err != nil {
		return nil, err
	}
	// What the first call yields belongs to no tick.
	if _, err := collect(ctx, w.From, w.From); err != nil {
		return nil, err
	}
	var ticks []rollout.Tick
	share := shares{weights: weights}
	all := int(w.To.Sub(w.From) / interval)
	for i, now := 1, w.From.Add(interval); !now.After(w.To); i, now = i+1, now.Add(interval) {
		arms, err := collect(ctx, now.Add(-interval), now)
		if err != nil {
			return nil, fmt.Errorf("at %s: %w", now.Format(time.RFC3339), err)
		}
		if progress != nil {
			progress(i, all)
		}
		if len(ticks) == 0 && requests(arms.Canary) == 0 {
			continue
		}
		ticks = append(ticks, rollout.Tick{At: now, Weight: share.of(arms), Arms: arms})
	}
	if len(ticks) == 0 {
		return nil, ErrNothing
	}
	return ticks, nil
}

func requests(s *rollout.Sample) float64 {
	if s == nil || s.Requests == nil {
		return 0
	}
	return *s.Requests
}

// shares tells the weight that was in effect by the requests that each arm got:
// nobody has recorded what was set.
type shares struct {
	weights        []int
	canary, stable float64
	last           int
}

const (
	// shareFading makes the latest six ticks or so count.
	shareFading = 0.85
	// A weight of the plan is taken when the share is this near to it, besides
	// two standard errors.
	shareNear = 0.15
	// shareChange is how many standard errors off the latest tick must be for
	// the weight to have changed just now.
	shareChange = 4
)

// of is the weight of the tick with these samples.
func (s *shares) of(arms rollout.Arms) int {
	c, b := requests(arms.Canary), requests(arms.Stable)
	n := c + b
	if n <= 0 {
		return s.last
	}
	if all := s.canary + s.stable; all > 0 {
		p := s.canary / all
		if math.Abs(c/n-p) > shareChange*math.Sqrt(max(p*(1-p), 0.01)*(1/n+1/all)) {
			s.canary, s.stable = 0, 0
		}
	}
	s.canary = shareFading*s.canary + c
	s.stable = shareFading*s.stable + b
	all := s.canary + s.stable
	share := rollout.Full * s.canary / all
	noise := 2 * rollout.Full * math.Sqrt(max(1, s.canary*s.stable/all)) / all
	best, off := int(math.Round(share)), math.Inf(1)
	for _, w := range append([]int{s.last}, s.weights...) {
		if d := math.Abs(share - float64(w)); w > 0 && d <= shareNear*float64(w)+noise && d < off {
			best, off = w, d
		}
	}
	if b > 0 && best >= rollout.Full {
		best = rollout.Full - 1 // stable still had requests to compare with
	}
	s.last = best
	return best
}

// Verdict is what a plan would have made of a release.
type Verdict struct {
	// Decision is the latest: rollback, complete, hold, wait or proceed. Waiting
	// says that a person would have been waited for.
	Decision engine.Kind `json:"decision"`
	Waiting  bool        `json:"waiting,omitempty"`
	// At is when that was decided, After how many seconds into the release.
	At    time.Time `json:"at"`
	After float64   `json:"secondsAfterStart"`
	// Weight and Phase are where the plan was, Recorded the weight that was in
	// effect.
	Phase    int `json:"phase"`
	Weight   int `json:"weight"`
	Recorded int `json:"recordedWeight"`
	// Because is why.
	Because  []engine.Reason `json:"because"`
	Timeline []Step          `json:"timeline"`
	// Differs is for how many ticks the recorded weight was not the plan's.
	Differs int `json:"ticksAtAnotherWeight,omitempty"`
}

// Step is a change in what was decided.
type Step struct {
	At       time.Time   `json:"at"`
	Decision engine.Kind `json:"decision"`
	Phase    int         `json:"phase"`
	// Weight is what the plan wanted from then on, Recorded what was in effect.
	Weight   int    `json:"weight"`
	Recorded int    `json:"recordedWeight"`
	Message  string `json:"message"`
}

// healthy is how both arms are taken to have been.
var healthy = engine.Group{Instances: 1, Ready: 1, Capacity: rollout.Full}

// Judge shows a plan the ticks of a release. Tests are taken to have passed and
// approvals to have been given at once. Time passes for the plan as if each of
// its weights had been in effect; the figures are judged at the weight that was.
// It ends with the first final decision, or with the ticks.
func Judge(plan engine.Plan, ticks []rollout.Tick) Verdict {
	plan.Tests, plan.Hooks = nil, nil
	interval := time.Duration(plan.Analysis.Interval)
	begin := ticks[0].At.Add(-interval)
	state := engine.StartWatching(plan, begin)
	var v Verdict
	was := ""
	for _, t := range ticks {
		wanted := state.Percent(plan)
		if t.Weight != wanted {
			v.Differs++
		}
		stable, canary := healthy, healthy
		d := engine.Decide(plan, state, engine.Observation{
			At:     t.At,
			Weight: &engine.Weight{Known: true, Percent: wanted, InEffect: true},
			Stable: &stable, Canary: &canary, Tick: &t,
		})
		state = d.Next
		v.Decision, v.Waiting, v.Because = d.Kind, state.Waiting(), d.Because
		v.Phase, v.Weight, v.Recorded = min(state.Phase+1, len(plan.Phases)), d.Share(), t.Weight
		if at := string(d.Kind) + state.Position(); at != was {
			if d.Kind == engine.Wait && len(v.Timeline) > 0 && v.Timeline[len(v.Timeline)-1].Decision == engine.Proceed {
				// Going on is what was decided; that it then waits says nothing.
				was = at
				continue
			}
			was = at
			v.At, v.After = t.At, t.At.Sub(begin).Seconds()
			v.Timeline = append(v.Timeline, Step{At: t.At, Decision: d.Kind, Phase: v.Phase, Weight: v.Weight, Recorded: t.Weight, Message: message(d)})
		}
		if d.Kind == engine.Rollback || d.Kind == engine.Complete {
			break
		}
	}
	return v
}

// message is a decision's reason in a line.
func message(d engine.Decision) string {
	for _, r := range d.Because {
		if r.Result != nil && r.Message != "" {
			return r.Check + ": " + r.Message
		}
		if r.Rule != "" && r.Rule != "watching" {
			return r.Message
		}
		if r.Rule != "" && len(d.Because) == 1 {
			return r.Message
		}
	}
	return ""
}

// Hole is a time in which figures are missing.
type Hole struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Arm is whose: stable, canary or both.
	Arm string `json:"arm"`
}

// leastHole is how many ticks in a row must lack figures to be listed: one or
// two that a scrape was late for are joined to the next.
const leastHole = 3

// Holes lists where ticks lack figures.
func Holes(ticks []rollout.Tick) []Hole {
	var out []Hole
	arm, from, n := "", 0, 0
	for i := 0; i <= len(ticks); i++ {
		now := ""
		if i < len(ticks) {
			now = missing(ticks[i])
		}
		if now == arm {
			n++
			continue
		}
		if arm != "" && n >= leastHole {
			begin := ticks[from].At
			if from > 0 {
				begin = ticks[from-1].At
			}
			out = append(out, Hole{From: begin, To: ticks[i-1].At, Arm: arm})
		}
		arm, from, n = now, i, 1
	}
	return out
}

func missing(t rollout.Tick) string {
	switch {
	case t.Arms.Stable == nil && t.Arms.Canary == nil:
		return "both"
	case t.Arms.Canary == nil:
		return "canary"
	case t.Arms.Stable == nil && t.Weight < rollout.Full:
		return "stable"
	}
	return ""
}

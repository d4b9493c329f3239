package simulate

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// Options say what is measured and how often.
type Options struct {
	Plan      engine.Plan
	Traffic   Traffic
	Scenarios []Scenario
	// Runs is how many runs each scenario has.
	Runs int
	Seed uint64
	// Progress, when not nil, is told after every run how many of how many are
	// done. It is called from several goroutines.
	Progress func(done, all int)
}

// Outcome is what a scenario's runs came to. Times are in seconds.
type Outcome struct {
	Scenario    string      `json:"scenario"`
	Description string      `json:"description,omitempty"`
	Expected    Expectation `json:"expected"`
	Runs        int         `json:"runs"`
	// How the runs ended.
	RolledBack int `json:"rolledBack"`
	Promoted   int `json:"promoted"`
	Paused     int `json:"paused"`
	// Median and P90 are from the moment at which the fault first showed to the
	// rollback, over the runs that were rolled back; 0 when none was.
	Median float64 `json:"medianSecondsToRollback,omitempty"`
	P90    float64 `json:"p90SecondsToRollback,omitempty"`
	// Affected is how many requests of the canary were worse off in a run, and
	// CanaryRequests how many it had, on average.
	Affected       float64 `json:"affectedRequests"`
	CanaryRequests float64 `json:"canaryRequests"`
	// Duration is the median time from the first phase to the promotion, over
	// the runs that were promoted.
	Duration float64 `json:"medianSecondsToPromotion,omitempty"`
	// By counts the rollbacks by the check that decided, "rule" for those that
	// no check did.
	By map[string]int `json:"rolledBackBy,omitempty"`

	ticks int
}

// share is a number of runs as a part of all.
func (o Outcome) share(n int) float64 { return float64(n) / float64(max(1, o.Runs)) }

// Measure plays every scenario's runs on every core. Run i of a scenario is the
// same whatever the number of cores, and so is what comes out.
func Measure(ctx context.Context, o Options) ([]Outcome, error) {
	p := newPlayer(o.Plan)
	runs := make([][]run, len(o.Scenarios))
	for i := range runs {
		runs[i] = make([]run, o.Runs)
	}
	all := len(o.Scenarios) * o.Runs
	var next, done atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= all {
					return
				}
				s, i := n/o.Runs, n%o.Runs
				sc := o.Scenarios[s]
				runs[s][i] = p.play(newSource(randOf(o.Seed, sc.Name, i), sc, o.Traffic, o.Plan.Analysis))
				if finished := int(done.Add(1)); o.Progress != nil {
					o.Progress(finished, all)
				}
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]Outcome, len(o.Scenarios))
	for s, sc := range o.Scenarios {
		out[s] = sum(sc, o.Plan.Analysis, runs[s])
	}
	return out, nil
}

// sum adds up a scenario's runs in their order.
func sum(s Scenario, a rollout.Analysis, runs []run) Outcome {
	o := Outcome{Scenario: s.Name, Description: s.Description, Expected: s.Expected(a), Runs: len(runs)}
	var toRollback, toPromotion []float64
	for _, r := range runs {
		switch r.end {
		case RolledBack:
			o.RolledBack++
			if r.sinceFault >= 0 {
				toRollback = append(toRollback, r.sinceFault.Seconds())
			}
			by := r.failed
			if by == "" {
				by = "rule"
			}
			if o.By == nil {
				o.By = map[string]int{}
			}
			o.By[by]++
		case Promoted:
			o.Promoted++
			toPromotion = append(toPromotion, r.lasted.Seconds())
		case Paused:
			o.Paused++
		}
		o.Affected += r.affected / float64(len(runs))
		o.CanaryRequests += r.requests / float64(len(runs))
		o.ticks += r.ticks
	}
	o.Affected, o.CanaryRequests = math.Round(o.Affected*10)/10, math.Round(o.CanaryRequests)
	o.Median, o.P90 = quantile(toRollback, 0.5), quantile(toRollback, 0.9)
	o.Duration = quantile(toPromotion, 0.5)
	return o
}

// quantile is the smallest value that at least a part p of all do not exceed.
func quantile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max(0, int(math.Ceil(p*float64(len(values))))-1)]
}

// Judged are the types of checks in a plan that this version judges from
// figures such as the simulator's, and Unjudged the others: what a healthy run
// says of them.
func Judged(plan engine.Plan, t Traffic) (judged, unjudged []rollout.CheckType) {
	p := newPlayer(plan)
	src := newSource(randOf(0, "judged", 0), Scenario{}, t, p.plan.Analysis)
	state := engine.StartWatching(p.plan, start)
	interval := time.Duration(p.plan.Analysis.Interval)
	seen := map[rollout.CheckType]bool{}
	for i := range 30 {
		since := time.Duration(i) * interval
		weight := p.plan.Phases[0].Weight
		arms, e := src.tick(since, weight)
		d := engine.Decide(p.plan, state, new(sight).observe(src, rollout.Tick{At: start.Add(since + interval), Weight: weight, Arms: arms}, e))
		state = d.Next
		for _, r := range state.Assessment.Results {
			seen[r.Type] = seen[r.Type] || r.Judged
		}
	}
	for _, c := range plan.Analysis.Checks {
		switch {
		case slices.Contains(judged, c.Type), slices.Contains(unjudged, c.Type):
		case seen[c.Type]:
			judged = append(judged, c.Type)
		default:
			unjudged = append(unjudged, c.Type)
		}
	}
	return judged, unjudged
}

// Applicable are the scenarios whose faults a plan with these judged checks can
// see at all.
func Applicable(all []Scenario, judged []rollout.CheckType) []Scenario {
	var out []Scenario
	for _, s := range all {
		needs := s.Needs()
		if len(needs) == 0 || slices.ContainsFunc(needs, func(t rollout.CheckType) bool { return slices.Contains(judged, t) }) {
			out = append(out, s)
		}
	}
	return out
}

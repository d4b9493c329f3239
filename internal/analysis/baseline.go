package analysis

import (
	"maps"

	"serin.dev/serin/internal/rollout"
)

// A baseline is fresh instances of stable's version, as many and as old as the
// canary's. What age changes (response times, processor time, memory) is compared
// with them: if the versions are equal, nothing tells the arms apart, so nothing
// is left out while they are cold. What age does not change is compared with all
// of stable's version, which is more.

// paired is a tick's baseline when it has figures of its traffic. A tick without
// is compared with stable, by the rules for a fresh canary.
func paired(t rollout.Tick) *rollout.Sample {
	if !reported(t.Arms.Baseline) {
		return nil
	}
	return t.Arms.Baseline
}

// meantBaseline says whether the plan has a baseline at a weight.
func (c Config) meantBaseline(weight int) bool {
	return rollout.Plan{Baseline: c.Baseline}.BaselineWeight(weight) > 0
}

// flagPeer says what the comparison of a tick was with, if that is not stable as
// it is without a baseline.
func (t reading) flagPeer(res *Result) {
	switch {
	case t.baseline != nil:
		res.Flags = append(res.Flags, "baseline")
	case t.lacksBaseline:
		res.Flags = append(res.Flags, "no-baseline")
	}
}

// peer is what the canary's age is compared with, for people.
func (t reading) peer() string {
	if t.baseline != nil {
		return "the baseline"
	}
	return "stable"
}

// together is what two samples of one version did; stable's alone where one of
// them lacks what the other has, as the two would not fit together.
func together(stable, baseline *rollout.Sample) *rollout.Sample {
	if stable == nil || baseline == nil {
		return stable
	}
	s := *stable
	if countsErrors(stable) == countsErrors(baseline) && (stable.Requests == nil) == (baseline.Requests == nil) {
		s.Requests, s.Errors = sum(stable.Requests, baseline.Requests), sum(stable.Errors, baseline.Errors)
		s.Complaints = sum(stable.Complaints, baseline.Complaints)
		s.Business = business(stable.Business, baseline.Business)
	}
	if stable.Exceptions != nil && baseline.Exceptions != nil {
		s.Exceptions = append(append([]rollout.Exception{}, stable.Exceptions...), baseline.Exceptions...)
	}
	if stable.Instances != nil && baseline.Instances != nil {
		n := *stable.Instances + *baseline.Instances
		s.Instances = &n
	}
	return &s
}

// sum adds what was measured: complaints may be counted for the version as a
// whole.
func sum(a, b *float64) *float64 {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	v := *a + *b
	return &v
}

func business(a, b map[string]rollout.BusinessSample) map[string]rollout.BusinessSample {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	out := maps.Clone(a)
	for name, x := range a {
		y, ok := b[name]
		if !ok {
			continue
		}
		x.Trials, x.Successes, x.Count = sum(x.Trials, y.Trials), sum(x.Successes, y.Successes), sum(x.Count, y.Count)
		x.Sum, x.SumSquares = sum(x.Sum, y.Sum), sum(x.SumSquares, y.SumSquares)
		out[name] = x
	}
	return out
}

package main

import (
	"math"
	"time"

	"serin.dev/serin/internal/rollout"
)

// rule is how another tool decides, written from its description, shown the
// same ticks as the analysis. It says whether it rolls back.
type rule struct {
	name string
	// begin starts a run; the function is called tick by tick with the time at
	// the tick's end.
	begin func() func(at time.Duration, arms rollout.Arms) bool
}

// errorRules judge error rates. Each has the settings that its documentation
// shows or that are its defaults.
var errorRules = []rule{
	{"Kayenta", kayenta(errorPoint)},
	{"Flagger", flagger},
	{"Argo", argo},
	{"ratio", ratioRule},
	{"z", zRule},
}

// latencyRules judge response times.
var latencyRules = []rule{
	{"Kayenta", kayenta(meanPoint)},
	{"mean 1.1x", meanRule},
}

// minutes adds ticks up to whole minutes.
type minutes struct {
	canary, stable minute
}

// minute is what an arm did in it.
type minute struct{ requests, errors, seconds float64 }

func (m *minute) add(s *rollout.Sample) {
	if s == nil {
		return
	}
	if s.Requests != nil {
		m.requests += *s.Requests
	}
	if s.Errors != nil {
		m.errors += *s.Errors
	}
	if s.Latency != nil && s.Latency.Sum != nil {
		m.seconds += *s.Latency.Sum
	}
}

// add takes in a tick and says whether a minute ended with it.
func (m *minutes) add(at time.Duration, arms rollout.Arms) (ended bool) {
	m.canary.add(arms.Canary)
	m.stable.add(arms.Stable)
	return at%time.Minute == 0
}

func errorPoint(m minute) float64 { return m.errors / m.requests }
func meanPoint(m minute) float64  { return m.seconds / m.requests }

// kayenta is the NetflixACAJudge on points of a minute, the window growing,
// judged every five minutes, the metric critical: one that is High ends it.
// Points without requests are left out. Stable itself is the baseline, which is
// kinder than one of the canary's size.
func kayenta(point func(minute) float64) func() func(time.Duration, rollout.Arms) bool {
	return func() func(time.Duration, rollout.Arms) bool {
		var m minutes
		var canary, stable []float64
		return func(at time.Duration, arms rollout.Arms) bool {
			if !m.add(at, arms) {
				return false
			}
			if v := point(m.canary); !math.IsNaN(v) {
				canary = append(canary, v)
			}
			if v := point(m.stable); !math.IsNaN(v) {
				stable = append(stable, v)
			}
			m = minutes{}
			return at%(5*time.Minute) == 0 && len(canary) > 0 && len(stable) > 0 && kayentaHigh(canary, stable, 1)
		}
	}
}

// kayentaHigh is the classifier: High when the 98 % interval of the shift lies
// above a quarter of the estimate, and the means' ratio is at least so much.
func kayentaHigh(experiment, control []float64, allowedIncrease float64) bool {
	low, _, estimate := shiftInterval(experiment, control, 0.98)
	return low > 0.25*math.Abs(estimate) && mean(experiment) >= allowedIncrease*mean(control)
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// flagger is its built-in check of the request success rate: the canary's, over
// a minute, below 99 %; a minute without requests fails too. Failed checks are
// counted and not forgotten; the fifth rolls back.
func flagger() func(time.Duration, rollout.Arms) bool {
	var m minutes
	failed := 0
	return func(at time.Duration, arms rollout.Arms) bool {
		if !m.add(at, arms) {
			return false
		}
		if m.canary.requests == 0 || errorPoint(m.canary) > 0.01 {
			failed++
		}
		m = minutes{}
		return failed >= 5
	}
}

// argo is the analysis of its documentation: the canary's success rate of a
// minute at least 95 %, failureLimit 3.
func argo() func(time.Duration, rollout.Arms) bool {
	var m minutes
	failed := 0
	return func(at time.Duration, arms rollout.Arms) bool {
		if !m.add(at, arms) {
			return false
		}
		if m.canary.requests > 0 && errorPoint(m.canary) > 0.05 {
			failed++
		}
		m = minutes{}
		return failed > 3
	}
}

// window is the latest five minutes.
type window struct{ past [5]minutes }

func (w *window) add(m minutes) (all minutes) {
	copy(w.past[1:], w.past[:])
	w.past[0] = m
	for _, p := range w.past {
		for _, arm := range []struct {
			to   *minute
			from minute
		}{{&all.canary, p.canary}, {&all.stable, p.stable}} {
			arm.to.requests += arm.from.requests
			arm.to.errors += arm.from.errors
			arm.to.seconds += arm.from.seconds
		}
	}
	return all
}

// ratioRule is a query that compares the arms: twice stable's error rate over
// five minutes.
func ratioRule() func(time.Duration, rollout.Arms) bool {
	var m minutes
	var w window
	return func(at time.Duration, arms rollout.Arms) bool {
		if !m.add(at, arms) {
			return false
		}
		all := w.add(m)
		m = minutes{}
		return at >= 5*time.Minute && all.canary.requests > 0 && all.canary.errors > 0 && errorPoint(all.canary) > 2*errorPoint(all.stable)
	}
}

// meanRule is the same for the mean response time at 1.1 times.
func meanRule() func(time.Duration, rollout.Arms) bool {
	var m minutes
	var w window
	return func(at time.Duration, arms rollout.Arms) bool {
		if !m.add(at, arms) {
			return false
		}
		all := w.add(m)
		m = minutes{}
		return at >= 5*time.Minute && all.canary.requests > 0 && meanPoint(all.canary) > 1.1*meanPoint(all.stable)
	}
}

// zRule is the one-sided z test of two proportions at 5 %, on everything so
// far, looked at every minute.
func zRule() func(time.Duration, rollout.Arms) bool {
	var m minutes
	return func(at time.Duration, arms rollout.Arms) bool {
		if !m.add(at, arms) {
			return false
		}
		c, s := m.canary, m.stable
		if c.requests == 0 || s.requests == 0 {
			return false
		}
		p := (c.errors + s.errors) / (c.requests + s.requests)
		sd := math.Sqrt(p * (1 - p) * (1/c.requests + 1/s.requests))
		return sd > 0 && (errorPoint(c)-errorPoint(s))/sd > 1.6448536269514722
	}
}

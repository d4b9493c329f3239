package dialogue

import (
	"math"

	"serin.dev/serin/internal/rollout"
)

// traffic says what requests come and how each arm fares with them.
type traffic struct {
	// rps is how many requests a second come.
	rps int
	// stableErrors and canaryErrors are the shares of requests that fail.
	stableErrors, canaryErrors float64
	// slower is how much longer the canary takes: 0.25 is a quarter more.
	slower float64
	// lost says whose figures do not arrive.
	stableLost, canaryLost bool
}

// usualErrors is the share of requests that fail of a service in good health.
const usualErrors = 0.01

// meter counts what arrived. Figures are whole numbers, so it keeps what is
// left of each for the next tick: no randomness, and nothing lost.
type meter struct {
	requests, stableErrors, canaryErrors float64
	// times: response times are measured too.
	times bool
}

// take moves the whole part of x from the account to the caller.
func take(account *float64, x float64) float64 {
	*account += x
	whole := math.Floor(*account + 1e-9)
	*account -= whole
	return whole
}

// arms returns a tick's figures at a weight.
func (m *meter) arms(t traffic, seconds float64, weight, baseline int) rollout.Arms {
	all := float64(t.rps) * seconds
	canary := take(&m.requests, all*float64(weight)/rollout.Full)
	beside := math.Floor(all * float64(baseline) / rollout.Full)
	stable := all - canary - beside
	var arms rollout.Arms
	if !t.stableLost {
		arms.Stable = m.sample(stable, take(&m.stableErrors, (stable+beside)*t.stableErrors), 1)
	}
	if beside > 0 {
		arms.Baseline = m.sample(beside, 0, 1)
	}
	if !t.canaryLost {
		arms.Canary = m.sample(canary, take(&m.canaryErrors, canary*t.canaryErrors), 1+t.slower)
	}
	return arms
}

// sample is what one arm did. Its response times are spread over their usual
// shape, scaled by pace.
func (m *meter) sample(requests, errors, pace float64) *rollout.Sample {
	s := &rollout.Sample{Requests: &requests, Errors: &errors}
	if m.times {
		s.Latency = latency(requests, pace)
	}
	return s
}

// Response times lie around 50 ms, a third of them beyond e^±0.5 of it, on
// buckets of two percent.
const (
	median = 0.05
	spread = 0.5
	growth = 1.02
	grid   = 300
)

func latency(requests, pace float64) *rollout.Histogram {
	h := &rollout.Histogram{Counts: make([]float64, grid+1)}
	sum, below := 0.0, 0.0
	for i := range grid {
		bound := 0.005 * math.Pow(growth, float64(i))
		upTo := requests * normal(math.Log(bound/(median*pace))/spread)
		h.Bounds = append(h.Bounds, bound)
		// Whole requests, the remainder carried to the next bucket.
		h.Counts[i] = math.Round(upTo) - math.Round(below)
		sum += h.Counts[i] * bound
		below = upTo
	}
	h.Counts[grid] = requests - math.Round(below)
	sum += h.Counts[grid] * h.Bounds[grid-1]
	h.Sum = &sum
	return h
}

// normal is the share of a normal distribution below z.
func normal(z float64) float64 { return (1 + math.Erf(z/math.Sqrt2)) / 2 }

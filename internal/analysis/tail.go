package analysis

import (
	"math"
	"slices"

	"serin.dev/serin/internal/rollout"
)

// tail is the engine for the slow end of the response times: how many are
// slower than an edge that stable's p95 or p99 had at the start. Any edge fixed
// without the canary's figures makes a valid test; a good one makes it sharp.
type tail struct {
	// Edge is the response time in seconds, 0 while it is not chosen. Beyond is
	// the edge times the margin, as near as the buckets have it: the canary's
	// quantile is beyond the margin exactly when it has at least as many above
	// Beyond as stable above Edge.
	Edge   float64       `json:"edge,omitempty"`
	Beyond float64       `json:"beyond,omitempty"`
	Counts counts        `json:"counts"`
	Phase  proceedCounts `json:"phase"`
}

// tails are the quantiles watched: their names, the fraction above them, and
// how many of stable's response times it takes to choose their edges.
var tails = [...]struct {
	name     string
	fraction float64
	enough   float64
}{
	{"p95", 0.05, 200},
	{"p99", 0.01, 1000},
}

func newTail(p stakes) tail {
	return tail{Counts: newCounts(p), Phase: newProceedCounts()}
}

func (q tail) cloneIn(s *slab) tail {
	q.Counts = q.Counts.cloneIn(s)
	q.Phase = q.Phase.cloneIn(s)
	return q
}

// choose fixes the edges from what was seen of stable, whose buckets it needs.
func (q *tail) choose(k *sketch, bounds []float64, fraction, margin float64) {
	edge := k.edge(bounds, fraction)
	if edge == 0 || len(bounds) < 2 {
		return
	}
	q.Edge, q.Beyond = edge, beyond(bounds, edge, margin)
}

// beyond is the bound nearest to edge times margin. Where the bounds end, which
// may be because nothing lies there, they are continued at their last growth.
func beyond(bounds []float64, edge, margin float64) float64 {
	want := max(edge*margin, edge+leastDelay)
	i, _ := slices.BinarySearch(bounds, want)
	if i == len(bounds) {
		growth := bounds[i-1] / bounds[i-2]
		steps := math.Round(math.Log(want/bounds[i-1]) / math.Log(growth))
		return bounds[i-1] * math.Pow(growth, max(0, steps))
	}
	if i > 0 && want*want < bounds[i]*bounds[i-1] {
		i--
	}
	return max(edge, bounds[i])
}

// tick reads a tick's counts; ok is false when an edge is not chosen or cuts
// through a bucket.
func (q *tail) tick(canary, stable *rollout.Histogram, canaryN, stableN float64) (t countTick, ok bool) {
	if q.Edge == 0 {
		return t, false
	}
	t.canaryExposure, t.stableExposure = canaryN, stableN
	all := true
	read := func(h *rollout.Histogram, edge float64) float64 {
		if h == nil || len(h.Bounds) == 0 {
			return 0
		}
		n, ok := above(h, edge)
		all = all && ok
		return n
	}
	t.canaryEvents, t.canaryBeyond = read(canary, q.Edge), read(canary, q.Beyond)
	t.stableEvents, t.stableBeyond = read(stable, q.Edge), read(stable, q.Beyond)
	return t, all
}

// strictly turns a tick's counts into those whose rate ratio is 1 when the
// canary's quantile is at the margin.
func (t countTick) strictly() countTick {
	t.canaryEvents = t.canaryBeyond
	return t
}

// large is the second key of a tail: whether the canary's quantile is beyond
// the margin in the window of a start. At least one request must be.
func (q *tail) large(start int) bool {
	n := q.Counts.since(start, countCanaryBeyond)
	return n > 0 && n >= q.Counts.since(start, countDenominator)
}

// ratio estimates how many times stable's quantile the canary's is: the ratio
// of the rates above the edge, through the slope that stable's tail has there.
func (q *tail) ratio(start int) float64 {
	total := func(i int) float64 { return q.Counts.since(start, i) }
	canary, stable := total(countNumerator), total(countDenominator)
	if canary <= 0 || stable <= 0 || q.Beyond <= q.Edge {
		return 0
	}
	return min(maxRatio, math.Pow(canary/stable, 1/max(q.slope(start), 0.5)))
}

// slope is how many percent fewer response times are above an edge that is one
// percent higher, near the edge, by stable's counts.
func (q *tail) slope(start int) float64 {
	above, beyond := q.Counts.since(start, countDenominator), q.Counts.since(start, countStableBeyond)
	if beyond <= 0 || beyond >= above || q.Beyond <= q.Edge {
		return 2
	}
	return math.Log(above/beyond) / math.Log(q.Beyond/q.Edge)
}

// bearable is the rule for the end of a phase: the canary's quantile is not
// visibly beyond the margin, give or take the noise of one standard deviation.
func (p *proceedCounts) bearable(phi float64) bool {
	return p.Numerator <= p.Denominator+1+math.Sqrt(phi*p.Denominator)
}

package simulate

import (
	"math"
	"math/rand/v2"
)

// bucketGrowth is that of Prometheus's native histograms of schema 3, which the
// checks resolve a margin of ten percent with.
var bucketGrowth = math.Pow(2, 0.125)

// A grid is the buckets of a histogram of response times.
type grid struct {
	bounds []float64
	// middles are the buckets' middles, in which times are taken to lie.
	middles []float64
	// first is the logarithm of the first bound, step that of the growth.
	first, step float64
}

// newGrid covers what a service's response times can be, faults included.
func newGrid(t Traffic) *grid {
	const reach = 5 // standard deviations
	median := math.Log(float64(t.ResponseTime) / 1e9)
	g := &grid{step: math.Log(bucketGrowth)}
	low := math.Floor((median - reach*t.sigma()) / g.step)
	high := math.Ceil((median + reach*t.sigma() + math.Log(20)) / g.step)
	g.first = low * g.step
	for i := low; i <= high; i++ {
		g.bounds = append(g.bounds, math.Exp(i*g.step))
		g.middles = append(g.middles, math.Exp((i-0.5)*g.step))
	}
	g.middles = append(g.middles, math.Exp((high+0.5)*g.step))
	return g
}

// index is the bucket of a time given by its logarithm.
func (g *grid) index(log float64) int {
	return max(0, min(len(g.bounds), int(math.Ceil((log-g.first)/g.step))))
}

// shape is how one arm's response times are distributed in a tick.
type shape struct {
	// median and sigma are of the logarithm.
	median, sigma float64
	// slowest is added to the logarithm of the slowest part of requests.
	slowest float64
}

// slowestPart is how many of an arm's requests a fault of the slowest ones hits.
const slowestPart = 0.05

// z95 is the standard normal's 95th percentile, where the slowest part begins.
const z95 = 1.6448536269514722

// draw is one time's logarithm.
func (s shape) draw(rng *rand.Rand) float64 {
	z := rng.NormFloat64()
	log := s.median + s.sigma*z
	if z > z95 {
		log += s.slowest
	}
	return log
}

// cumulative is the part of times whose logarithm is at most log.
func (s shape) cumulative(log float64) float64 {
	z := (log - s.median) / s.sigma
	if s.slowest == 0 || z <= z95 {
		return normal(z)
	}
	// Of what was beyond the slowest part's edge, only what was moved so far.
	return max(1-slowestPart, normal(z-s.slowest/s.sigma))
}

// normal is the standard normal's distribution function.
func normal(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// fewRequests is how many are drawn one by one; of more, each bucket is drawn.
const fewRequests = 100

// distribution remembers the probability of each bucket of the latest shape.
type distribution struct {
	grid  *grid
	shape shape
	// from is the first bucket with any probability, part that of each from it.
	from int
	part []float64
	// mean is how many requests were expected, none the probability that a
	// bucket has none of them.
	mean float64
	none []float64
}

// set makes ready for a shape and a number of requests.
func (d *distribution) set(s shape, mean float64) {
	if d.part == nil || d.shape != s {
		d.shape, d.mean = s, 0
		d.divide(s)
	}
	if d.mean != mean {
		d.mean, d.none = mean, d.none[:0]
		for _, p := range d.part {
			d.none = append(d.none, math.Exp(-mean*p))
		}
	}
}

func (d *distribution) divide(s shape) {
	const least = 1e-10
	d.part, d.from = d.part[:0], 0
	below := 0.0
	for i := range len(d.grid.bounds) + 1 {
		upto := 1.0
		if i < len(d.grid.bounds) {
			upto = s.cumulative(d.grid.first + float64(i)*d.grid.step)
		}
		if p := upto - below; len(d.part) > 0 || p > least {
			if len(d.part) == 0 {
				d.from = i
			}
			d.part = append(d.part, p)
		}
		below = upto
		if 1-upto < least {
			break
		}
	}
}

// fill draws a tick's response times into counts, of which mean are expected,
// and returns how many there were.
func (d *distribution) fill(rng chance, s shape, mean float64, counts []float64) (n float64) {
	clear(counts)
	if mean < fewRequests {
		n = poisson(rng.Rand, mean)
		for range int(n) {
			counts[d.grid.index(s.draw(rng.Rand))]++
		}
		return n
	}
	// Parts of a Poisson number are independent Poisson numbers.
	d.set(s, mean)
	for i, p := range d.part {
		var c float64
		if expected := mean * p; expected >= few {
			c = poissonMany(rng.Rand, expected)
		} else if u := rng.uniform(); u >= d.none[i] {
			c = poissonAt(u, expected, d.none[i])
		} else {
			continue
		}
		counts[d.from+i] = c
		n += c
	}
	return n
}

// expect fills in what is expected of a tick's response times.
func (d *distribution) expect(s shape, mean float64, counts []float64) (n float64) {
	clear(counts)
	d.set(s, mean)
	const least = 1e-6 // less is no count that a tick may have
	for i, p := range d.part {
		if c := mean * p; c > least {
			counts[d.from+i] = c
			n += c
		}
	}
	return n
}

// seconds is the sum of the times in counts, each taken at its bucket's middle:
// what is measured of it beside the buckets is no better than they are.
func (g *grid) seconds(counts []float64) float64 {
	var sum float64
	for i, c := range counts {
		sum += c * g.middles[i]
	}
	return sum
}

// instanceSeconds draws the sum of n times of a lognormal distribution by one
// lognormal number of the same mean and variance (Fenton and Wilkinson): what
// differs between instances is their mean, and the sum's own skew is slight.
func instanceSeconds(rng *rand.Rand, s shape, n float64) float64 {
	if n <= 0 {
		return 0
	}
	variance := s.sigma * s.sigma
	mean := math.Exp(s.median + variance/2)
	spread := math.Log1p(math.Expm1(variance) / n)
	return n * mean * math.Exp(math.Sqrt(spread)*rng.NormFloat64()-spread/2)
}

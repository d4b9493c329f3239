package simulate

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// few is how many expected events are few: then they are drawn by inversion.
const few = 12

// poisson draws a number of independent events of which mean are expected.
func poisson(rng *rand.Rand, mean float64) float64 {
	switch {
	case mean <= 0:
		return 0
	case mean < few:
		return poissonFew(rng, mean, math.Exp(-mean))
	}
	return distuv.Poisson{Lambda: mean, Src: rng}.Rand()
}

// inverse holds 1/k.
var inverse = func() (all [128]float64) {
	for k := 1; k < len(all); k++ {
		all[k] = 1 / float64(k)
	}
	return all
}()

// poissonFew is poisson for few events and whoever knows exp(-mean): the first
// number at which the distribution function is above a uniform one.
func poissonFew(rng *rand.Rand, mean, none float64) float64 {
	return poissonAt(rng.Float64(), mean, none)
}

// poissonAt is poissonFew for the uniform number u.
func poissonAt(u, mean, none float64) float64 {
	left, p := u-none, none
	for k := 1; k < len(inverse); k++ {
		if left < 0 {
			return float64(k - 1)
		}
		p *= mean * inverse[k]
		left -= p
	}
	return float64(len(inverse) - 1)
}

// poissonMany is poisson for many events, nearly: a normal number with the
// skew of a Poisson one put in (Cornish and Fisher's first term), rounded. From
// a dozen on it is off by less than a hundredth in the distribution function. It
// is for buckets, of which there are a hundred in every tick.
func poissonMany(rng *rand.Rand, mean float64) float64 {
	z := rng.NormFloat64()
	return max(0, math.Floor(mean+math.Sqrt(mean)*z+(z*z-1)/6+0.5))
}

// binomial draws how many of n succeed, each with probability p.
func binomial(rng *rand.Rand, n, p float64) float64 {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case n*p < 12 && p < 0.1:
		// From success to success: the gaps are geometric.
		scale, at, k := 1/math.Log1p(-p), 0.0, 0.0
		for {
			at += math.Floor(math.Log(1-rng.Float64())*scale) + 1
			if at > n {
				return k
			}
			k++
		}
	}
	return distuv.Binomial{N: n, P: p, Src: rng}.Rand()
}

// geometric draws the size of a clump: at least 1, on average mean.
func geometric(rng *rand.Rand, mean float64) float64 {
	if mean <= 1 {
		return 1
	}
	return 1 + math.Floor(math.Log(1-rng.Float64())/math.Log(1-1/mean))
}

// hash is FNV-1a, by which scenarios differ in their random numbers.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(s) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// chance is what a run's numbers are drawn from.
type chance struct {
	*rand.Rand
	source *rand.PCG
}

func newChance(seed, stream uint64) chance {
	source := rand.NewPCG(seed, stream)
	return chance{rand.New(source), source}
}

// uniform is Float64 without an interface on the way: it is drawn for every bucket
// of every tick.
func (c chance) uniform() float64 { return float64(c.source.Uint64()<<11>>11) / (1 << 53) }

// randOf is the chance of run i of a scenario.
func randOf(seed uint64, scenario string, i int) chance {
	return newChance(seed, hash(scenario)+uint64(i))
}

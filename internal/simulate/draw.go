package simulate

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// poisson draws a number of independent events of which mean are expected.
func poisson(rng *rand.Rand, mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	return poissonBelow(rng, mean, math.Exp(-mean))
}

// poissonBelow is poisson for whoever knows exp(-mean) already.
func poissonBelow(rng *rand.Rand, mean, limit float64) float64 {
	if mean >= 12 {
		return distuv.Poisson{Lambda: mean, Src: rng}.Rand()
	}
	// Knuth's product of uniforms, cheap for few events.
	n, p := 0.0, rng.Float64()
	for p > limit {
		n++
		p *= rng.Float64()
	}
	return n
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

// randOf is the chance of run i of a scenario.
func randOf(seed uint64, scenario string, i int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, hash(scenario)+uint64(i)))
}

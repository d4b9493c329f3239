package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mathext"
	"pgregory.net/rapid"

	"serin.dev/serin/internal/stats"
)

func binomial(k, x int, p float64) float64 {
	lk, _ := math.Lgamma(float64(k + 1))
	lx, _ := math.Lgamma(float64(x + 1))
	ly, _ := math.Lgamma(float64(k - x + 1))
	return math.Exp(lk - lx - ly + float64(x)*math.Log(p) + float64(k-x)*math.Log1p(-p))
}

func TestABetIsFairUnderTheNull(t *testing.T) {
	// By enumeration of every outcome: the mean factor of one tick is 1, so the
	// product over ticks is a martingale.
	rapid.Check(t, func(rt *rapid.T) {
		k := rapid.IntRange(1, 60).Draw(rt, "k")
		a := math.Exp(rapid.Float64Range(-5, 5).Draw(rt, "log a"))
		r0 := rapid.Float64Range(0.5, 3).Draw(rt, "r0")
		r := r0 * rapid.Float64Range(1.05, 40).Draw(rt, "ratio")
		clump := rapid.SampledFrom([]float64{1, 8}).Draw(rt, "clump")
		var mean float64
		for x := range k + 1 {
			mean += binomial(k, x, stats.CanaryShare(r0, a)) * stats.Bet(float64(x), float64(k), a, r0, r, clump)
		}
		if math.Abs(mean-1) > 1e-9 {
			rt.Fatalf("mean factor %v", mean)
		}
	})
}

func TestABetIsFairHoweverErrorsClump(t *testing.T) {
	// All of a tick's errors in one clump, which goes to the canary with the
	// null's probability: the worst clumping there is.
	rapid.Check(t, func(rt *rapid.T) {
		k := float64(rapid.IntRange(1, 200).Draw(rt, "k"))
		a := math.Exp(rapid.Float64Range(-5, 3).Draw(rt, "log a"))
		p := stats.CanaryShare(1, a)
		mean := p*stats.Bet(k, k, a, 1, 2.5, 8) + (1-p)*stats.Bet(0, k, a, 1, 2.5, 8)
		if math.Abs(mean-1) > 1e-9 {
			rt.Fatalf("mean factor %v", mean)
		}
	})
}

func TestALikelihoodRatioIsFairUnderTheNull(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k := rapid.IntRange(1, 60).Draw(rt, "k")
		a := math.Exp(rapid.Float64Range(-5, 5).Draw(rt, "log a"))
		r0 := rapid.Float64Range(0.5, 3).Draw(rt, "r0")
		r := rapid.Float64Range(0.1, 40).Draw(rt, "r")
		var mean float64
		for x := range k + 1 {
			mean += binomial(k, x, stats.CanaryShare(r0, a)) * math.Exp(stats.LogLikelihoodRatio(float64(x), float64(k), a, r0, r))
		}
		if math.Abs(mean-1) > 1e-9 {
			rt.Fatalf("mean factor %v", mean)
		}
	})
}

func TestProofOfNoHarmIsFairForEveryHarmfulRatio(t *testing.T) {
	// The null is composite, "at least m": for every ratio in it the mean
	// factor is at most 1.
	rapid.Check(t, func(rt *rapid.T) {
		k := rapid.IntRange(1, 60).Draw(rt, "k")
		a := math.Exp(rapid.Float64Range(-4, 4).Draw(rt, "log a"))
		m := rapid.Float64Range(1, 2).Draw(rt, "m")
		r := m * rapid.Float64Range(0.1, 1).Draw(rt, "r/m")
		truth := m * rapid.Float64Range(1, 5).Draw(rt, "truth/m")
		var mean float64
		for x := range k + 1 {
			mean += binomial(k, x, stats.CanaryShare(truth, a)) * math.Exp(stats.LogLikelihoodRatio(float64(x), float64(k), a, m, r))
		}
		if mean > 1+1e-9 {
			rt.Fatalf("mean factor %v", mean)
		}
	})
}

func TestBetsAgainstAKnownLevelAreFair(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mu := rapid.Float64Range(0.01, 30).Draw(rt, "mu")
		r := rapid.Float64Range(1.05, 40).Draw(rt, "r")
		var bet, likelihood float64
		p := math.Exp(-mu)
		for x := range 400 {
			bet += p * stats.BetKnown(float64(x), mu, 1, r, 1)
			if x < 150 {
				likelihood += p * math.Exp(stats.LogLikelihoodRatioKnown(float64(x), mu, 1, r))
			}
			p *= mu / float64(x+1)
		}
		if math.Abs(bet-1) > 1e-6 || likelihood > 1+1e-6 {
			rt.Fatalf("mean factors %v and %v", bet, likelihood)
		}
	})
}

func TestMixtureAgreesWithTheClosedForm(t *testing.T) {
	// At a constant split the Beta mixture of likelihood ratios has a closed
	// form (Lindon and Malek 2022). The same mixture taken over a grid of
	// ratios, through the log likelihood ratios used here, must equal it.
	rng := rand.New(rand.NewPCG(11, 12))
	const a, alpha, beta = 0.25, 2., 5.
	p0 := stats.CanaryShare(1, a)
	var x, k float64
	for range 40 {
		x += float64(rng.IntN(4))
		k += 3 + float64(rng.IntN(5))
		want := mathext.Lbeta(alpha+x, beta+k-x) - mathext.Lbeta(alpha, beta) - x*math.Log(p0) - (k-x)*math.Log1p(-p0)
		const cells = 20000
		terms := make([]float64, cells)
		for i := range terms {
			p := (float64(i) + 0.5) / cells
			r := p / (1 - p) / a
			prior := (alpha-1)*math.Log(p) + (beta-1)*math.Log1p(-p) - mathext.Lbeta(alpha, beta) - math.Log(cells)
			terms[i] = prior + stats.LogLikelihoodRatio(x, k, a, 1, r)
		}
		if got := stats.LogSumExp(terms); math.Abs(got-want) > 1e-4 {
			t.Fatalf("x=%v k=%v: %v by the grid, %v in closed form", x, k, got, want)
		}
	}
}

func TestDispersionSeesClumpsAndAutocorrelationAndNoLastingDifference(t *testing.T) {
	const seed = 5
	for name, c := range map[string]struct {
		draw     func(rng *rand.Rand, i int, last float64) float64
		low, top float64
	}{
		"independent":          {func(rng *rand.Rand, _ int, _ float64) float64 { return rng.NormFloat64() }, 1, 1.3},
		"twice the spread":     {func(rng *rand.Rand, _ int, _ float64) float64 { return 2 * rng.NormFloat64() }, 3.3, 5},
		"a lasting difference": {func(rng *rand.Rand, _ int, _ float64) float64 { return 3 + rng.NormFloat64() }, 1, 1.3},
		"autocorrelated": {func(rng *rand.Rand, _ int, last float64) float64 {
			return 0.6*last + 0.8*rng.NormFloat64()
		}, 1.5, 4.5},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 6))
			d := stats.Dispersion{Prior: 1}
			last := 0.0
			for i := range 600 {
				last = c.draw(rng, i, last)
				d.Add(last, 1, 0.5)
			}
			if phi := d.Phi(); phi < c.low || phi > c.top {
				t.Errorf("seed %d: φ is %.2f, want %v to %v", seed, phi, c.low, c.top)
			}
		})
	}
}

func TestConfidenceSequenceCoversAtAllTimes(t *testing.T) {
	// A thousand random walks, each looked at two thousand times: no more may
	// ever leave the sequence than alpha, but for the chance of a thousand.
	const seed, alpha, walks = 9, 0.05, 1000
	rng := rand.New(rand.NewPCG(seed, 1))
	left := 0
	for range walks {
		var sum float64
		for n := 1.0; n <= 2000; n++ {
			sum += rng.NormFloat64()
			if math.Abs(sum/n) > stats.MixtureRadius(n, alpha, 0.5) {
				left++
				break
			}
		}
	}
	if left > walks*alpha+2*7 {
		t.Errorf("seed %d: %d of %d walks left a sequence of %v", seed, left, walks, 1-alpha)
	}
	if left == 0 {
		t.Errorf("seed %d: no walk ever left: the sequence is far too wide", seed)
	}
}

func TestSumsOfExponentialsDoNotOverflow(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{
		{[]float64{1000, 1000}, 1000 + math.Ln2},
		{[]float64{-1000, -1000, -1000}, -1000 + math.Log(3)},
		{[]float64{0, -800}, 0},
		{nil, math.Inf(-1)},
	} {
		if got := stats.LogSumExp(c.in); got != c.want && math.Abs(got-c.want) > 1e-12 {
			t.Errorf("LogSumExp(%v) = %v, want %v", c.in, got, c.want)
		}
	}
	if got := stats.LogAddExp(math.Inf(-1), -3); got != -3 {
		t.Errorf("LogAddExp(-Inf, -3) = %v", got)
	}
}

func TestDivergenceIsZeroOnlyForEquals(t *testing.T) {
	if d := stats.Divergence(0.3, 0.3); math.Abs(d) > 1e-15 {
		t.Errorf("of equals: %v", d)
	}
	// 0.5 against 0.25: ½ln2 + ½ln(2/3).
	if d, want := stats.Divergence(0.5, 0.25), (math.Ln2+math.Log(2./3))/2; math.Abs(d-want) > 1e-15 {
		t.Errorf("got %v, want %v", d, want)
	}
}

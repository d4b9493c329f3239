package analysis

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"serin.dev/serin/internal/stats"
)

// What all ratios are weighed with at once is what stats, which is tested
// against enumeration and the closed form of a constant split, says of each.
func TestWeighingAllRatiosIsWeighingEach(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// (More events in the canary alone would reach the cap of one tick.)
		k := float64(rapid.IntRange(1, 120).Draw(rt, "k"))
		x := float64(rapid.IntRange(0, int(k)).Draw(rt, "x"))
		a := math.Exp(rapid.Float64Range(-5, 3).Draw(rt, "log a"))
		rule := countRule{null: rapid.Float64Range(0.5, 3).Draw(rt, "null"), alpha: 1e-300}
		c := newCounts(stakes{Starts: 1})
		c.Clumps.Pairs = knownPairs // no cap for what is little known
		c.weigh(rule, x, k, a, stats.CanaryShare(rule.null, a), 0)
		for j, r := range harmRatios {
			want := stats.LogLikelihoodRatio(x, k, a, rule.null, rule.null*r)
			if got := c.Sums.Total[j]; math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
				rt.Fatalf("ratio %v: likelihood %v, want %v", r, got, want)
			}
			for f, clump := range clumpSizes {
				want := stats.Bet(x, k, a, rule.null, rule.null*r, clump)
				if got := c.Bets[j*len(clumpSizes)+f]; math.Abs(got-want) > 1e-9*(1+want) {
					rt.Fatalf("ratio %v: bet %v, want %v", r, got, want)
				}
			}
		}
	})
}

// Whatever a tick's total and however its events clump, the bold bet is fair:
// the mean of its factor over how they fall is 1.
func TestTheBetOnAGrossFaultIsFair(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k := rapid.IntRange(1, 80).Draw(rt, "k")
		clump := rapid.SampledFrom([]int{1, 2, 5, k}).Draw(rt, "clump")
		clumps := (k + clump - 1) / clump
		canary := float64(rapid.IntRange(1, 500).Draw(rt, "canary"))
		stable := float64(rapid.IntRange(1, 5000).Draw(rt, "stable"))
		p0 := canary / (canary + stable)
		var mean float64
		for n := range clumps + 1 {
			g := gross{Worth: 1}
			x := float64(n*clump) * float64(k) / float64(clumps*clump)
			g.add(countTick{canaryEvents: x, canaryExposure: canary, stableEvents: float64(k) - x, stableExposure: stable}, p0, false)
			mean += g.Worth * distuv.Binomial{N: float64(clumps), P: p0}.Prob(float64(n))
		}
		if math.Abs(mean-1) > 1e-9 {
			rt.Fatalf("mean factor %v", mean)
		}
	})
}

// The parts of the stake sum to 1 or less, and are what two ticks at 5 % need, a
// tenth of whose events are stable's.
func TestTheStakeOnAGrossFaultIsWhatTwoTicksNeed(t *testing.T) {
	for alpha, ticks := range map[float64]int{.01: 2, .006: 2, .005: 3, .003: 3, .001: 3} {
		stake := grossStake(alpha)
		worth := gross{Worth: 1}
		for range ticks {
			worth.add(countTick{canaryEvents: 27, canaryExposure: 50, stableEvents: 3, stableExposure: 950}, .05, false)
		}
		if stake <= 0 || stake > .55 || stake*worth.Worth < .99/alpha {
			t.Errorf("alpha %v: stake %v becomes %v, %v needed", alpha, stake, stake*worth.Worth, 1/alpha)
		}
	}
}

package analysis

import (
	"fmt"
	"math"
	"slices"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/stats"
)

// splitCheck watches whether the canary gets the share of requests that it is
// meant to get. When it does not, its figures may be those of the requests that
// were left to it: an ejected canary's errors vanish. Its alarm holds.
type splitCheck struct {
	// Odds holds, for each ratio in splitOdds, the logarithm of the evidence
	// for "the canary's odds of getting a request are that many times what they
	// should be", mixed over every tick as its beginning.
	Odds Vector `json:"odds"`
	// Spent is the part of the stake on later beginnings that is used up.
	Spent float64          `json:"spent"`
	Noise stats.Dispersion `json:"noise"`
	// Seen, Meant and All are the canary's requests, what was due to it, and
	// both arms' requests, each fading.
	Seen  float64 `json:"seen"`
	Meant float64 `json:"meant"`
	All   float64 `json:"all"`
}

var splitOdds = [...]float64{0.5, 0.7, 0.85, 1.18, 1.4, 2}

// splitLogs are their logarithms.
var splitLogs = func() (logs [len(splitOdds)]float64) {
	for i, r := range splitOdds {
		logs[i] = math.Log(r)
	}
	return logs
}()

const (
	splitAlpha = 0.001
	// The alarm also needs odds this far off lately: less does not make the
	// figures unfit for comparison.
	splitLow, splitHigh = 0.7, 1.4
	splitFading         = 0.8
	// splitFirstStake is what is staked on a split that is off from the start.
	splitFirstStake = 0.5
)

func newSplitCheck() splitCheck {
	c := splitCheck{Odds: make(Vector, len(splitOdds)), Noise: stats.Dispersion{Prior: countNoise}}
	for i := range c.Odds {
		c.Odds[i] = math.Log(splitFirstStake)
	}
	return c
}

func (c splitCheck) clone() splitCheck {
	c.Odds = c.Odds.clone()
	return c
}

// add takes in the requests that each arm got in a tick. stake is what each
// tick stakes on the disproportion beginning with it. Where an arm got more than
// the split sent to it, that it has too many says nothing; too few says all the
// more.
func (c *splitCheck) add(canary, stable float64, t rollout.Tick, stake float64) {
	n, weight := canary+stable, t.Weight
	if n <= 0 || weight <= 0 || weight >= 100 {
		return
	}
	share := float64(weight) / 100
	odds := share / (1 - share)
	phi := c.Noise.Phi()
	limit := phi * math.Log(1/splitAlpha) / 2
	if c.Spent+stake > 1-splitFirstStake {
		stake = 0
	}
	c.Spent += stake
	logStake := math.Log(stake)
	for i, r := range splitOdds {
		if stake > 0 {
			c.Odds[i] = stats.LogAddExp(c.Odds[i], logStake)
		}
		if slices.Contains(t.Unsplit, extraTo(r)) {
			continue
		}
		// stats.LogLikelihoodRatio, of ratios whose logarithms are known.
		c.Odds[i] += min(limit, canary*splitLogs[i]-n*math.Log1p((r-1)*share)) / phi
	}
	usual := share
	if c.All > 0 {
		usual = stats.CanaryShare(c.oddsRatio(), odds)
	}
	c.Noise.Add(canary-n*usual, n*share*(1-share), enoughEvents)
	c.Seen = splitFading*c.Seen + canary
	c.Meant = splitFading*c.Meant + n*share
	c.All = splitFading*c.All + n
}

// extraTo is the arm that more requests than its due make look like these odds.
func extraTo(odds float64) rollout.Arm {
	if odds > 1 {
		return rollout.Canary
	}
	return rollout.Stable
}

// oddsRatio is how many times its due odds the canary lately has.
func (c *splitCheck) oddsRatio() float64 {
	return (c.Seen + 0.5) * (c.All - c.Meant + 0.5) / ((c.All - c.Seen + 0.5) * (c.Meant + 0.5))
}

// alarm says why to hold, or nothing.
func (c *splitCheck) alarm(weight int) string {
	if c.All <= 0 || stats.LogMeanExp(c.Odds) < math.Log(1/splitAlpha) {
		return ""
	}
	if r := c.oddsRatio(); r > splitLow && r < splitHigh {
		return ""
	}
	return fmt.Sprintf("the canary gets %s of the requests although its weight is %d %%: its figures may not be comparable; look whether its instances were ejected or bypassed",
		percent(c.Seen/c.All), weight)
}

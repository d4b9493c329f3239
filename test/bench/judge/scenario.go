package main

import (
	"math/rand/v2"
	"slices"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

type kind int

const (
	// null: the canary is no worse than stable.
	null kind = iota
	// tolerated: it is worse, by less than the margin.
	tolerated
	// fault: it is worse by more.
	fault
	// limit: it is no worse, and its noise is beyond what the guarantee covers.
	limit
)

// scenario is a family of synthetic runs.
type scenario struct {
	name string
	kind kind
	// length is how long a run is watched, onset when the fault begins.
	length, onset time.Duration
	// warmup is taken off the time to detection: the note's figures have none.
	warmup time.Duration
	config analysis.Config
	// bound is the least mean time in seconds that any test of this alpha needs
	// from the fault's beginning at the weight it has then (Wald 1945); 0 where
	// it is not known.
	bound float64
	// holds says that a hold is what is looked for, escape that a promoted
	// canary has escaped.
	holds, escape bool
	// two says that the part found within two ticks is of interest.
	two bool
	// even: no tick is made short.
	even bool
	// rules are other tools' that the same runs are shown to.
	rules []rule
	// source draws a run: a function from tick to tick.
	source func(*rand.Rand) func(at) rollout.Arms
	// past draws a run with a history of stable's instances instead.
	past func(*rand.Rand) (*rollout.History, func(at) rollout.Arms)
	// note is what the design note reports; noteMedian and noteRate are bars
	// where the note has figures for them (0: none).
	note       string
	noteMedian float64 // seconds from onset to rollback
	noteRate   float64 // fraction rolled back
}

// at is a tick's place in its run.
type at struct {
	since  time.Duration // since the beginning of the run, at the tick's start
	length time.Duration // of the tick
	weight int
	phase  int
}

const interval = 10 * time.Second

// config has the shares of alpha that the note's figures have.
func config(alpha float64, checks []rollout.Check, phases ...rollout.Phase) analysis.Config {
	return analysis.Config{
		Analysis: rollout.Analysis{Interval: rollout.Duration(interval), Alpha: alpha, Checks: checks},
		Phases:   phases,
	}
}

func halfHours(weights ...int) []rollout.Phase {
	var phases []rollout.Phase
	for _, w := range weights {
		phases = append(phases, rollout.Phase{Weight: w, Duration: rollout.DefaultPhase})
	}
	return phases
}

func scenarios() []scenario {
	return slices.Concat(errorScenarios(), latencyScenarios(), gaugeScenarios(), businessScenarios(), heldOut(), wanderingRates(), exceptionScenarios())
}

package main

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

// outcome is what became of a scenario's runs.
type outcome struct {
	// rolledBack says when each was rolled back, negative for never.
	rolledBack []time.Duration
	// promoted counts those that were not, and that no phase's end held up.
	promoted int
	// peers are the times of the other rules, on the first runs.
	peers [][]time.Duration
	took  time.Duration
}

// measure draws and judges runs on every core; the first of them are shown to
// the scenario's other rules too. Run i of a scenario is the same whatever the
// number of cores and of runs.
func measure(s scenario, runs, peerRuns int, seed uint64) outcome {
	began := time.Now()
	o := outcome{rolledBack: make([]time.Duration, runs), peers: make([][]time.Duration, min(peerRuns, runs))}
	promoted := make([]bool, runs)
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				random := func() *rand.Rand { return rand.New(rand.NewPCG(seed, hash(s.name)+uint64(i))) }
				o.rolledBack[i], promoted[i] = judgeRun(s, random())
				if i < len(o.peers) {
					o.peers[i] = peersRun(s, random())
				}
			}
		})
	}
	for i := range runs {
		next <- i
	}
	close(next)
	workers.Wait()
	for _, p := range promoted {
		if p {
			o.promoted++
		}
	}
	o.took = time.Since(began)
	return o
}

// peersRun shows a run to the scenario's other rules and returns when each
// rolled back, negative for never.
func peersRun(s scenario, rng *rand.Rand) []time.Duration {
	draw := s.source(rng)
	times := make([]time.Duration, len(s.rules))
	decide := make([]func(time.Duration, rollout.Arms) bool, len(s.rules))
	for i, r := range s.rules {
		times[i], decide[i] = -1, r.begin()
	}
	left := len(s.rules)
	for i := 0; left > 0 && time.Duration(i)*interval < s.length; i++ {
		since := time.Duration(i) * interval
		phase := phaseAt(s.config.Phases, since)
		drawn := draw(at{since: since, length: interval, weight: s.config.Phases[phase].Weight, phase: phase})
		for k := range decide {
			if times[k] < 0 && decide[k](since+interval, drawn) {
				times[k] = since + interval
				left--
			}
		}
	}
	return times
}

// hash is FNV-1a, so that scenarios differ in their random numbers.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(s) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// judgeRun shows one run to the analysis and returns the time from the run's
// beginning to the end of the tick that rolls it back (or holds it, where that
// is what is looked for), or -1; and whether all phases might end when they were
// over, so that it was promoted.
func judgeRun(s scenario, rng *rand.Rand) (rolledBack time.Duration, promoted bool) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	draw, history := s.begin(rng)
	config := s.config
	config.Terse = true
	state := analysis.Start(config)
	var assessment analysis.Assessment
	promoted = true
	pressing := false
	var length time.Duration
	for since := time.Duration(0); since < s.length; since += length {
		phase := phaseAt(s.config.Phases, since)
		weight := s.config.Phases[phase].Weight
		length = engine.Plan{Analysis: s.config.Analysis}.Tick(engine.State{Status: engine.Progressing, Pressing: pressing && !s.even})
		ends := since + length
		tick := rollout.Tick{
			At:     start.Add(ends),
			Weight: weight,
			Arms:   draw(at{since: since, length: length, weight: weight, phase: phase}),
		}
		tick.History, history = history, nil
		pressing = analysis.Presses(tick)
		assessment = analysis.Advance(config, &state, tick, phase)
		for _, r := range assessment.Results {
			if r.Verdict == analysis.Fail {
				return ends, false
			}
			if phaseAt(s.config.Phases, ends) != phase || ends >= s.length {
				promoted = promoted && r.Acceptable
			}
		}
		if s.holds && assessment.Hold != "" {
			return ends, false
		}
	}
	return -1, promoted
}

// begin draws a run, and what was before it.
func (s scenario) begin(rng *rand.Rand) (func(at) rollout.Arms, *rollout.History) {
	if s.past != nil {
		history, draw := s.past(rng)
		return draw, history
	}
	return s.source(rng), nil
}

func phaseAt(phases []rollout.Phase, since time.Duration) int {
	for i, ph := range phases {
		if since -= time.Duration(ph.Duration); since < 0 {
			return i
		}
	}
	return len(phases) - 1
}

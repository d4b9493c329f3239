package main

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// outcome is what became of a scenario's runs: when each was rolled back,
// negative for never.
type outcome struct {
	rolledBack []time.Duration
	took       time.Duration
}

// measure draws and judges runs on every core. Run i of a scenario is the same
// whatever the number of cores and of runs.
func measure(s scenario, runs int, seed uint64) outcome {
	began := time.Now()
	o := outcome{rolledBack: make([]time.Duration, runs)}
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				o.rolledBack[i] = judgeRun(s, rand.New(rand.NewPCG(seed, hash(s.name)+uint64(i))))
			}
		})
	}
	for i := range runs {
		next <- i
	}
	close(next)
	workers.Wait()
	o.took = time.Since(began)
	return o
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
// beginning to the end of the tick that rolls it back, or -1.
func judgeRun(s scenario, rng *rand.Rand) time.Duration {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	draw := s.source(rng)
	state := analysis.Start(s.config)
	var assessment analysis.Assessment
	for i := 0; time.Duration(i)*interval < s.length; i++ {
		since := time.Duration(i) * interval
		phase := phaseAt(s.config.Phases, since)
		weight := s.config.Phases[phase].Weight
		tick := rollout.Tick{
			At:     start.Add(since + interval),
			Weight: weight,
			Arms:   draw(at{index: i, since: since, weight: weight, phase: phase}),
		}
		state, assessment = analysis.Step(s.config, state, tick, phase)
		for _, r := range assessment.Results {
			if r.Verdict == analysis.Fail {
				return since + interval
			}
		}
	}
	return -1
}

func phaseAt(phases []rollout.Phase, since time.Duration) int {
	for i, ph := range phases {
		if since -= time.Duration(ph.Duration); since < 0 {
			return i
		}
	}
	return len(phases) - 1
}

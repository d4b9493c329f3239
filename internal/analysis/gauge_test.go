package analysis_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// fleet is a service of some instances an arm that use processor time and
// memory, with noise of 3 % and levels of their own.
type fleet struct {
	rng    *rand.Rand
	stable int
	// canary is how many instances it has at half of the traffic.
	canary int
	// cores for rest and for each request, and bytes.
	rest, each, bytes float64
	levels            []float64
	// quiet leaves out most of the noise; limit is what an instance may use to
	// what it usually does, 0 for no limit.
	quiet bool
	limit float64
}

func newFleet(seed uint64, stable, canary int) *fleet {
	f := &fleet{rng: rand.New(rand.NewPCG(seed, 7)), stable: stable, canary: canary, rest: 0.002, each: 0.01, bytes: 300 << 20}
	for range stable + canary {
		f.levels = append(f.levels, math.Exp(0.03*f.rng.NormFloat64()))
	}
	return f
}

// tick is one in which the canary, at a weight, uses cpu and memory times what
// stable's version would; 100 requests a second come in all.
func (f *fleet) tick(at time.Time, weight int, cpu, memory float64) rollout.Tick {
	arm := func(first, n int, requests, cpu, memory float64) *rollout.Sample {
		s := served(requests, 0)
		s.Instances = &n
		s.CPU, s.Memory = map[string]float64{}, map[string]float64{}
		for i := first; i < first+n; i++ {
			size := 0.03
			if f.quiet {
				size = 0.005
			}
			noise := f.levels[i] * math.Exp(size*f.rng.NormFloat64())
			name := fmt.Sprintf("shop-%d", i)
			s.CPU[name] = cpu * noise * (f.rest + f.each*requests/float64(n)/10)
			s.Memory[name] = memory * noise * f.bytes
			if f.limit > 0 {
				if s.MemoryLimit == nil {
					s.MemoryLimit = map[string]float64{}
				}
				s.MemoryLimit[name] = f.limit * f.bytes
			}
		}
		return s
	}
	share := 10 * float64(weight)
	return rollout.Tick{At: at, Weight: weight, Arms: rollout.Arms{
		Stable: arm(0, f.stable, 1000-share, 1, 1), Canary: arm(f.stable, max(1, f.canary*weight/50), share, cpu, memory),
	}}
}

// watch shows half an hour in each of the phases of 5, 10, 25 and 50 % and
// returns the tick of the first failure (-1: none) and the last assessment.
func (f *fleet) watch(cfg analysis.Config, cpu, memory func(tick int) float64) (failed int, said analysis.Assessment) {
	state := analysis.Start(cfg)
	for i := range 720 {
		phase := i / 180
		state, said = analysis.Step(cfg, state, f.tick(midnight.Add(time.Duration(i+1)*10*time.Second), cfg.Phases[phase].Weight, cpu(i), memory(i)), phase)
		for _, r := range said.Results {
			if r.Verdict == analysis.Fail {
				return i, said
			}
		}
	}
	return -1, said
}

func times(v float64) func(int) float64 { return func(int) float64 { return v } }

func TestUseIsComparedWithStable(t *testing.T) {
	grows := func(i int) float64 { return 1 + 0.02*float64(i)/6 }
	fills := func(i int) float64 { return 1 - 0.6*math.Exp(-float64(i)/60) }
	for name, c := range map[string]struct {
		stable, canary int
		cpu, memory    func(int) float64
		fails          string
		message        string
		held           bool
	}{
		"equal":                                      {12, 12, times(1), times(1), "", "", false},
		"half more processor time":                   {12, 12, times(1.5), times(1), "cpu", "processor time 1.", false},
		"half more memory":                           {12, 12, times(1), times(1.5), "memory", "memory 1.", false},
		"less of both":                               {12, 12, times(.6), times(.6), "", "", false},
		"memory that grows by 2 % a minute":          {12, 12, times(1), grows, "memory", "growing by", false},
		"a fresh instance that fills up":             {12, 12, times(1), fills, "", "", false},
		"equal, with one instance in each arm":       {1, 1, times(1), times(1), "", "", false},
		"three times the memory of the one instance": {1, 1, times(1), times(3), "", "a person decides", true},
	} {
		t.Run(name, func(t *testing.T) {
			const seed = 41
			failed, said := newFleet(seed, c.stable, c.canary).watch(configOf(rollout.CPU, rollout.Memory), c.cpu, c.memory)
			t.Logf("seed %d: tick %d", seed, failed)
			got, held, message := "", false, ""
			for _, r := range said.Results {
				t.Logf("%s %s: %s %v", r.Check, r.Verdict, r.Message, r.Flags)
				if r.Verdict == analysis.Fail && got == "" {
					got = r.Check
				}
				held = held || r.Verdict != analysis.Fail && !r.Acceptable
				message += r.Message + "\n"
			}
			if got != c.fails {
				t.Errorf("%q failed, want %q", got, c.fails)
			}
			if !strings.Contains(message, c.message) {
				t.Errorf("the messages lack %q", c.message)
			}
			if c.fails == "" && held != c.held {
				t.Errorf("a phase may not end: %v, want %v", held, c.held)
			}
		})
	}
}

func TestFewerRequestsAreNotMoreProcessorTime(t *testing.T) {
	// One instance an arm: the canary, at 5 %, has a nineteenth of stable's
	// requests, so its rest weighs far more in each of them, and in all it uses
	// far less. Neither is a difference of the versions.
	f := newFleet(42, 1, 1)
	f.rest = 0.3
	cfg := configOf(rollout.CPU)
	failed, said := f.watch(cfg, times(1), times(1))
	for _, r := range said.Results {
		if failed >= 0 || !r.Acceptable || r.Evidence > 20 {
			t.Errorf("tick %d: %+v", failed, r)
		}
	}
	t.Log(said.Results[0].Message)
}

func TestASmallDifferenceIsTooLittleToActOn(t *testing.T) {
	f := newFleet(43, 8, 4)
	f.bytes, f.rest, f.each = 20<<20, 0.001, 0
	cfg := configOf(rollout.CPU, rollout.Memory)
	failed, said := f.watch(cfg, times(4), times(1.6))
	for _, r := range said.Results {
		if failed >= 0 || !r.Acceptable || !strings.Contains(r.Message, "too little to act on") {
			t.Errorf("%s: %s", r.Verdict, r.Message)
		}
	}
	for i := range cfg.Analysis.Checks {
		cfg.Analysis.Checks[i].Strict = true
	}
	if failed, _ = f.watch(cfg, times(4), times(1.6)); failed < 0 {
		t.Error("a strict check did not act on it either")
	}
}

func TestFiguresOfUseThatStopAreNoPass(t *testing.T) {
	f := newFleet(44, 8, 2)
	cfg := configOf(rollout.CPU)
	state := analysis.Start(cfg)
	var said analysis.Assessment
	at := midnight
	for i := range 360 {
		at = at.Add(10 * time.Second)
		tick := f.tick(at, cfg.Phases[i/180].Weight, 1, 1)
		if i >= 180 {
			tick.Arms.Canary.CPU = nil
		}
		state, said = analysis.Step(cfg, state, tick, i/180)
	}
	if r := said.Results[0]; r.Acceptable || !strings.Contains(r.Message, "not measured in this phase") || said.Data != analysis.DataFresh {
		t.Errorf("%s: %+v", said.Data, r)
	}
}

func TestComplaintsAreCounted(t *testing.T) {
	cfg := configOf(rollout.Complaints)
	with := func(requests, complaints float64) *rollout.Sample {
		s := served(requests, 0)
		s.Complaints = num(complaints)
		return s
	}
	for name, c := range map[string]struct {
		stream []stretch
		want   analysis.Verdict
		says   string
	}{
		"none":                      {[]stretch{{60, 5, 0, with(950, 0), with(50, 0)}}, analysis.Inconclusive, "no complaints yet"},
		"five of the few":           {[]stretch{{20, 5, 0, with(950, 0), with(50, 0)}, {5, 5, 0, with(950, 0), with(50, 1)}}, analysis.Fail, "5 complaints in"},
		"one":                       {[]stretch{{20, 5, 0, with(950, 0), with(50, 0)}, {1, 5, 0, with(950, 0), with(50, 1)}}, analysis.Inconclusive, "1 complaint in"},
		"as many for each request":  {[]stretch{{100, 5, 0, with(950, 19), with(50, 1)}}, analysis.Inconclusive, "complaints 1.00x stable"},
		"all of stable's":           {[]stretch{{100, 5, 0, with(950, 1), with(50, 0)}}, analysis.Inconclusive, "complaints"},
		"more, and stable is quiet": {[]stretch{{100, 50, 0, with(500, 1), with(500, 1)}, {60, 100, 1, nil, with(1000, 20)}}, analysis.Fail, "complaints"},
	} {
		t.Run(name, func(t *testing.T) {
			_, said := play(t, cfg, c.stream...)
			r := said.Results[0]
			t.Log(r.Message)
			if r.Verdict != c.want || !strings.Contains(r.Message, c.says) || c.want != analysis.Fail && !r.Acceptable {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// business draws half an hour at 25 % of a figure of which the canary has so
// much of what stable has, and returns the last result.
func business(seed uint64, draw func(rng *rand.Rand, n int, ratio float64) rollout.BusinessSample, ratio float64) analysis.Result {
	rng := rand.New(rand.NewPCG(seed, 9))
	cfg := configOf(rollout.Business)
	state := analysis.Start(cfg)
	var said analysis.Assessment
	for i := range 180 {
		arms := rollout.Arms{Stable: served(750, 0), Canary: served(250, 0)}
		arms.Stable.Business = map[string]rollout.BusinessSample{"business": draw(rng, 750, 1)}
		arms.Canary.Business = map[string]rollout.BusinessSample{"business": draw(rng, 250, ratio)}
		state, said = analysis.Step(cfg, state, rollout.Tick{At: midnight.Add(time.Duration(i+1) * 10 * time.Second), Weight: 25, Arms: arms}, 2)
		if said.Results[0].Verdict == analysis.Fail {
			break
		}
	}
	return said.Results[0]
}

func TestBusinessFiguresVetoADrop(t *testing.T) {
	conversion := func(rng *rand.Rand, n int, ratio float64) rollout.BusinessSample {
		won := 0.
		for range n {
			if rng.Float64() < 0.1*ratio {
				won++
			}
		}
		return rollout.BusinessSample{Trials: num(float64(n)), Successes: &won}
	}
	values := func(rng *rand.Rand, n int, ratio float64) rollout.BusinessSample {
		var sum, squares float64
		for range n {
			v := ratio * 20 * math.Exp(0.8*rng.NormFloat64())
			sum += v
			squares += v * v
		}
		return rollout.BusinessSample{Count: num(float64(n)), Sum: &sum, SumSquares: &squares}
	}
	scores := func(rng *rand.Rand, n int, ratio float64) rollout.BusinessSample {
		var sum float64
		for range n {
			sum += math.Round(5 * min(1, ratio*rng.Float64()*1.25))
		}
		return rollout.BusinessSample{Count: num(float64(n)), Sum: &sum, Max: num(5)}
	}
	for name, c := range map[string]struct {
		draw  func(*rand.Rand, int, float64) rollout.BusinessSample
		ratio float64
		want  analysis.Verdict
	}{
		"equal conversion":      {conversion, 1, analysis.Inconclusive},
		"a fifth less converts": {conversion, .8, analysis.Fail},
		"more converts":         {conversion, 1.2, analysis.Inconclusive},
		"equal values":          {values, 1, analysis.Inconclusive},
		"a fifth less value":    {values, .8, analysis.Fail},
		"equal scores":          {scores, 1, analysis.Inconclusive},
		"a fifth lower scores":  {scores, .8, analysis.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			const seed = 51
			r := business(seed, c.draw, c.ratio)
			t.Logf("seed %d: %s (%v)", seed, r.Message, r.Flags)
			if r.Verdict != c.want || c.want != analysis.Fail && !r.Acceptable || math.Abs(r.Ratio/c.ratio-1) > 0.1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

package analysis_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// restless are three instances of stable and one of the canary that differ by
// 2 % and move by 10 % from tick to tick; the canary uses ratio times as much.
func restless(seed uint64, before int, ratio float64) (*rollout.History, func(at time.Time) rollout.Tick) {
	rng := rand.New(rand.NewPCG(seed, 11))
	levels := []float64{}
	for range 4 {
		levels = append(levels, 0.5*math.Exp(0.02*rng.NormFloat64()))
	}
	now := func(i int) float64 { return levels[i] * math.Exp(0.1*rng.NormFloat64()) }
	name := func(i int) string { return fmt.Sprintf("shop-%d", i) }
	h := &rollout.History{Interval: rollout.Duration(10 * time.Second), CPU: map[string][]float64{}}
	for range before {
		for i := range 3 {
			h.CPU[name(i)] = append(h.CPU[name(i)], now(i))
		}
	}
	return h, func(at time.Time) rollout.Tick {
		stable, canary := served(950, 0), served(50, 0)
		three, one := 3, 1
		stable.Instances, canary.Instances = &three, &one
		stable.CPU = map[string]float64{name(0): now(0), name(1): now(1), name(2): now(2)}
		canary.CPU = map[string]float64{name(3): ratio * now(3)}
		return rollout.Tick{At: at, Weight: 5, Arms: rollout.Arms{Stable: stable, Canary: canary}}
	}
}

// watched watches five minutes at 5 % and returns the tick of the first failure, -1
// for none, and the last result. The first tick has the history.
func watched(h *rollout.History, draw func(time.Time) rollout.Tick) (failed int, r analysis.Result) {
	cfg := configOf(rollout.CPU)
	state := analysis.Start(cfg)
	var said analysis.Assessment
	for i := range 30 {
		tick := draw(midnight.Add(time.Duration(i+1) * 10 * time.Second))
		if i == 0 {
			tick.History = h
		}
		state, said = analysis.Step(cfg, state, tick, 0)
		if said.Results[0].Verdict == analysis.Fail {
			return i, said.Results[0]
		}
	}
	return -1, said.Results[0]
}

func TestTheHourBeforeTellsNoiseFromTheVersion(t *testing.T) {
	const runs = 40
	found := map[bool]int{}
	for seed := range uint64(runs) {
		for _, known := range []bool{false, true} {
			h, draw := restless(seed, rollout.HistoryTicks, 1.4)
			if !known {
				h = nil
			}
			failed, r := watched(h, draw)
			if slices.Contains(r.Flags, "history") != known {
				t.Errorf("seed %d: flags %v, a history: %v", seed, r.Flags, known)
			}
			if failed >= 0 {
				found[known]++
			}
		}
		h, draw := restless(seed, rollout.HistoryTicks, 1)
		if failed, r := watched(h, draw); failed >= 0 {
			t.Errorf("seed %d: an equal canary was rolled back in tick %d: %s", seed, failed, r.Message)
		}
	}
	t.Logf("of %d with 1.4 times the processor time: %d without a history, %d with one", runs, found[false], found[true])
	if found[true] < runs*9/10 || found[true] <= found[false] {
		t.Errorf("found %d of %d with a history, %d without", found[true], runs, found[false])
	}
}

// unevenly is a service of six instances of which the busiest has five times the
// requests of the idlest and uses as much more; the canary uses ratio times as
// much for a request.
func unevenly(seed uint64, ratio float64) (*rollout.History, func(at time.Time) rollout.Tick) {
	rng := rand.New(rand.NewPCG(seed, 12))
	loads := []float64{.4, .7, 1, 1.1, 1.4, 2}
	use := func(i int) float64 { return 0.5 * loads[i] * math.Exp(0.03*rng.NormFloat64()) }
	h := &rollout.History{Interval: rollout.Duration(10 * time.Second), CPU: map[string][]float64{}}
	for range rollout.HistoryTicks {
		for i := range loads {
			name := fmt.Sprintf("shop-%d", i)
			h.CPU[name] = append(h.CPU[name], use(i))
		}
	}
	return h, func(at time.Time) rollout.Tick {
		stable, canary := served(660, 0), served(40, 0)
		six, one := len(loads), 1
		stable.Instances, canary.Instances = &six, &one
		stable.CPU, stable.ByInstance = map[string]float64{}, map[string]*rollout.InstanceSample{}
		for i, load := range loads {
			name, requests := fmt.Sprintf("shop-%d", i), 100*load
			stable.CPU[name] = use(i)
			stable.ByInstance[name] = &rollout.InstanceSample{Requests: &requests}
		}
		canary.CPU = map[string]float64{"shop-6": ratio * 0.4 * use(2)}
		return rollout.Tick{At: at, Weight: 6, Arms: rollout.Arms{Stable: stable, Canary: canary}}
	}
}

// That some instances have many more requests than others, and so use more, hides
// no difference from a release that knows the hour before it.
func TestUnevenLoadsOfTheHourBeforeHideNothing(t *testing.T) {
	for seed := range uint64(10) {
		h, draw := unevenly(seed, 4)
		_, same := unevenly(seed, 4)
		with, r := watched(h, draw)
		without, _ := watched(nil, same)
		if with < 0 || without >= 0 && with > without {
			t.Errorf("seed %d: found in tick %d, without the hour before in %d: %s", seed, with, without, r.Message)
		}
		h, draw = unevenly(seed, 1)
		if failed, r := watched(h, draw); failed >= 0 {
			t.Errorf("seed %d: an equal canary was rolled back in tick %d: %s", seed, failed, r.Message)
		}
	}
}

func TestAHistoryThatSaysTooLittleChangesNothing(t *testing.T) {
	enough, _ := restless(1, rollout.HistoryTicks, 1)
	short, _ := restless(1, 15, 1)
	other := *enough
	other.Interval = rollout.Duration(time.Minute)
	for name, h := range map[string]*rollout.History{
		"no figures":           {Interval: enough.Interval},
		"less than two times":  short,
		"one instance":         {Interval: enough.Interval, CPU: map[string][]float64{"shop-0": enough.CPU["shop-0"]}},
		"ticks of a minute":    &other,
		"memory, for the CPU":  {Interval: enough.Interval, Memory: enough.CPU},
		"a figure that is NaN": {Interval: enough.Interval, CPU: map[string][]float64{"shop-0": {math.NaN()}, "shop-1": {1}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, with := restless(2, 0, 1)
			_, without := restless(2, 0, 1)
			cfg := configOf(rollout.CPU)
			a, b := analysis.Start(cfg), analysis.Start(cfg)
			for i := range 60 {
				at := midnight.Add(time.Duration(i+1) * 10 * time.Second)
				one, two := with(at), without(at)
				if i == 1 { // the first is no different, but for a tick that is refused
					one.History = h
				}
				if i == 1 && analysis.Validate(one) != nil {
					two.Arms = rollout.Arms{}
				}
				a, _ = analysis.Step(cfg, a, one, 0)
				b, _ = analysis.Step(cfg, b, two, 0)
			}
			if x, y := encoded(t, a), encoded(t, b); x != y {
				t.Errorf("the state is another one:\n%s\n%s", x, y)
			}
		})
	}
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestARestartKeepsTheHistory(t *testing.T) {
	f := newFleet(45, 6, 2)
	cfg := configOf(rollout.CPU, rollout.Memory)
	h := &rollout.History{Interval: rollout.Duration(10 * time.Second), CPU: map[string][]float64{}, Memory: map[string][]float64{}}
	for i := range rollout.HistoryTicks {
		s := f.tick(midnight.Add(time.Duration(i-rollout.HistoryTicks)*10*time.Second), 0, 1, 1).Arms.Stable
		for name := range s.CPU {
			// One of them began ten minutes ago.
			if name != "shop-3" || i >= rollout.HistoryTicks-60 {
				h.CPU[name], h.Memory[name] = append(h.CPU[name], s.CPU[name]), append(h.Memory[name], s.Memory[name])
			}
		}
	}
	going := analysis.Start(cfg)
	var stopped analysis.State
	first := going
	for i := range 200 {
		tick := f.tick(midnight.Add(time.Duration(i+1)*10*time.Second), 5, 1, 1)
		if i == 3 { // it took some time to read
			tick.History = h
		}
		if i == 0 {
			stopped = first
		}
		var one, two analysis.Assessment
		going, one = analysis.Step(cfg, going, tick, 0)
		var read analysis.State
		if err := json.Unmarshal([]byte(encoded(t, stopped)), &read); err != nil {
			t.Fatal(err)
		}
		stopped, two = analysis.Step(cfg, read, tick, 0)
		if x, y := encoded(t, one), encoded(t, two); x != y {
			t.Fatalf("tick %d:\n%s\n%s", i, x, y)
		}
	}
	state := encoded(t, going)
	if !strings.Contains(state, `"past"`) || len(state) > 60_000 {
		t.Errorf("the state has %d bytes, with a history: %v", len(state), strings.Contains(state, `"past"`))
	}
}

func TestMemoryIsJudgedByItsLimitToo(t *testing.T) {
	// 6 % a phase is less than a leak has to grow by. Without a limit it is rolled
	// back when it is a fifth more than stable's, in the fourth phase.
	grows := func(i int) float64 { return math.Exp(0.06 * float64(i) / 180) }
	fifth := int(180 * math.Log(1.2) / 0.06)
	for name, c := range map[string]struct {
		limit  float64
		sooner bool
	}{"no limit": {0, false}, "half as much again": {1.5, true}, "a thousand times as much": {1000, false}} {
		t.Run(name, func(t *testing.T) {
			const seed = 46
			f := newFleet(seed, 12, 12)
			f.quiet = true
			f.limit = c.limit
			failed, said := f.watch(configOf(rollout.Memory), times(1), grows)
			message := said.Results[0].Message
			t.Logf("seed %d: tick %d: %s", seed, failed, message)
			if sooner := failed >= 0 && failed < fifth-60; sooner != c.sooner {
				t.Errorf("failed in tick %d, a fifth more in %d", failed, fifth)
			}
			if says := strings.Contains(message, "reaches its limit in about "); says != c.sooner {
				t.Errorf("it says when the limit is reached: %v", says)
			}
		})
	}
}

func TestALimitIsNoReasonWithoutALeak(t *testing.T) {
	fills := func(i int) float64 { return 1 - 0.5*math.Exp(-float64(i)/60) }
	f := newFleet(47, 12, 12)
	f.limit = 1.1
	if failed, said := f.watch(configOf(rollout.Memory), times(1), fills); failed >= 0 {
		t.Errorf("tick %d: %s", failed, said.Results[0].Message)
	}
}

package analysis_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// stateBudget is how much a saved state may take in a run with the default
// checks and twenty stable instances.
const stateBudget = 42 << 10

func encode(t interface{ Fatal(...any) }, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// drawTick draws a tick as a service, a broken exporter or an enemy may send it.
func drawTick(rt *rapid.T, at time.Time, weight int) rollout.Tick {
	return rollout.Tick{At: at, Weight: weight, Arms: rollout.Arms{
		Stable: drawSample(rt, "stable"), Canary: drawSample(rt, "canary"),
	}, Unsplit: rapid.SampledFrom([][]rollout.Arm{nil, nil, {rollout.Canary}, {rollout.Stable, rollout.Canary}}).Draw(rt, "unsplit")}
}

func drawSample(rt *rapid.T, arm string) *rollout.Sample {
	if rapid.IntRange(0, 9).Draw(rt, arm+" present") == 0 {
		return nil
	}
	var s rollout.Sample
	count := func(name string, most float64) *float64 {
		switch rapid.IntRange(0, 12).Draw(rt, arm+name) {
		case 0:
			return nil
		case 1:
			return num(0)
		case 2:
			return num(1e12)
		case 3:
			return num(rapid.Float64().Draw(rt, arm+name+" wild"))
		}
		return num(math.Floor(rapid.Float64Range(0, most).Draw(rt, arm+name+" value")))
	}
	s.Requests = count("requests", 1000)
	s.Errors = count("errors", 20)
	if rapid.Bool().Draw(rt, arm+" timed") {
		bounds := gridOf(0.001, rapid.SampledFrom([]float64{1.02, 1.09, 2}).Draw(rt, arm+" growth"), rapid.IntRange(0, 40).Draw(rt, arm+" bounds"))
		counts := make([]float64, len(bounds)+1)
		for i := range counts {
			if rapid.IntRange(0, 5).Draw(rt, arm+" bucket") == 0 {
				counts[i] = float64(rapid.IntRange(0, 100).Draw(rt, arm+" count"))
			}
		}
		s.Latency = &rollout.Histogram{Bounds: bounds, Counts: counts, Sum: count("sum", 100)}
		s.ByInstance = map[string]*rollout.InstanceSample{
			"a": {Latency: &rollout.Histogram{Count: count("a count", 100), Sum: count("a sum", 10)}},
			"b": nil,
			"c": {Latency: &rollout.Histogram{Bounds: bounds, Counts: counts}},
		}
	}
	use := func(name string, most float64) map[string]float64 {
		out := map[string]float64{}
		for _, instance := range []string{"a", "b", "c"} {
			if v := count(name+instance, most); v != nil {
				out[instance] = *v
			}
		}
		return out
	}
	if rapid.Bool().Draw(rt, arm+" gauges") {
		s.CPU, s.Memory = use("cpu", 4), use("memory", 1e9)
	}
	if rapid.Bool().Draw(rt, arm+" business") {
		s.Complaints = count("complaints", 3)
		s.Business = map[string]rollout.BusinessSample{"business": {
			Trials: count("trials", 100), Successes: count("successes", 10), Count: count("count", 50), Sum: count("values", 500), SumSquares: count("squares", 5000),
			Max: count("max", 20),
		}}
	}
	if rapid.Bool().Draw(rt, arm+" watched") {
		s.Exceptions = []rollout.Exception{}
		for range rapid.IntRange(0, 3).Draw(rt, arm+" classes") {
			s.Exceptions = append(s.Exceptions, rollout.Exception{
				Class:    rapid.SampledFrom([]string{"A@a", "B@b", "C@c", "D@d", "E@e"}).Draw(rt, arm+" class"),
				Instance: rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, arm+" at"),
				Count:    float64(rapid.IntRange(0, 3).Draw(rt, arm+" times")),
				Critical: rapid.IntRange(0, 5).Draw(rt, arm+" critical") == 0,
			})
		}
	}
	if rapid.Bool().Draw(rt, arm+" instances") {
		n := rapid.IntRange(-1, 5).Draw(rt, arm+" number")
		s.Instances = &n
	}
	return &s
}

// drawStream calls see with every tick of a drawn run and its phase.
func drawStream(rt *rapid.T, most int, see func(rollout.Tick, int)) {
	at, phase := midnight, 0
	weights := []int{5, 10, 25, 50, 100}
	for range rapid.IntRange(1, most).Draw(rt, "ticks") {
		at = at.Add(time.Duration(rapid.SampledFrom([]int{10, 10, 10, 300, -3600, 0}).Draw(rt, "seconds")) * time.Second)
		if rapid.IntRange(0, 7).Draw(rt, "proceeds") == 0 {
			phase = min(phase+1, len(weights)-1)
		}
		see(drawTick(rt, at, weights[phase]), phase)
	}
}

func TestARestartAtAnyTickChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := configOf(rollout.CheckTypes()...)
		state := analysis.Start(cfg)
		drawStream(rt, 25, func(tick rollout.Tick, phase int) {
			saved := encode(rt, state)
			var loaded analysis.State
			if err := json.Unmarshal([]byte(saved), &loaded); err != nil {
				rt.Fatal(err)
			}
			next, said := analysis.Step(cfg, state, tick, phase)
			again, saidAgain := analysis.Step(cfg, loaded, tick, phase)
			if encode(rt, next) != encode(rt, again) || !reflect.DeepEqual(said, saidAgain) {
				rt.Fatalf("after a restart:\n%+v\nwithout:\n%+v", saidAgain, said)
			}
			if encode(rt, state) != saved {
				rt.Fatal("Step changed the state it was given")
			}
			state = next
		})
	})
}

func TestHostileTicksNeitherPanicNorPoison(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := configOf(rollout.CheckTypes()...)
		for i := range cfg.Analysis.Checks {
			cfg.Analysis.Checks[i].Strict = rapid.Bool().Draw(rt, "strict")
			cfg.Analysis.Checks[i].ExactOnly = rapid.Bool().Draw(rt, "exact")
		}
		state := analysis.Start(cfg)
		drawStream(rt, 40, func(tick rollout.Tick, phase int) {
			var said analysis.Assessment
			state, said = analysis.Step(cfg, state, tick, phase)
			encode(rt, state) // JSON refuses what is not a number
			for _, r := range said.Results {
				for name, v := range map[string]float64{
					"evidence": r.Evidence, "ratio": r.Ratio, "low": r.Low, "high": r.High,
					"nonInferiority": r.NonInferiority, "detectable": r.Detectable, "affected": r.Affected,
				} {
					if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
						rt.Fatalf("%s of %s is %v", name, r.Check, v)
					}
				}
				if r.Message == "" {
					rt.Fatalf("%s says nothing", r.Check)
				}
			}
		})
	})
}

func TestCountsInOtherUnitsOfTimeGiveTheSameEvidence(t *testing.T) {
	// The evidence depends on the counts alone, not on when they were seen.
	rapid.Check(t, func(rt *rapid.T) {
		cfg, slow := configOf(rollout.ErrorRate), configOf(rollout.ErrorRate)
		slow.Analysis.Interval *= 3
		for i := range slow.Phases {
			slow.Phases[i].Duration *= 3
		}
		a, b := analysis.Start(cfg), analysis.Start(slow)
		var saidA, saidB analysis.Assessment
		for i := range rapid.IntRange(1, 60).Draw(rt, "ticks") {
			n := float64(rapid.IntRange(0, 40).Draw(rt, "requests"))
			x := min(n, float64(rapid.IntRange(0, 4).Draw(rt, "errors")))
			tick := rollout.Tick{At: midnight.Add(time.Duration(i+1) * 10 * time.Second), Weight: 5, Arms: rollout.Arms{Stable: served(760, 4), Canary: served(n, x)}}
			a, saidA = analysis.Step(cfg, a, tick, 0)
			tick.At = midnight.Add(time.Duration(i+1) * 30 * time.Second)
			b, saidB = analysis.Step(slow, b, tick, 0)
		}
		if saidA.Results[0].Evidence != saidB.Results[0].Evidence {
			rt.Fatalf("%v and %v", saidA.Results[0].Evidence, saidB.Results[0].Evidence)
		}
	})
}

func TestTimesInOtherUnitsGiveTheSameEvidence(t *testing.T) {
	// Response times a thousand times as long in both arms change nothing.
	rapid.Check(t, func(rt *rapid.T) {
		cfg := configOf(rollout.ResponseTime)
		a, b := analysis.Start(cfg), analysis.Start(cfg)
		var saidA, saidB analysis.Assessment
		short, long := gridOf(0.001, 1.02, 300), gridOf(0.008, 1.02, 300)
		for i := range rapid.IntRange(10, 60).Draw(rt, "ticks") {
			stable, canary := timedOn(short, 300, .05), timedOn(short, 40, rapid.Float64Range(.03, .1).Draw(rt, "median"))
			tick := rollout.Tick{At: midnight.Add(time.Duration(i+1) * 10 * time.Second), Weight: 10, Arms: rollout.Arms{Stable: stable, Canary: canary}}
			a, saidA = analysis.Step(cfg, a, tick, 0)
			for _, s := range []*rollout.Sample{stable, canary} {
				s.Latency.Bounds = long
				*s.Latency.Sum *= 8
			}
			b, saidB = analysis.Step(cfg, b, tick, 0)
		}
		x, y := saidA.Results[0], saidB.Results[0]
		if math.Abs(math.Log(x.Evidence/y.Evidence)) > 1e-6 || math.Abs(x.Ratio/y.Ratio-1) > 1e-6 {
			rt.Fatalf("%v and %v, ratios %v and %v", x.Evidence, y.Evidence, x.Ratio, y.Ratio)
		}
	})
}

func TestAHundredThousandTicksGrowNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds; run without -short")
	}
	cfg := configOf(rollout.ErrorRate, rollout.ResponseTime, rollout.CPU, rollout.Memory)
	ticks := busyTicks(rand.New(rand.NewPCG(3, 4)), 50, 120)
	state := analysis.Start(cfg)
	at := midnight
	step := func(i int) {
		tick := ticks[i%len(ticks)]
		at = at.Add(10 * time.Second)
		tick.At = at
		state, _ = analysis.Step(cfg, state, tick, min(3, i/180))
	}
	measure := func(from, ticks int) (bytes uint64, size int) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range ticks {
			step(from + i)
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / uint64(ticks), len(encode(t, state))
	}
	most := 0
	for i := range 1000 {
		step(i)
		if i%10 == 0 {
			most = max(most, len(encode(t, state)))
		}
	}
	early, earlySize := measure(1000, 2000)
	for i := range 95000 {
		step(3000 + i)
	}
	late, lateSize := measure(98000, 2000)
	t.Logf("%d then %d bytes allocated a tick; state %d then %d bytes, at most %d at first", early, late, earlySize, lateSize, most)
	if float64(late) > 1.05*float64(early) {
		t.Errorf("a tick allocates %d bytes after 1,000 ticks and %d after 98,000", early, late)
	}
	if max(most, lateSize) > stateBudget {
		t.Errorf("the state takes %d bytes, more than %d", max(most, lateSize), stateBudget)
	}
	if lateSize > earlySize+500 {
		t.Errorf("the state grew from %d to %d bytes", earlySize, lateSize)
	}
}

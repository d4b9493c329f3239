package simulate

import (
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

const seed = 7

// plan is the default plan with the checks on errors and response times, or one
// of short phases with these weights.
func plan(weights ...int) engine.Plan {
	p := engine.Plan{
		Plan:     rollout.Plan{Phases: rollout.DefaultPhases(), Prepare: rollout.DefaultPrepare, HoldTimeout: rollout.DefaultHoldTimeout, Drain: rollout.DefaultDrain},
		Analysis: rollout.Analysis{Interval: rollout.DefaultInterval, Alpha: rollout.DefaultAlpha, Checks: rollout.DefaultChecks()[:2]},
	}
	if len(weights) > 0 {
		p.Phases = nil
	}
	for _, w := range weights {
		p.Phases = append(p.Phases, rollout.Phase{Weight: w, Duration: rollout.Duration(10 * time.Minute)})
	}
	return p
}

func named(t *testing.T, names ...string) []Scenario {
	t.Helper()
	var all []Scenario
	for _, n := range names {
		s, ok := Find(n)
		if !ok {
			t.Fatalf("the library has no %s", n)
		}
		all = append(all, s)
	}
	return all
}

func measure(t *testing.T, o Options) []Outcome {
	t.Helper()
	out, err := Measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheSameSeedGivesTheSameTableOnAnyNumberOfCores(t *testing.T) {
	o := Options{Plan: plan(5, 50), Traffic: DefaultTraffic(), Scenarios: named(t, "healthy-instances", "errors-2.5x", "crash-loop"), Runs: 6, Seed: seed}
	was := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(was)
	one := measure(t, o)
	runtime.GOMAXPROCS(4)
	if four := measure(t, o); !reflect.DeepEqual(one, four) {
		t.Errorf("on four cores %+v, on one %+v", four, one)
	}
	o.Seed++
	if other := measure(t, o); reflect.DeepEqual(one, other) {
		t.Error("another seed gives the same table")
	}
}

func TestARunIsTheSameWhateverTheNumberOfRuns(t *testing.T) {
	p := newPlayer(plan(5))
	s := named(t, "healthy")[0]
	play := func(i int) run {
		return p.play(newSource(randOf(seed, s.Name, i), s, DefaultTraffic(), p.plan.Analysis))
	}
	third := play(3)
	play(0)
	if again := play(3); again != third {
		t.Errorf("run 3 was %+v, and then %+v", third, again)
	}
	if play(0) == third && play(1) == third && play(2) == third {
		t.Error("every run is the same")
	}
}

func TestRunsArePlayedAsRealOnesAreDecided(t *testing.T) {
	played, decided := newPlayer(plan(5, 50)), newPlayer(plan(5, 50))
	decided.decider = func() func(engine.Plan, engine.State, engine.Observation) engine.Decision { return engine.Decide }
	for _, s := range Library() {
		for i := range 3 {
			draw := func() *source { return newSource(randOf(seed, s.Name, i), s, DefaultTraffic(), played.plan.Analysis) }
			if a, b := played.play(draw()), decided.play(draw()); a != b {
				t.Errorf("seed %d, run %d of %s: %+v when played and %+v when decided", seed, i, s.Name, a, b)
			}
		}
	}
}

func TestFaultsAreRolledBackAndHealthyVersionsPromoted(t *testing.T) {
	out := measure(t, Options{
		Plan: plan(5, 25, 50), Traffic: DefaultTraffic(), Runs: 20, Seed: seed,
		Scenarios: named(t, "healthy", "better", "errors-10x", "slow-50", "crash-loop", "gone", "blind"),
	})
	for _, o := range out {
		want := map[Expectation]int{Promote: o.Promoted, Rollback: o.RolledBack}[o.Expected]
		if want < 19 {
			t.Errorf("seed %d: %s should %s, and of %d runs %d were promoted, %d rolled back, %d paused", seed, o.Scenario, o.Expected, o.Runs, o.Promoted, o.RolledBack, o.Paused)
		}
		if o.Expected == Rollback && o.Median <= 0 {
			t.Errorf("%s: no time to rollback", o.Scenario)
		}
		if o.Expected == Promote && o.Duration < 1800 {
			t.Errorf("%s: promoted within %v s of a plan of 1,800", o.Scenario, o.Duration)
		}
	}
}

func TestALateFaultsTimeIsCountedFromItsBeginning(t *testing.T) {
	s := Scenario{Name: "late", Faults: []Fault{{Errors: 20, After: rollout.Duration(5 * time.Minute)}}}
	out := measure(t, Options{Plan: plan(10), Traffic: DefaultTraffic(), Runs: 10, Seed: seed, Scenarios: []Scenario{s}})[0]
	if out.RolledBack < 10 || out.Median >= 180 {
		t.Errorf("seed %d: %+v: 20 times the errors are found within three minutes of their beginning", seed, out)
	}
	if out.Affected <= 0 || out.Affected >= out.CanaryRequests {
		t.Errorf("%v of %v requests affected", out.Affected, out.CanaryRequests)
	}
}

func TestDrawsHaveTheMeanAndVarianceOfTheirDistribution(t *testing.T) {
	const n = 40000
	for name, c := range map[string]struct {
		draw           func(*rand.Rand) float64
		mean, variance float64
	}{
		"few of Poisson":    {func(r *rand.Rand) float64 { return poisson(r, 3) }, 3, 3},
		"a dozen, nearly":   {func(r *rand.Rand) float64 { return poissonMany(r, 12) }, 12, 12},
		"many, nearly":      {func(r *rand.Rand) float64 { return poissonMany(r, 80) }, 80, 80},
		"many of Poisson":   {func(r *rand.Rand) float64 { return poisson(r, 300) }, 300, 300},
		"few of binomial":   {func(r *rand.Rand) float64 { return binomial(r, 500, 0.01) }, 5, 5 * 0.99},
		"many of binomial":  {func(r *rand.Rand) float64 { return binomial(r, 1000, 0.3) }, 300, 300 * 0.7},
		"clumps":            {func(r *rand.Rand) float64 { return geometric(r, 5) }, 5, 5 * 4},
		"binomial of fours": {func(r *rand.Rand) float64 { return binomial(r, 4, 0.5) }, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var sum, squares float64
			for range n {
				v := c.draw(rng)
				sum += v
				squares += (v - c.mean) * (v - c.mean)
			}
			if off := math.Abs(sum/n-c.mean) / math.Sqrt(c.variance/n); off > 4.5 {
				t.Errorf("seed %d: mean %v, want %v (%.1f standard errors)", seed, sum/n, c.mean, off)
			}
			if v := squares / n; math.Abs(v/c.variance-1) > 0.1 {
				t.Errorf("seed %d: variance %v, want %v", seed, v, c.variance)
			}
		})
	}
}

func TestNearlyPoissonNumbersHaveAPoissonDistribution(t *testing.T) {
	const n, mean = 200000, 15
	rng := rand.New(rand.NewPCG(seed, 3))
	var seen [100]float64
	for range n {
		seen[int(poissonMany(rng, mean))]++
	}
	below, exact, p := 0.0, 0.0, math.Exp(-mean)
	for k := range seen {
		if k > 0 {
			p *= mean / float64(k)
		}
		exact += p
		below += seen[k] / n
		if math.Abs(below-exact) > 0.01 {
			t.Errorf("seed %d: %v of the numbers are at most %d, of Poisson numbers %v", seed, below, k, exact)
		}
	}
}

// Drawn one by one or bucket by bucket, response times have one distribution.
func TestBothWaysOfDrawingTimesAgree(t *testing.T) {
	tr := DefaultTraffic()
	s := shape{median: math.Log(0.1), sigma: tr.sigma(), slowest: math.Ln2}
	g := newGrid(tr)
	d := distribution{grid: g}
	rng := newChance(seed, 2)
	counts, single := make([]float64, len(g.bounds)+1), make([]float64, len(g.bounds)+1)
	const n = 200000
	d.fill(rng, s, n, counts)
	for range n {
		single[g.index(s.draw(rng.Rand))]++
	}
	// The largest distance of the two distribution functions.
	var a, b, most float64
	for i := range counts {
		a += counts[i] / n
		b += single[i] / n
		most = max(most, math.Abs(a-b))
	}
	if limit := 2.2 * math.Sqrt(2.0/n); most > limit {
		t.Errorf("seed %d: the distribution functions differ by %v, more than %v", seed, most, limit)
	}
	if slow := 1 - s.cumulative(math.Log(0.1)+tr.sigma()*z95+math.Ln2); math.Abs(slow-slowestPart) > 1e-9 {
		t.Errorf("%v of the times are above twice the 95th percentile, want %v: the slowest twentieth takes twice as long", slow, slowestPart)
	}
}

func TestInstancesFiguresAddUpToTheirArms(t *testing.T) {
	s := named(t, "healthy-instances")[0]
	src := newSource(randOf(seed, s.Name, 0), s, DefaultTraffic(), plan().Analysis)
	for i := range 20 {
		arms, _ := src.tick(time.Duration(i)*10*time.Second, 50)
		for _, arm := range []*rollout.Sample{arms.Stable, arms.Canary} {
			var sum float64
			for _, in := range arm.ByInstance {
				sum += *in.Requests
			}
			if sum != *arm.Requests || len(arm.ByInstance) != *arm.Instances {
				t.Fatalf("tick %d: %d instances had %v of %v requests", i, len(arm.ByInstance), sum, *arm.Requests)
			}
		}
	}
}

func TestScenarioFilesAreReadStrictly(t *testing.T) {
	good := `
scenarios:
- name: ours
  description: errors come and go
  traffic: {requestsPerSecond: 40, errorRate: 0.2%}
  clumps: 3
  faults:
  - {errors: 3, after: 20m, lasts: 5m}
  - {responseTime: 1.3, fromWeight: 25}
`
	all, err := ParseScenarios("ours.yaml", []byte(good))
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	if s := all[0]; s.Faults[1].ResponseTime != 1.3 || time.Duration(s.Faults[0].After) != 20*time.Minute || s.Traffic.ErrorRate != 0.002 {
		t.Errorf("read as %+v", s)
	}
	for text, want := range map[string]string{
		"scenarios: [{name: a, faultz: []}]":                    "bad.yaml:1:23: scenarios[0].faultz: is not a known field",
		"scenarios: [{name: a, faults: [{errors: -2}]}]":        "scenarios[0].faults[0].errors: -2 is not from 0.01 to 10000",
		"scenarios: [{name: a, faults: [{errors: .nan}]}]":      "scenarios[0].faults[0].errors",
		"scenarios: [{name: A b}]":                              `"A b" is no name`,
		"scenarios: [{name: a}, {name: a}]":                     "two scenarios",
		"scenarios: []":                                         "holds no scenario",
		"scenarios: [{name: a, expect: win}]":                   `scenarios[0].expect: "win" is not known`,
		"scenarios: [{name: a, faults: [{fades: true}]}]":       "scenarios[0].faults[0].fades: does not say by when",
		"scenarios: [{name: a, traffic: {instances: -1}}]":      "scenarios[0].traffic.instances",
		"scenarios: [{name: a, faults: [{after: 10}]}]":         "has no unit",
		"scenarios: [{name: a, incidents: {every: 1m}}]":        "scenarios[0].incidents.lasts: is missing",
		"scenarios: [{name: a, faults: [{noFigures: nobody}]}]": `"nobody" is not known`,
		"scenarios: [{name: a}]\n---\nscenarios: [{name: b}]":   "several documents",
		"scenarios: [{name: a, faults: [{fromWeight: 200}]}]":   "fromWeight: 200 is not from 1 to 100",
		"[]": "belongs",
		"scenarios: [{name: a, traffic: {requestsPerSecond: x}}]": "scenarios[0].traffic.requestsPerSecond",
	} {
		_, err := ParseScenarios("bad.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v\nwant %q", text, err, want)
		}
	}
}

func TestWhatIsExpectedFollowsFromTheMargins(t *testing.T) {
	a := plan().Analysis
	for name, want := range map[string]Expectation{
		"healthy": Promote, "errors-1.2x": Either, "errors-2.5x": Rollback, "slow-20": Rollback, "cold-start": Either,
		"gone": Rollback, "crash-loop": Rollback, "gap": Promote, "slow-and-errors": Rollback,
	} {
		if got := named(t, name)[0].Expected(a); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	a.Checks[0].Rollback = rollout.Margin{Ratio: 3}
	if got := named(t, "errors-2.5x")[0].Expected(a); got != Either {
		t.Errorf("2.5 times the errors under a margin of 3: %s, want %s", got, Either)
	}
}

func BenchmarkDraw(b *testing.B) {
	src := newSource(randOf(1, "healthy", 1), Scenario{Name: "healthy"}, DefaultTraffic(), plan().Analysis)
	for i := 0; b.Loop(); i++ {
		src.tick(time.Duration(i)*10*time.Second, 5)
	}
}

func TestWhatAPlanMissesIsSaidWithWhatHelps(t *testing.T) {
	tr := DefaultTraffic()
	tr.RequestsPerSecond = 6
	p := plan(5, 25)
	p.Analysis.Checks = p.Analysis.Checks[:1]
	o := Options{Plan: p, Traffic: tr, Scenarios: named(t, "healthy", "errors-1.2x", "errors-5x"), Runs: 60, Seed: seed}
	all, err := Findings(t.Context(), o, measure(t, o), []rollout.CheckType{rollout.ErrorRate})
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]Finding{}
	for _, f := range all {
		said[f.Kind] = f
	}
	if f := said["missed"]; f.Scenario != "errors-5x" || !strings.Contains(f.Text, "6 requests/s") {
		t.Errorf("seed %d: what is missed: %+v", seed, f)
	}
	if f := said["tolerated"]; f.Scenario != "errors-1.2x" {
		t.Errorf("seed %d: what is tolerated: %+v", seed, f)
	}
	if f := said["change"]; f.Scenario != "errors-5x" || !strings.Contains(f.Text, "25 % of the traffic instead of 5 %") {
		t.Errorf("seed %d: what would help: %+v", seed, f)
	}
	slow := said["smallest"]
	if slow.Text == "" {
		t.Fatalf("seed %d: nothing is said of the smallest rise that is found: %+v", seed, all)
	}
	// With more traffic less is found.
	o.Traffic.RequestsPerSecond = 600
	o.Scenarios = nil
	if all, err = Findings(t.Context(), o, nil, []rollout.CheckType{rollout.ErrorRate}); err != nil {
		t.Fatal(err)
	}
	if f := all[0]; f.Kind != "smallest" || f.Ratio == 0 || slow.Ratio != 0 && f.Ratio >= slow.Ratio {
		t.Errorf("seed %d: at 600 requests/s %+v, at 6 %+v", seed, f, slow)
	}
}

// What begins after the plan is no lack of its judging, and nothing is tried
// against it.
func TestAFaultBeyondThePlanIsNotCalledMissed(t *testing.T) {
	short, low, long := plan(5, 50), plan(5, 20), plan(5, 25)
	for i := range short.Phases {
		short.Phases[i].Duration, long.Phases[i].Duration = rollout.Duration(time.Minute), rollout.Duration(time.Hour)
	}
	for _, c := range []struct {
		name, scenario string
		plan           engine.Plan
		outside        bool
	}{
		{"after its end", "errors-late", short, true},
		{"above its last weight", "errors-at-25", low, true},
		{"within both", "errors-at-25", long, false},
		{"in its second phase", "errors-late", long, false},
	} {
		o := Options{Plan: c.plan, Traffic: DefaultTraffic(), Scenarios: named(t, c.scenario), Runs: 10, Seed: seed}
		all, err := Findings(t.Context(), o, measure(t, o), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(all) > 0 && all[0].Kind == "outside"; got != c.outside || got && len(all) > 1 {
			t.Errorf("seed %d: a fault %s (%s): %+v", seed, c.name, c.scenario, all)
		}
	}
}

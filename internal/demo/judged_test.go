package demo

import (
	"flag"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

var (
	seed     = flag.Uint64("seed", 0, "seed of the made-up shop; 0 takes a new one")
	stagings = flag.Int("stagings", 20, "how often the story is staged")
)

// parse reads a rollout as the program reads a user's file.
func parse(t *testing.T, text string) rollout.Rollout {
	t.Helper()
	rollouts, _, err := rollout.ParseAll("shop.yaml", []byte(text), builtin.Catalog())
	if err != nil {
		t.Fatal(err)
	}
	return *rollouts[0]
}

// stage carries a chapter through the real engine with requests that are made
// up as the shop and its users make them, and says how it ended.
func stage(t *testing.T, random *rand.Rand, plan engine.Plan, stable, canary version) (engine.Status, rollout.CheckType, time.Duration) {
	t.Helper()
	began := time.Unix(1e9, 0).UTC()
	interval := time.Duration(plan.Analysis.Interval)
	s := engine.StartWatching(plan, began)
	for at := began; at.Sub(began) < storyTime; {
		at = at.Add(interval)
		weight := plan.Want(s).Weight
		n := rate * int(interval/time.Millisecond) / 1000
		onCanary := n * weight / 100
		// The machine is busier in some ticks than in others.
		busy := 0.004 * math.Exp(0.7*random.NormFloat64())
		group := &engine.Group{Instances: 1, Ready: 1, Capacity: 100}
		d := engine.Decide(plan, s, engine.Observation{
			At: at, Stable: group, Canary: group,
			Weight: &engine.Weight{Known: true, Percent: weight, InEffect: true},
			Tick: &rollout.Tick{At: at, Weight: weight, Arms: rollout.Arms{
				Stable: answers(random, n-onCanary, stable, busy), Canary: answers(random, onCanary, canary, busy)}},
		})
		s = d.Next
		switch d.Kind {
		case engine.Rollback:
			return engine.RolledBack, d.Because[0].Type, at.Sub(began)
		case engine.Complete:
			return engine.Promoted, "", at.Sub(began)
		}
	}
	return s.Status, "", storyTime
}

// bounds are those of the proxy's latency buckets.
var bounds = func() (b []float64) {
	for i := range 820 {
		b = append(b, 1e-5*math.Pow(10, float64(i)/117))
	}
	return b
}()

// answers is a tick of one arm.
func answers(random *rand.Rand, n int, v version, busy float64) *rollout.Sample {
	one, requests, errors, sum := 1, float64(n), 0.0, 0.0
	counts := make([]float64, len(bounds)+1)
	for range n {
		median := 0.105
		switch lot := random.IntN(100); {
		case lot < 60:
			median = 0.086
		case random.Float64() < v.failures*v.errors:
			errors++
		}
		s := median*v.pace*v.slow*math.Exp(0.25*random.NormFloat64()) + busy*math.Exp(0.8*random.NormFloat64())
		sum += s
		counts[min(int(math.Ceil(math.Log10(s/1e-5)*117)), len(bounds))]++
	}
	return &rollout.Sample{Instances: &one, Requests: &requests, Errors: &errors,
		Latency: &rollout.Histogram{Bounds: bounds, Counts: counts, Sum: &sum}}
}

// The story's versions differ by enough to be told apart in its time, by the
// real judging and with room to spare: its end is a finding, and a sure one.
func TestTheStoryCanBeJudged(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("run again with -seed %d", *seed)
	text, err := file(command("serin", first, firstVersion, 1))
	if err != nil {
		t.Fatal(err)
	}
	plan := engine.PlanOf(parse(t, text).Spec)
	random := rand.New(rand.NewPCG(*seed, 0))
	wrong := 0
	var longest time.Duration
	for range *stagings {
		stable, whole := firstVersion, time.Duration(0)
		for _, c := range story {
			status, check, took := stage(t, random, plan, stable, c.change(stable))
			if status != c.want || check != c.check {
				t.Logf("%s ended %s (%s) after %s", c.version, status, check, took)
				wrong++
			}
			if status == engine.Promoted {
				stable = c.change(stable)
			}
			whole += took
		}
		longest = max(longest, whole)
	}
	t.Logf("%d chapters, %d ended otherwise than told; the longest story was judged in %s", *stagings*len(story), wrong, longest)
	// The rollout's alpha allows one false rollback in a hundred.
	if allowed := *stagings * len(story) / 100; wrong > 1+allowed {
		t.Errorf("%d chapters ended otherwise than told, at most %d may by chance", wrong, 1+allowed)
	}
	if longest > 52*time.Second {
		t.Errorf("the longest story took %s; with its beginning and end it must stay within a minute", longest)
	}
}

// What the demo tells a user to write is what the program reads.
func TestTheFileToCopyIsRight(t *testing.T) {
	r := parse(t, Own)
	if r.Metadata.Name != "app" || r.Spec.Workload.Kind != "process" || r.Spec.Traffic.Kind != "proxy" {
		t.Errorf("the file reads as %+v", r)
	}
	if n := strings.Count(Own, "\n"); n > 10 {
		t.Errorf("the file has %d lines; it was promised to have at most ten", n)
	}
}

package demo

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

func env(name string, def float64) float64 {
	if s := os.Getenv(name); s != "" {
		v, _ := strconv.ParseFloat(s, 64)
		return v
	}
	return def
}

type arm struct{ fail, pace float64 }

func draw(r *rand.Rand, n int, a arm, bounds []float64, sigma, overhead, noise float64) *rollout.Sample {
	counts := make([]float64, len(bounds)+1)
	var errs, sum float64
	for range n {
		lot := r.IntN(100)
		med := 0.020
		switch {
		case lot < 15:
			med = 0.014
		case lot < 40:
			med = 0.016
		case lot < 60:
			med = 0.015
		default:
			if r.Float64() < a.fail {
				errs++
			}
		}
		t := med*a.pace*math.Exp(sigma*r.NormFloat64()) + overhead*noise*math.Exp(0.8*r.NormFloat64())
		sum += t
		i := int(math.Ceil(math.Log(t/1e-5) / math.Log(1.02)))
		counts[min(max(i, 0), len(bounds))]++
	}
	one := 1
	nn := float64(n)
	return &rollout.Sample{Instances: &one, Requests: &nn, Errors: &errs, Latency: &rollout.Histogram{Bounds: bounds, Counts: counts, Sum: &sum}}
}

func TestSim(t *testing.T) {
	N := int(env("N", 200))
	rate := env("RATE", 800)
	phase := env("PHASE", 2.5)
	ms := env("TICK", 250)
	sigma := env("SIGMA", 0.25)
	base := env("BASE", 0.06)
	v2 := arm{env("V2FAIL", 0.04), env("V2PACE", 0.93)}
	bounds := []float64{}
	for b := 1e-5; b < 100; b *= 1.02 {
		bounds = append(bounds, b)
	}
	weights := []int{}
	for _, w := range strings.Split(func() string {
		if s := os.Getenv("W"); s != "" {
			return s
		}
		return "5,10,25,50,100"
	}(), ",") {
		v, _ := strconv.Atoi(w)
		weights = append(weights, v)
	}
	for _, c := range []struct {
		name           string
		stable, canary arm
	}{{"v2", arm{base, 1}, v2}, {"v3", v2, arm{3 * v2.fail, v2.pace}}, {"v4", v2, arm{v2.fail, 1.25 * v2.pace}}} {
		ends := map[string]int{}
		var total float64
		var last []float64
		for seed := range N {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			spec := rollout.Spec{}
			for k, w := range weights {
				phase := phase
				if d := os.Getenv("D"); d != "" {
					phase, _ = strconv.ParseFloat(strings.Split(d, ",")[k], 64)
				}
				spec.Plan.Phases = append(spec.Plan.Phases, rollout.Phase{Weight: w, Duration: rollout.Duration(phase * float64(time.Second))})
			}
			spec.Plan.HoldTimeout = rollout.DefaultHoldTimeout
			spec.Plan.Drain = rollout.DefaultDrain
			spec.Plan.Prepare = rollout.DefaultPrepare
			spec.Analysis = rollout.Analysis{Interval: rollout.Duration(ms * float64(time.Millisecond)), Alpha: 0.01, Checks: rollout.DefaultChecks()[:2]}
			plan := engine.PlanOf(spec)
			at := time.Unix(1e9, 0).UTC()
			s := engine.StartWatching(plan, at)
			end := "?"
			held := ""
			overhead := 0.0008
			for i := range 2000 {
				at = at.Add(time.Duration(ms) * time.Millisecond)
				w := plan.Want(s).Weight
				n := int(rate * ms / 1000)
				nc := n * w / 100
				if r.IntN(100) < n*w%100 {
					nc++
				}
				noise := math.Exp(env("NOISE", 0.7) * r.NormFloat64())
				tick := &rollout.Tick{At: at, Weight: w, Arms: rollout.Arms{Stable: draw(r, n-nc, c.stable, bounds, sigma, overhead, noise), Canary: draw(r, nc, c.canary, bounds, sigma, overhead, noise)}}
				g := &engine.Group{Instances: 1, Ready: 1, Capacity: 100}
				d := engine.Decide(plan, s, engine.Observation{At: at, Weight: &engine.Weight{Known: true, Percent: w, InEffect: true}, Stable: g, Canary: g, Tick: tick})
				s = d.Next
				if d.Kind == engine.Rollback || d.Kind == engine.Complete {
					end = string(d.Kind)
					if d.Kind == engine.Rollback {
						end += " " + d.Because[0].Check
					}
					total += float64(i) * ms / 1000
					last = append(last, float64(i)*ms/1000)
					break
				}
				if s.Hold != nil && held == "" {
					held = " after hold " + strconv.Itoa(s.Phase+1) + d.Because[0].Message
				}
				if i > 200 {
					end = "never"
					break
				}
			}
			ends[end+held]++
		}
		slices.Sort(last)
		t.Logf("%s: mean %.1f s p90 %.1f max %.1f", c.name, total/float64(N), last[len(last)*9/10], last[len(last)-1])
		for e, n := range ends {
			t.Logf("   %5d %s", n, e)
		}
	}
}

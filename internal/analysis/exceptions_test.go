package analysis_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/analysis"
	"serin.dev/serin/internal/rollout"
)

// thrown is an arm of n requests and instances that threw the exceptions, each
// "class", "class count" or "class count!" for a critical one.
func thrown(requests float64, instances int, exceptions ...string) *rollout.Sample {
	s := &rollout.Sample{Requests: &requests, Errors: num(0), Instances: &instances, Exceptions: []rollout.Exception{}}
	for _, text := range exceptions {
		class, rest, counted := strings.Cut(text, " ")
		x := rollout.Exception{Class: class, Instance: "shop-0", Count: 1}
		if counted {
			if _, err := fmt.Sscanf(strings.TrimSuffix(rest, "!"), "%g", &x.Count); err != nil {
				panic(err)
			}
			x.Critical = strings.HasSuffix(rest, "!")
		}
		s.Exceptions = append(s.Exceptions, x)
	}
	return s
}

func TestExceptionsAreJudgedAsAPersonWould(t *testing.T) {
	cfg := configOf(rollout.Exceptions)
	own := configOf(rollout.Exceptions)
	own.Analysis.Checks[0].Critical = []string{"paymentlost*"}
	quiet, calm := thrown(950, 19), thrown(50, 1)
	type expect struct {
		verdict                 analysis.Verdict
		nonInferior, acceptable bool
		hold, message, flag     string
		unjudged                bool
	}
	for name, c := range map[string]struct {
		cfg    analysis.Config
		stream []stretch
		want   expect
	}{
		"none in either arm is a pass": {cfg, []stretch{{3, 5, 0, quiet, calm}},
			expect{verdict: analysis.Pass, nonInferior: true, acceptable: true, message: "no exceptions in either arm"}},
		"what was not measured is not judged": {cfg, []stretch{{30, 5, 0, served(950, 0), served(50, 0)}},
			expect{verdict: analysis.Inconclusive, unjudged: true, message: "not measured"}},
		"a class of both arms is nobody's": {cfg, []stretch{{60, 5, 0, thrown(950, 19, "IOError@disk 9"), thrown(50, 1, "IOError@disk 9")}},
			expect{verdict: analysis.Pass, nonInferior: true, acceptable: true, message: "no class of exceptions is the canary's alone"}},
		"a new class of every tick is found at 5 %": {cfg, []stretch{{20, 5, 0, quiet, calm}, {10, 5, 0, quiet, thrown(50, 1, "TimeoutError@cart.add")}},
			expect{verdict: analysis.Fail, message: "TimeoutError@cart.add is new"}},
		"and needs more at 50 %": {cfg, []stretch{{8, 50, 0, thrown(500, 10), thrown(500, 10, "TimeoutError@cart.add")}},
			expect{verdict: analysis.Inconclusive, acceptable: true, message: "TimeoutError@cart.add only in the canary so far"}},
		"which it finds": {cfg, []stretch{{36, 50, 0, thrown(500, 10), thrown(500, 10, "TimeoutError@cart.add")}},
			expect{verdict: analysis.Fail, message: "TimeoutError@cart.add is new"}},
		"four separate times at 5 % roll back": {cfg, []stretch{
			{1, 5, 0, quiet, thrown(50, 1, "A@b")}, {9, 5, 0, quiet, calm}, {1, 5, 0, quiet, thrown(50, 1, "A@b")}, {9, 5, 0, quiet, calm},
			{1, 5, 0, quiet, thrown(50, 1, "A@b")}, {9, 5, 0, quiet, calm}, {1, 5, 0, quiet, thrown(50, 1, "A@b")}},
			expect{verdict: analysis.Fail, message: "A@b is new: in the canary 4 times in 4 ticks"}},
		"three users who each try for half a minute do not": {cfg, []stretch{
			{3, 25, 0, thrown(750, 15), thrown(250, 5, "A@b 40")}, {20, 25, 0, thrown(750, 15), thrown(250, 5)},
			{3, 25, 0, thrown(750, 15), thrown(250, 5, "A@b 40")}, {20, 25, 0, thrown(750, 15), thrown(250, 5)},
			{3, 25, 0, thrown(750, 15), thrown(250, 5, "A@b 40")}, {20, 25, 0, thrown(750, 15), thrown(250, 5)}},
			expect{verdict: analysis.Inconclusive, acceptable: true, message: "odds 1:5"}},
		"one user who tries for half a minute does not": {cfg, []stretch{{4, 5, 0, quiet, thrown(50, 1, "A@b 40")}, {60, 5, 0, quiet, calm}},
			expect{verdict: analysis.Inconclusive, acceptable: true, message: "A@b only in the canary so far"}},
		"once is let on at a small share, not early": {cfg, []stretch{{1, 5, 0, quiet, thrown(50, 1, "A@b")}, {9, 5, 0, quiet, calm}},
			expect{verdict: analysis.Inconclusive, acceptable: true, flag: "low-evidence", message: "A@b only in the canary so far"}},
		"and forgotten in the next phase": {cfg, []stretch{{1, 5, 0, quiet, thrown(50, 1, "A@b")}, {9, 10, 1, quiet, thrown(105, 2)}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true, message: "earlier A@b was"}},
		"stable that has it too, later, acquits": {cfg, []stretch{{5, 5, 0, quiet, thrown(50, 1, "A@b")}, {1, 5, 0, thrown(950, 19, "A@b"), calm}, {30, 5, 0, quiet, thrown(50, 1, "A@b")}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true}},
		"stable that had it before the run acquits": {cfg, []stretch{{1, 5, 0, thrown(950, 19, "A@b 0"), calm}, {30, 5, 0, quiet, thrown(50, 1, "A@b")}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true}},
		"with one instance each a timer may have done it": {cfg, []stretch{{8, 5, 0, thrown(950, 1), thrown(50, 1, "A@timer")}},
			expect{verdict: analysis.Inconclusive, acceptable: true}},
		"but not for long": {cfg, []stretch{{36, 5, 0, thrown(950, 1), thrown(50, 1, "A@timer")}},
			expect{verdict: analysis.Fail, message: "A@timer is new"}},
		"a critical one holds": {cfg, []stretch{{1, 5, 0, quiet, thrown(50, 1, "panic@cart.add 1!")}, {30, 5, 0, quiet, calm}},
			expect{verdict: analysis.Inconclusive, hold: "critical exception panic@cart.add", message: "policy, not statistics"}},
		"and rolls back although stable's were never known": {cfg, []stretch{{2, 5, 0, served(950, 0), thrown(50, 1, "panic@cart.add 1!")}},
			expect{verdict: analysis.Fail, flag: "policy"}},
		"and holds on while nothing is known": {cfg, []stretch{{1, 5, 0, served(950, 0), thrown(50, 1, "panic@cart.add 1!")}, {3, 5, 0, served(950, 0), served(50, 0)}},
			expect{verdict: analysis.Inconclusive, unjudged: true, hold: "critical exception panic@cart.add"}},
		"two roll back": {cfg, []stretch{{1, 5, 0, quiet, thrown(50, 1, "panic@cart.add 1!")}, {1, 5, 0, quiet, thrown(50, 1, "OutOfMemoryError@cart.get 1!")}},
			expect{verdict: analysis.Fail, flag: "policy", message: "policy, not statistics"}},
		"also while stable's are not known": {cfg, []stretch{{1, 5, 0, quiet, calm}, {2, 5, 0, served(950, 0), thrown(50, 1, "panic@cart.add 1!")}},
			expect{verdict: analysis.Fail, flag: "policy", message: "panic@cart.add"}},
		"critical ones of both arms do not": {cfg, []stretch{{9, 5, 0, thrown(950, 19, "panic@cart.add 9!"), thrown(50, 1, "panic@cart.add 1!")}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true}},
		"an own pattern is critical": {own, []stretch{{2, 5, 0, quiet, thrown(50, 1, "PaymentLostError@pay")}},
			expect{verdict: analysis.Fail, flag: "policy", message: "PaymentLostError@pay"}},
		"many classes born in the canary are found although none comes twice": {cfg, func() (s []stretch) {
			for i := range 6 {
				s = append(s, stretch{1, 5, 0, quiet, thrown(50, 1, fmt.Sprintf("E%d@a", i), fmt.Sprintf("E%d@b", i))})
			}
			return s
		}(), expect{verdict: analysis.Fail, message: "classes of exceptions are new in the canary and 0 in stable"}},
		"at 100 % a class that stable never had stops the end": {cfg, []stretch{{60, 50, 0, thrown(500, 10), thrown(500, 10)}, {20, 100, 1, nil, thrown(1000, 20, "A@b")}},
			expect{verdict: analysis.Inconclusive, flag: "no-control", message: "A@b only in the canary so far"}},
		"at 100 % silence lets it end": {cfg, []stretch{{60, 50, 0, thrown(500, 10), thrown(500, 10)}, {20, 100, 1, nil, thrown(1000, 20)}},
			expect{verdict: analysis.Pass, acceptable: true, nonInferior: true, flag: "no-control"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, said := play(t, c.cfg, c.stream...)
			r := said.Results[0]
			if r.Verdict != c.want.verdict || r.Judged == c.want.unjudged {
				t.Errorf("verdict is %s (judged %v), want %s: %s", r.Verdict, r.Judged, c.want.verdict, r.Message)
			}
			if r.NonInferior != c.want.nonInferior || r.Acceptable != c.want.acceptable {
				t.Errorf("not inferior %v, acceptable %v; want %v, %v: %s", r.NonInferior, r.Acceptable, c.want.nonInferior, c.want.acceptable, r.Message)
			}
			if !strings.Contains(r.Message, c.want.message) {
				t.Errorf("says %q, want %q in it", r.Message, c.want.message)
			}
			if (c.want.hold == "") != (said.Hold == "") || !strings.Contains(said.Hold, c.want.hold) {
				t.Errorf("holds for %q, want %q", said.Hold, c.want.hold)
			}
			if c.want.flag != "" && !strings.Contains(strings.Join(r.Flags, " "), c.want.flag) {
				t.Errorf("flags are %v, want %q among them", r.Flags, c.want.flag)
			}
		})
	}
}

func TestAMillionClassesAreNeverAPassAndStaySmall(t *testing.T) {
	cfg := configOf(rollout.Exceptions)
	many := func(requests float64, instances int, arm string, tick int) *rollout.Sample {
		s := thrown(requests, instances)
		for i := range 50_000 {
			s.Exceptions = append(s.Exceptions, rollout.Exception{Class: fmt.Sprintf("E%s%d-%d@x", arm, tick, i), Count: 1})
		}
		return s
	}
	quiet := func(requests float64, instances int, _ string, _ int) *rollout.Sample {
		return thrown(requests, instances)
	}
	for name, c := range map[string]struct {
		stable, canary func(float64, int, string, int) *rollout.Sample
		rollsBack      bool
	}{
		"in both arms":        {many, many, false},
		"in stable alone":     {many, quiet, false},
		"in the canary alone": {quiet, many, true},
	} {
		t.Run(name, func(t *testing.T) {
			state := analysis.Start(cfg)
			var said analysis.Assessment
			for i := range 10 {
				at := midnight.Add(time.Duration(i+1) * 10 * time.Second)
				state, said = analysis.Step(cfg, state, rollout.Tick{At: at, Weight: 50, Arms: rollout.Arms{
					Stable: c.stable(500, 10, "s", i), Canary: c.canary(500, 10, "c", i),
				}}, 0)
				if r := said.Results[0]; r.Verdict == analysis.Fail {
					break
				}
			}
			r := said.Results[0]
			t.Log(r.Message)
			if c.rollsBack != (r.Verdict == analysis.Fail) {
				t.Errorf("verdict is %s: %s", r.Verdict, r.Message)
			}
			if !c.rollsBack && (r.Verdict == analysis.Pass || r.Acceptable || !strings.Contains(r.Message, "told apart")) {
				t.Errorf("verdict %s, acceptable %v: %s", r.Verdict, r.Acceptable, r.Message)
			}
			saved, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}
			if most := 100 << 10; len(saved) > most {
				t.Errorf("the state takes %d bytes, more than %d", len(saved), most)
			}
		})
	}
}

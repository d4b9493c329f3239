package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a deployer may feed to serin judge when things go wrong. Whatever comes:
// a line for a line, never a pass, never a crash, and the reason is said.

const hostilePlan = `apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop}
spec:
  plan:
    phases:
    - {weight: 10, duration: 10m}
    - {weight: 100, duration: 10m}
  analysis:
    checks:
    - {name: errors, type: errorRate}
    - {name: latency, type: responseTime}
    - {name: exceptions, type: exceptions}
`

// hostileRun is what became of a stream.
type hostileRun struct {
	code    int
	answers []hostileAnswer
	// memory is the most that the program held, in bytes; 0 where nobody says.
	memory int64
	err    string
}

type hostileAnswer struct {
	Decision string `json:"decision"`
	Weight   int    `json:"weight"`
	Error    string `json:"error"`
	Because  []struct {
		Check      string  `json:"check"`
		Reason     string  `json:"reason"`
		Verdict    string  `json:"verdict"`
		Message    string  `json:"message"`
		Evidence   float64 `json:"evidence"`
		Acceptable bool    `json:"acceptable"`
	} `json:"because"`
}

// says is all that an answer gives as reasons.
func (a hostileAnswer) says() string {
	var all []string
	for _, b := range a.Because {
		all = append(all, b.Check+b.Reason+": "+b.Message)
	}
	return strings.Join(all, "\n")
}

func (r hostileRun) last() hostileAnswer { return r.answers[len(r.answers)-1] }

// judged shows serin judge what write writes.
func judged(t *testing.T, write func(io.Writer) error) hostileRun {
	t.Helper()
	plan := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(plan, []byte(hostilePlan), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "serin"), "judge", "-f", plan)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		w := bufio.NewWriterSize(in, 1<<20)
		written <- errors.Join(write(w), w.Flush(), in.Close())
	}()
	var r hostileRun
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var a hostileAnswer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatalf("%v: %.200s", err, lines.Bytes())
		}
		r.answers = append(r.answers, a)
	}
	if err := errors.Join(lines.Err(), <-written); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r.code, r.err = cmd.ProcessState.ExitCode(), stderr.String()
	if use, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok && runtime.GOOS == "linux" {
		r.memory = use.Maxrss << 10
	}
	if len(r.answers) == 0 {
		t.Fatalf("nothing was answered; exit code %d: %s", r.code, r.err)
	}
	return r
}

// neverPasses fails the test where a run goes on or is promoted.
func (r hostileRun) neverPasses(t *testing.T) {
	t.Helper()
	for i, a := range r.answers {
		if a.Decision == "proceed" || a.Decision == "complete" {
			t.Fatalf("line %d is answered with %s:\n%s", i+1, a.Decision, a.says())
		}
	}
}

// hostileArm is an arm of a tick, as it is written.
type hostileArm map[string]any

func armOf(requests, errors float64) hostileArm {
	return hostileArm{"instances": 4, "requests": requests, "errors": errors, "exceptions": []any{}}
}

func (a hostileArm) with(key string, value any) hostileArm {
	b := hostileArm{}
	for k, v := range a {
		b[k] = v
	}
	b[key] = value
	return b
}

// took adds response times spread around a median, on a histogram.
func (a hostileArm) took(median float64, bounds []float64, sum bool) hostileArm {
	counts := make([]float64, len(bounds)+1)
	n, total := int(a["requests"].(float64)), 0.0
	for i := range n {
		q := (float64(i) + 0.5) / float64(n)
		v := median * (0.5 + q) / (1.5 - q)
		k, _ := slices.BinarySearch(bounds, v)
		counts[k]++
		total += v
	}
	h := map[string]any{"bounds": bounds, "counts": counts}
	if sum {
		h["sum"] = total
	}
	return a.with("latency", h)
}

// fineBounds are those of native histograms.
var fineBounds = func() (b []float64) {
	for i := range 100 {
		b = append(b, 0.001*math.Pow(2, float64(i)/8))
	}
	return b
}()

var (
	classicBounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	moreBounds    = []float64{.005, .01, .025, .05, .075, .1, .15, .25, .5, .75, 1, 2.5, 5}
	otherBounds   = []float64{.003, .03, .3, 3}
)

// at writes the n-th tick's line, from 1.
func at(w io.Writer, n int, stable, canary hostileArm) error {
	line := map[string]any{
		"tick": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 10 * time.Second), "weight": 10,
		"arms": map[string]any{"stable": stable, "canary": canary},
	}
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// ticks are as many lines; from line bad on they are those of wrong.
func ticks(n, bad int, wrong func(n int) (stable, canary hostileArm)) func(io.Writer) error {
	return func(w io.Writer) error {
		for i := 1; i <= n; i++ {
			stable, canary := armOf(900, 9).took(.1, fineBounds, true), armOf(100, 1).took(.1, fineBounds, true)
			if i >= bad {
				stable, canary = wrong(i)
			}
			if err := at(w, i, stable, canary); err != nil {
				return err
			}
		}
		return nil
	}
}

// The stream that all others are bent from is one that goes on.
func TestTheUnbentStreamGoesOn(t *testing.T) {
	r := judged(t, ticks(61, 1000, nil))
	if !slices.ContainsFunc(r.answers, func(a hostileAnswer) bool { return a.Decision == "proceed" }) {
		t.Errorf("a good canary did not go on: %s", r.last().says())
	}
}

// Numbers that are none, negative ones, absurd ones and counters that went back
// are refused by line and field; however many there are, they pass nothing.
func TestFiguresThatCannotBeAreRefusedByLineAndField(t *testing.T) {
	line := func(canary string) string {
		return `{"tick":"2026-01-01T00:MM:SSZ","weight":10,"arms":{"stable":{"requests":900,"errors":9},"canary":` + canary + `}}`
	}
	for _, c := range []struct{ name, canary, says string }{
		{"NaN", `{"requests":NaN}`, "is not JSON"},
		{"infinity", `{"requests":Infinity}`, "is not JSON"},
		{"beyond every number", `{"requests":1e400}`, "canary.requests: number 1e400 does not belong there"},
		{"a negative count, as of a counter that went back", `{"requests":-900,"errors":1}`, "arms.canary.requests: -900 is negative; write the increment within the tick, and the new value when a counter was reset"},
		{"negative errors", `{"requests":100,"errors":-3}`, "arms.canary.errors: -3 is negative"},
		{"a cumulative count", `{"requests":1e15}`, "arms.canary.requests: 1e+15 is beyond belief for one tick; write the increment"},
		{"a fraction of nothing", `{"requests":1e-300}`, "arms.canary.requests: 1e-300 is no count"},
		{"more errors than requests", `{"requests":5,"errors":6}`, "arms.canary.errors: 6 is more than the 5 requests"},
		{"negative instances", `{"instances":-1,"requests":5}`, "arms.canary.instances: -1"},
		{"a bucket that went back", `{"requests":5,"latency":{"bounds":[1,2],"counts":[1,-2,3]}}`, "arms.canary.latency.counts[1]: -2 is no count"},
		{"bounds that fall", `{"requests":5,"latency":{"bounds":[2,1],"counts":[1,2,3]}}`, "arms.canary.latency.bounds[1]: 1 does not continue the bounds"},
		{"a negative bound", `{"requests":5,"latency":{"bounds":[-1,1],"counts":[1,2,3]}}`, "arms.canary.latency.bounds[0]: -1"},
		{"a negative sum", `{"requests":5,"latency":{"bounds":[1],"counts":[1,2],"sum":-4}}`, "arms.canary.latency.sum: -4"},
		{"negative memory", `{"memory":{"shop-a":-5}}`, "arms.canary.memory.shop-a: -5"},
		{"a million cores", `{"cpu":{"shop-a":1e9}}`, "arms.canary.cpu.shop-a: 1e+09"},
		{"negative complaints", `{"complaints":-1}`, "arms.canary.complaints: -1 is negative"},
		{"more conversions than trials", `{"business":{"sales":{"trials":3,"successes":4}}}`, "arms.canary.business.sales.successes: 4 is more than the 3 trials"},
		{"an exception without a class", `{"exceptions":[{"count":1}]}`, "arms.canary.exceptions[0].class: is missing"},
		{"a negative count of exceptions", `{"exceptions":[{"class":"E@x","count":-1}]}`, "arms.canary.exceptions[0].count: -1 is negative"},
		{"an instance's negative requests", `{"byInstance":{"shop-a":{"requests":-1}}}`, "arms.canary.byInstance.shop-a.requests: -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := judged(t, func(w io.Writer) error {
				// A good line, then ten minutes of bad ones, then good ones: the
				// phase's time has gone by and nothing was learnt.
				err := at(w, 1, armOf(900, 9), armOf(100, 1))
				for n := range 60 {
					_, e := fmt.Fprintln(w, strings.Replace(line(c.canary), "MM:SS", fmt.Sprintf("%02d:%02d", (n+2)/6, (n+2)%6*10), 1))
					err = errors.Join(err, e)
				}
				return errors.Join(err, at(w, 70, armOf(900, 9), armOf(100, 1)), at(w, 71, armOf(900, 9), armOf(100, 1)))
			})
			r.neverPasses(t)
			if r.code != 4 || len(r.answers) != 63 || !strings.Contains(r.err, "60 of the lines were malformed") {
				t.Fatalf("exit code %d after %d answers: %s", r.code, len(r.answers), r.err)
			}
			for n := 2; n <= 61; n++ {
				if a := r.answers[n-1]; a.Decision != "" || !strings.HasPrefix(a.Error, fmt.Sprintf("line %d: ", n)) || !strings.Contains(a.Error, c.says) {
					t.Fatalf("line %d is answered with %+v, want %q", n, a, c.says)
				}
			}
		})
	}
}

// A clock that goes back is refused; one that goes back and stays there passes
// nothing, and one that leaps ahead ends no phase.
func TestClocksOutOfOrder(t *testing.T) {
	order := []int{1, 2, 3, 2, 1, 3, 4, -1000, 5, 5}
	r := judged(t, func(w io.Writer) error {
		for _, n := range order {
			if err := at(w, n, armOf(900, 9), armOf(100, 1)); err != nil {
				return err
			}
		}
		return nil
	})
	latest := 0
	for i, n := range order {
		a := r.answers[i]
		if late := n <= latest; late != (a.Error != "") || late && (!strings.HasPrefix(a.Error, fmt.Sprintf("line %d: tick: ", i+1)) || !strings.Contains(a.Error, "in the order of time")) {
			t.Errorf("tick %d after %d is answered with %+v", n, latest, a)
		}
		latest = max(latest, n)
	}
	if r.code != 4 {
		t.Errorf("exit code %d", r.code)
	}
	ahead := judged(t, func(w io.Writer) error {
		err := at(w, 1, armOf(900, 9), armOf(100, 1))
		for _, n := range []int{2, 1000, 1001, 90000} {
			err = errors.Join(err, at(w, n, armOf(900, 9), armOf(100, 1)))
		}
		return err
	})
	ahead.neverPasses(t)
	if ahead.code != 3 {
		t.Errorf("exit code %d", ahead.code)
	}
}

// What a tick may hold that is well-formed and tells nothing, or not what it
// seems to: for each, how the stream must end and what must be said.
func TestStreamsThatTellNothingNeverPass(t *testing.T) {
	slow := func(bounds []float64, sum bool) func(int) (hostileArm, hostileArm) {
		return func(int) (hostileArm, hostileArm) {
			return armOf(900, 9).took(.1, bounds, sum), armOf(100, 1).took(.3, bounds, sum)
		}
	}
	alike := func(stable, canary []float64) func(int) (hostileArm, hostileArm) {
		return func(int) (hostileArm, hostileArm) {
			return armOf(900, 9).took(.1, stable, true), armOf(100, 1).took(.1, canary, true)
		}
	}
	for _, c := range []struct {
		name string
		// n is how many ticks there are, bad the first wrong one.
		n, bad int
		wrong  func(int) (hostileArm, hostileArm)
		code   int
		ends   string
		says   string
	}{
		{"the canary's figures are lost", 60, 20, func(int) (hostileArm, hostileArm) { return armOf(900, 9), nil }, 2, "rollback", "the canary's figures have been absent while stable's go on"},
		{"stable's figures are lost", 70, 20, func(int) (hostileArm, hostileArm) { return nil, armOf(100, 1) }, 2, "rollback", "no data is never a pass"},
		{"both arms' figures are lost", 70, 20, func(int) (hostileArm, hostileArm) { return nil, nil }, 2, "rollback", "no figures of both arms"},
		{"the canary is there and counts nothing at all", 60, 20, func(int) (hostileArm, hostileArm) { return armOf(900, 9), hostileArm{} }, 2, "rollback", "the canary's figures have been absent"},
		{"the canary has no instance", 60, 20, func(int) (hostileArm, hostileArm) { return armOf(900, 9), armOf(0, 0).with("instances", 0) }, 2, "rollback", "the canary's figures have been absent"},
		{"the canary gets no request", 60, 1, func(int) (hostileArm, hostileArm) { return armOf(1000, 10), armOf(0, 0) }, 3, "hold", "no request has reached the canary"},
		{"the canary gets no request any more", 60, 20, func(int) (hostileArm, hostileArm) { return armOf(1000, 10), armOf(0, 0) }, 3, "hold", "ejected or bypassed"},
		{"stable gets no request any more", 60, 20, func(int) (hostileArm, hostileArm) { return armOf(0, 0), armOf(1000, 10) }, 3, "hold", "although its weight is 10 %"},
		{"no traffic for an hour", 400, 1, func(int) (hostileArm, hostileArm) { return armOf(0, 0), armOf(0, 0) }, 3, "hold", "no request reached the canary in this phase; nothing was learnt"},
		{"errors are not counted any more", 70, 20, func(int) (hostileArm, hostileArm) {
			return hostileArm{"requests": 900}, hostileArm{"requests": 100}
		}, 2, "rollback", "errors: its figures are missing since"},

		{"all bounds change, and the canary gets slow with it", 60, 20, slow(moreBounds, true), 2, "rollback", "latency: mean response time "},
		{"all bounds become one, and the canary gets slow with it", 60, 20, slow([]float64{10}, true), 3, "hold", "latency is not proven acceptable"},
		{"all bounds become one, without a sum", 70, 20, slow([]float64{10}, false), 2, "rollback", "nearly all response times of both versions lie in one wide bucket and there is no sum of them"},
		{"the canary's bounds become others", 70, 20, alike(classicBounds, otherBounds), 2, "rollback", "latency: the histograms of the canary (4 bounds up to 3s) and of stable (9 bounds up to 2.5s) cannot be compared; give both versions the same buckets"},
		{"the canary's bounds were others from the first", 70, 1, alike(classicBounds, otherBounds), 2, "rollback", "give both versions the same buckets"},
		{"bounds change with every tick", 70, 1, func(n int) (hostileArm, hostileArm) {
			all := [][]float64{classicBounds, otherBounds, fineBounds}
			return armOf(900, 9).took(.1, all[n%3], true), armOf(100, 1).took(.1, all[(n+1)%3], true)
		}, 2, "rollback", "give both versions the same buckets"},
		{"a histogram without a bucket", 70, 20, func(int) (hostileArm, hostileArm) {
			empty := map[string]any{"bounds": []float64{}, "counts": []float64{}}
			return armOf(900, 9).with("latency", empty), armOf(100, 1).with("latency", empty)
		}, 2, "rollback", "latency: its figures are missing since"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := judged(t, ticks(c.n, c.bad, c.wrong))
			r.neverPasses(t)
			if last := r.last(); r.code != c.code || last.Decision != c.ends || !strings.Contains(last.says(), c.says) {
				t.Errorf("exit code %d; it ends with %s, want %s because %q:\n%s", r.code, last.Decision, c.ends, c.says, last.says())
			}
			if len(r.answers) != c.n {
				t.Errorf("%d answers to %d lines", len(r.answers), c.n)
			}
		})
	}
}

// A canary that counts in finer buckets than stable is compared on the bounds
// that they share.
func TestMoreBucketsThanStableHasAreNoReasonToWait(t *testing.T) {
	for name, c := range map[string]struct {
		median float64
		ends   string
	}{"as fast": {.1, "proceed"}, "slower": {.3, "rollback"}} {
		t.Run(name, func(t *testing.T) {
			r := judged(t, ticks(60, 1, func(int) (hostileArm, hostileArm) {
				return armOf(900, 9).took(.1, classicBounds, true), armOf(100, 1).took(c.median, moreBounds, true)
			}))
			if last := r.last(); last.Decision != c.ends {
				t.Errorf("it ends with %s:\n%s", last.Decision, last.says())
			}
		})
	}
}

// A million classes of exceptions are never a pass, and take no more memory
// than any.
func TestAMillionClassesOfExceptions(t *testing.T) {
	const lines, each = 20, 50_000
	many := func(arm hostileArm, name string, n int) hostileArm {
		all := make([]map[string]any, each)
		for i := range all {
			all[i] = map[string]any{"class": fmt.Sprintf("%s%d-%dError@shop.serve", name, n, i), "count": 1}
		}
		return arm.with("exceptions", all)
	}
	for name, c := range map[string]struct {
		stable, canary bool
		ends           []string
	}{
		"in the canary": {false, true, []string{"rollback"}},
		"in both":       {true, true, []string{"hold", "wait"}},
		"in stable":     {true, false, []string{"hold", "wait"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := judged(t, ticks(60, 10, func(n int) (hostileArm, hostileArm) {
				stable, canary := armOf(900, 9), armOf(100, 1)
				if n < 10+lines && c.stable {
					stable = many(stable, "S", n)
				}
				if n < 10+lines && c.canary {
					canary = many(canary, "C", n)
				}
				return stable.took(.1, fineBounds, true), canary.took(.1, fineBounds, true)
			}))
			r.neverPasses(t)
			last := r.last()
			if !slices.Contains(c.ends, last.Decision) || !strings.Contains(last.says(), "exceptions") {
				t.Errorf("it ends with %s:\n%s", last.Decision, last.says())
			}
			if c.stable && !strings.Contains(last.says(), "told apart") {
				t.Errorf("it is not said that there are too many classes:\n%s", last.says())
			}
			// A line of them is 4 MB, and is held a few times over while it is read.
			if most := int64(300 << 20); r.memory > most {
				t.Errorf("it took %d MiB", r.memory>>20)
			}
		})
	}
}

// A line of 100 MB is answered with its number and never held.
func TestALineOfAHundredMegabytes(t *testing.T) {
	r := judged(t, func(w io.Writer) error {
		err := at(w, 1, armOf(900, 9), armOf(100, 1))
		_, e := io.WriteString(w, `{"tick":"`)
		err = errors.Join(err, e)
		for range 100 {
			_, e := w.Write(bytes.Repeat([]byte("x"), 1<<20))
			err = errors.Join(err, e)
		}
		_, e = io.WriteString(w, "\n")
		return errors.Join(err, e, at(w, 2, armOf(900, 9), armOf(100, 1)))
	})
	if r.code != 4 || len(r.answers) != 3 || !strings.HasPrefix(r.answers[1].Error, "line 2: is longer than 64 MiB") || r.answers[2].Decision != "wait" {
		t.Errorf("exit code %d: %+v", r.code, r.answers)
	}
	// 64 MiB are read before it is given up, into a buffer that grows.
	if most := int64(6 * 64 << 20); r.memory > most {
		t.Errorf("it took %d MiB", r.memory>>20)
	}
}

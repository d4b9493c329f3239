package judge_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/judge"
	"serin.dev/serin/internal/rollout"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// plan has two phases of two minutes, looked at every ten seconds.
func plan() engine.Plan {
	return engine.Plan{
		Plan: rollout.Plan{
			Prepare:     rollout.Duration(time.Minute),
			Phases:      []rollout.Phase{{Weight: 5, Duration: rollout.Duration(2 * time.Minute)}, {Weight: 50, Duration: rollout.Duration(2 * time.Minute)}},
			HoldTimeout: rollout.Duration(5 * time.Minute),
		},
		Analysis: rollout.Analysis{
			Interval: rollout.Duration(10 * time.Second), Alpha: 0.01,
			Checks: []rollout.Check{{Name: "errors", Type: rollout.ErrorRate, Rollback: rollout.Margin{Ratio: 2}}},
		},
	}
}

// service answers requests with errors at a rate for each arm.
type service struct {
	chance         *rand.Rand
	stable, canary float64
}

func newService(t testing.TB, stable, canary float64) *service {
	seed := uint64(20260101)
	t.Logf("seed %d", seed)
	return &service{chance: rand.New(rand.NewPCG(seed, 1)), stable: stable, canary: canary}
}

// tick is the input line of the n-th tick, from 1, at a weight.
func (s *service) tick(n, weight int) string {
	const requests = 2000
	canary := requests * weight / 100
	return fmt.Sprintf(`{"tick":%q,"weight":%d,"arms":{"stable":{"instances":4,"requests":%d,"errors":%d},"canary":{"instances":1,"requests":%d,"errors":%d}}}`,
		start.Add(time.Duration(n)*10*time.Second).Format(time.RFC3339), weight,
		requests-canary, s.errors(requests-canary, s.stable), canary, s.errors(canary, s.canary))
}

func (s *service) errors(requests int, rate float64) int {
	failed := 0
	for range requests {
		if s.chance.Float64() < rate {
			failed++
		}
	}
	return failed
}

// answer is an output line.
type answer struct {
	Tick     time.Time `json:"tick"`
	Phase    int       `json:"phase"`
	Decision string    `json:"decision"`
	Weight   int       `json:"weight"`
	Because  []struct {
		Check    string  `json:"check"`
		Verdict  string  `json:"verdict"`
		Ratio    float64 `json:"ratio"`
		Evidence float64 `json:"evidence"`
		Needed   float64 `json:"needed"`
		Message  string  `json:"message"`
	} `json:"because"`
	Error string `json:"error"`
}

// conversation plays a deployer that sets the weight it is told before the next
// tick.
func conversation(t *testing.T, s *service, ticks int) []answer {
	t.Helper()
	var answers []answer
	toJudge, deployer := io.Pipe()
	fromJudge, judged := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := judge.Stream(plan(), toJudge, judged, nil)
		judged.CloseWithError(err)
		ended <- err
	}()
	replies := bufio.NewScanner(fromJudge)
	replies.Buffer(nil, 1<<20)
	weight := 5
	for n := 1; n <= ticks; n++ {
		if _, err := fmt.Fprintln(deployer, s.tick(n, weight)); err != nil {
			t.Fatal(err)
		}
		// The answer comes while the next line has not been written.
		if !replies.Scan() {
			t.Fatalf("no answer to tick %d: %v", n, replies.Err())
		}
		var a answer
		if err := json.Unmarshal(replies.Bytes(), &a); err != nil {
			t.Fatalf("%s: %v", replies.Bytes(), err)
		}
		answers = append(answers, a)
		weight = a.Weight
		if a.Decision == "rollback" {
			break
		}
	}
	deployer.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return answers
}

func TestAGoodVersionIsTakenThroughEveryPhaseToCompletion(t *testing.T) {
	answers := conversation(t, newService(t, 0.01, 0.01), 40)
	seen := map[string]bool{}
	for _, a := range answers {
		seen[fmt.Sprintf("%s %d %d", a.Decision, a.Phase, a.Weight)] = true
	}
	for _, want := range []string{"wait 1 5", "proceed 2 50", "wait 2 50"} {
		if !seen[want] {
			t.Errorf("no answer was %q", want)
		}
	}
	if last := answers[len(answers)-1]; last.Decision != "complete" || last.Weight != 100 {
		t.Errorf("the last answer is %+v, want complete at 100", last)
	}
}

func TestABadVersionIsRolledBackWithTheCheckThatFailedFirst(t *testing.T) {
	answers := conversation(t, newService(t, 0.01, 0.08), 40)
	last := answers[len(answers)-1]
	if last.Decision != "rollback" || last.Weight != 0 {
		t.Fatalf("the last answer is %+v, want rollback at 0", last)
	}
	why := last.Because[0]
	if why.Check != "errors" || why.Verdict != "fail" || why.Evidence < why.Needed || why.Ratio < 2 || why.Message == "" {
		t.Errorf("because %+v, want the failed check with evidence beyond what is needed", why)
	}
}

// lines judges whole lines at once.
func lines(t *testing.T, in ...string) ([]string, judge.Result) {
	t.Helper()
	var out bytes.Buffer
	result, err := judge.Stream(plan(), strings.NewReader(strings.Join(in, "\n")+"\n"), &out, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), result
}

func TestTheFinalAnswerRepeatsUntilTheInputEnds(t *testing.T) {
	s := newService(t, 0.01, 0.3)
	var in []string
	for n := 1; n <= 20; n++ {
		in = append(in, s.tick(n, 5))
	}
	out, result := lines(t, in...)
	if result.Decision != engine.Rollback || len(out) != len(in) {
		t.Fatalf("%d answers ending with %s, want %d ending with rollback", len(out), result.Decision, len(in))
	}
	var first answer
	for i, line := range out {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		if want := start.Add(time.Duration(i+1) * 10 * time.Second); !a.Tick.Equal(want) {
			t.Errorf("answer %d is about %s, want %s", i+1, a.Tick, want)
		}
		switch {
		case first.Decision == "" && a.Decision == "rollback":
			first = a
		case first.Decision != "" && (a.Decision != "rollback" || a.Weight != 0 || a.Phase != first.Phase || len(a.Because) != len(first.Because)):
			t.Errorf("answer %d is %+v after the rollback %+v", i+1, a, first)
		}
	}
}

// malformed are lines that must not be judged, with words of what is said.
var malformed = []struct{ name, line, says string }{
	{"not JSON", `{"tick":`, "not JSON"},
	{"cut off in a string", `{"tick":"2026-01-01T00:00`, "ends too early"},
	{"binary", "\x00\x01\xff", "not JSON"},
	{"a number", `7`, "object belongs"},
	{"a list", `[]`, "object belongs"},
	{"null", `null`, "object belongs"},
	{"empty object", `{}`, "tick: is missing"},
	{"two objects", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{}} {}`, "behind"},
	{"tick of a wrong form", `{"tick":"yesterday","weight":5,"arms":{}}`, "not a time"},
	{"tick a number", `{"tick":12,"weight":5,"arms":{}}`, "tick"},
	{"no weight", `{"tick":"2027-01-01T00:00:00Z","arms":{}}`, "weight: is missing"},
	{"weight above 100", `{"tick":"2027-01-01T00:00:00Z","weight":101,"arms":{}}`, "weight"},
	{"weight negative", `{"tick":"2027-01-01T00:00:00Z","weight":-1,"arms":{}}`, "weight"},
	{"weight a fraction", `{"tick":"2027-01-01T00:00:00Z","weight":5.5,"arms":{}}`, "weight: number 5.5 does not belong there; write a whole number"},
	{"weight text", `{"tick":"2027-01-01T00:00:00Z","weight":"5","arms":{}}`, "weight: string does not belong there; write a whole number"},
	{"no arms", `{"tick":"2027-01-01T00:00:00Z","weight":5}`, "arms: is missing"},
	{"arms null", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":null}`, "arms: is missing"},
	{"arm a number", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":5}}`, "arms.canary: number does not belong there; write an object"},
	{"negative requests", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"requests":-5}}}`, "negative"},
	{"more errors than requests", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"requests":5,"errors":6}}}`, "more than"},
	{"requests in quotes", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"requests":"5"}}}`, "requests: string does not belong there; write a number"},
	{"exceptions without a list", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"exceptions":{}}}}`, "exceptions: object does not belong there; write a list"},
	{"a number out of range", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"requests":1e999}}}`, "requests"},
	{"NaN", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"requests":NaN}}}`, "not JSON"},
	{"counts that do not fit the bounds", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"requests":5,"latency":{"bounds":[1],"counts":[1]}}}}`, "one more"},
	{"bounds that fall", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"requests":5,"latency":{"bounds":[2,1],"counts":[1,1,1]}}}}`, "ascending"},
	{"a count that is null", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"requests":5,"latency":{"bounds":[1],"counts":[null,5]}}}}`, "arms.canary.latency.counts[0]: null does not belong there"},
	{"a bound that is null", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"byInstance":{"shop-a":{"latency":{"bounds":[1,null],"counts":[1,1,1]}}}}}}`, "arms.canary.byInstance.shop-a.latency.bounds[1]: null"},
	{"what an instance used is null", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"stable":{"cpu":{"shop-a":0.4,"shop-b":null}}}}`, "arms.stable.cpu.shop-b: null"},
	{"what was used before is null", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{},"history":{"interval":"10s","cpu":{"shop-a":[0.4,null]}}}`, "history.cpu.shop-a[1]: null"},
	{"an exception that is null", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"exceptions":[null]}}}`, "arms.canary.exceptions[0]: null"},
	{"how often is null", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"exceptions":[{"class":"X@y","count":null}]}}}`, "arms.canary.exceptions[0].count: null"},
	{"how often is missing", `{"tick":"2027-01-01T00:00:00Z","weight":5,"arms":{"canary":{"exceptions":[{"class":"X@y","count":0},{"class":"X@z"}]}}}`, "arms.canary.exceptions[1].count: is missing"},
	{"deeply nested", strings.Repeat(`{"tick":`, 20000), "not JSON"},
	{"the past", `{"tick":"2025-01-01T00:00:00Z","weight":5,"arms":{}}`, "order of time"},
}

func TestAMalformedLineIsAnsweredAndChangesNothing(t *testing.T) {
	for _, c := range malformed {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t, 0.01, 0.05)
			var clean, dirty []string
			for n := 1; n <= 10; n++ {
				tick := s.tick(n, 5)
				clean = append(clean, tick)
				dirty = append(dirty, tick, c.line)
			}
			want, _ := lines(t, clean...)
			got, result := lines(t, dirty...)
			if result.Malformed != 10 || result.Lines != 10 || len(got) != 20 {
				t.Fatalf("%d judged, %d malformed, %d answers; want 10, 10, 20: %s", result.Lines, result.Malformed, len(got), got[1])
			}
			for i := range clean {
				if got[2*i] != want[i] {
					t.Errorf("line %d was answered\n%s\nand without malformed lines\n%s", 2*i+1, got[2*i], want[i])
				}
				var a answer
				if err := json.Unmarshal([]byte(got[2*i+1]), &a); err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(a.Error, fmt.Sprintf("line %d: ", 2*i+2)) || !strings.Contains(a.Error, c.says) || a.Decision != "" {
					t.Errorf("line %d was answered %s, want its number and %q", 2*i+2, got[2*i+1], c.says)
				}
			}
		})
	}
}

// Many languages write null for what they do not have: the whole figure is then
// missing, as if its key were.
func TestAFigureThatIsNullWasNotMeasured(t *testing.T) {
	s := newService(t, 0.01, 0.01)
	in := []string{s.tick(1, 5), s.tick(2, 5), s.tick(3, 5)}
	want, _ := lines(t, in...)
	for i, l := range in {
		in[i] = strings.NewReplacer(
			`"canary":{`, `"canary":{"latency":null,"cpu":null,"exceptions":null,"complaints":null,"business":{"conversion":null},"byInstance":{"shop-a":null},`,
			`"arms":{`, `"history":null,"unsplit":null,"arms":{"baseline":null,`,
		).Replace(l)
	}
	got, result := lines(t, in...)
	if result.Malformed != 0 || !slices.Equal(got, want) {
		t.Errorf("answered\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheSameTickTwiceIsMalformed(t *testing.T) {
	s := newService(t, 0.01, 0.01)
	first := s.tick(1, 5)
	_, result := lines(t, first, first, s.tick(2, 5))
	if result.Malformed != 1 || result.Lines != 2 {
		t.Errorf("%d judged and %d malformed, want 2 and 1", result.Lines, result.Malformed)
	}
}

func TestAByteOrderMarkBlankLinesAndAMissingLastNewlineAreFine(t *testing.T) {
	s := newService(t, 0.01, 0.01)
	var out bytes.Buffer
	result, err := judge.Stream(plan(), strings.NewReader("\ufeff\n  \r\n"+s.tick(1, 5)+"\r\n\n"+s.tick(2, 5)), &out, nil)
	if err != nil || result.Lines != 2 || result.Malformed != 0 || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%+v, %v, answered %q; want two lines judged", result, err, out.String())
	}
}

func TestANumberWithAPointIsTheSameNumber(t *testing.T) {
	s := newService(t, 0.01, 0.01)
	in := s.tick(1, 5) + "\n" + s.tick(2, 5) + "\n"
	pointed := regexp.MustCompile(`:(\d+)([,}])`).ReplaceAllString(in, ":$1.0$2")
	if !strings.Contains(pointed, `"weight":5.0,`) || !strings.Contains(pointed, `"instances":4.0,`) {
		t.Fatalf("%s has no number with a point", pointed)
	}
	var out, want bytes.Buffer
	if _, err := judge.Stream(plan(), strings.NewReader(in), &want, nil); err != nil {
		t.Fatal(err)
	}
	result, err := judge.Stream(plan(), strings.NewReader(pointed), &out, nil)
	if err != nil || result.Malformed != 0 || out.String() != want.String() {
		t.Errorf("%+v, %v, answered\n%s, want\n%s", result, err, out.String(), want.String())
	}
}

func TestAnEndlessLineIsMalformedAndNotKept(t *testing.T) {
	s := newService(t, 0.01, 0.01)
	endless := io.LimitReader(zeros{}, 65<<20)
	in := io.MultiReader(strings.NewReader(s.tick(1, 5)+"\n"), endless, strings.NewReader("\n"+s.tick(2, 5)+"\n"))
	var out bytes.Buffer
	result, err := judge.Stream(plan(), in, &out, nil)
	if err != nil || result.Lines != 2 || result.Malformed != 1 || !strings.Contains(out.String(), "line 2: is longer than 64 MiB") {
		t.Errorf("%+v, %v: %.300s", result, err, out.String())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestEveryMisspeltKeyIsWarnedOfOnceAndTheLineJudged(t *testing.T) {
	s := newService(t, 0.01, 0.01)
	var warnings []string
	var out bytes.Buffer
	in := strings.NewReplacer(
		`"weight"`, `"cluster":{"weight":1},"weight"`, // somebody's own, which must not hide the others
		`"stable":{"instances"`, `"stable":{"instanzes"`,
		`"canary":{`, `"canary":{"latency":{"bound":[1]},"byInstance":{"shop-a":{"errrors":1},"shop-b":{"errrors":1}},"exceptions":[{"class":"X@y","count":1,"stak":""}],`,
	).Replace(s.tick(1, 5) + "\n" + s.tick(2, 5) + "\n")
	result, err := judge.Stream(plan(), strings.NewReader(in), &out, func(w string) { warnings = append(warnings, w) })
	if err != nil || result.Lines != 2 || result.Malformed != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	var keys []string
	for _, w := range warnings {
		keys = append(keys, strings.Split(w, `"`)[1])
	}
	want := []string{"arms.canary.byInstance.*.errrors", "arms.canary.exceptions.stak", "arms.canary.latency.bound", "arms.stable.instanzes", "cluster"}
	if !slices.Equal(keys, want) {
		t.Errorf("warned %q, want once of each of %q", warnings, want)
	}
}

func TestAnArmThatIsNullIsAFailedScrapeAndHolds(t *testing.T) {
	s := newService(t, 0.01, 0.01)
	in := []string{s.tick(1, 5), s.tick(2, 5)}
	for n := 3; n <= 6; n++ {
		in = append(in, fmt.Sprintf(`{"tick":%q,"weight":5,"arms":{"stable":null,"canary":null}}`, start.Add(time.Duration(n)*10*time.Second).Format(time.RFC3339)))
	}
	out, result := lines(t, in...)
	if result.Malformed != 0 || result.Decision != engine.Hold {
		t.Errorf("ends with %s and %d malformed, want hold: %s", result.Decision, result.Malformed, out[len(out)-1])
	}
}

func TestACanaryWhoseFiguresVanishIsRolledBackWithinAMinute(t *testing.T) {
	s := newService(t, 0.01, 0.01)
	in := []string{s.tick(1, 5), s.tick(2, 5)}
	for n := 3; n <= 9; n++ {
		in = append(in, fmt.Sprintf(`{"tick":%q,"weight":5,"arms":{"stable":{"requests":1900,"errors":19},"canary":null}}`, start.Add(time.Duration(n)*10*time.Second).Format(time.RFC3339)))
	}
	_, result := lines(t, in...)
	if result.Decision != engine.Rollback {
		t.Errorf("ends with %s, want rollback", result.Decision)
	}
}

func TestAnEmptyStreamIsUndecided(t *testing.T) {
	var out bytes.Buffer
	result, err := judge.Stream(plan(), strings.NewReader(""), &out, nil)
	if err != nil || result.Decision != engine.Wait || out.Len() != 0 {
		t.Errorf("%+v, %v, %q", result, err, out.String())
	}
}

func TestWhatCannotBeAnsweredIsAnError(t *testing.T) {
	s := newService(t, 0.01, 0.01)
	_, err := judge.Stream(plan(), strings.NewReader(s.tick(1, 5)+"\n"), full{}, nil)
	if err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("error %v, want one that names the line", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// Every line is answered by one line of JSON, whatever it holds.
func FuzzStream(f *testing.F) {
	for _, c := range malformed {
		if len(c.line) < 4096 {
			f.Add([]byte(c.line))
		}
	}
	f.Add([]byte(`{"tick":"2026-01-01T00:00:10Z","weight":5,"arms":{"stable":{"requests":950,"errors":9,"latency":{"bounds":[0.001,0.00109],"counts":[1,2,3],"sum":0.004}},"canary":{"requests":50,"errors":50,"byInstance":{"a":null}}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		want := 0
		for line := range bytes.SplitSeq(in, []byte("\n")) {
			if len(bytes.TrimSpace(line)) > 0 {
				want++
			}
		}
		var out bytes.Buffer
		result, err := judge.Stream(plan(), bytes.NewReader(in), &out, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Count(out.Bytes(), []byte("\n")); got != want || result.Lines+result.Malformed != want {
			t.Fatalf("%d lines were answered by %d (%+v)", want, got, result)
		}
		for line := range bytes.Lines(out.Bytes()) {
			if !json.Valid(line) {
				t.Fatalf("not JSON: %q", line)
			}
		}
	})
}

func BenchmarkStream(b *testing.B) {
	s := newService(b, 0.01, 0.01)
	var in bytes.Buffer
	for n := 1; n <= 1000; n++ {
		in.WriteString(s.tick(n, 5))
		in.WriteByte('\n')
	}
	b.SetBytes(int64(in.Len()))
	b.ResetTimer()
	for b.Loop() {
		if _, err := judge.Stream(plan(), bytes.NewReader(in.Bytes()), io.Discard, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/line")
}

func TestFiguresOfAnySizeAreAnsweredInJSON(t *testing.T) {
	var in []string
	for n := 1; n <= 30; n++ {
		in = append(in, fmt.Sprintf(`{"tick":%q,"weight":5,"arms":{"stable":{"requests":1e12,"errors":0},"canary":{"requests":1e12,"errors":1e12}}}`, start.Add(time.Duration(n)*10*time.Second).Format(time.RFC3339)))
	}
	out, result := lines(t, in...)
	if result.Lines != len(in) || result.Decision != engine.Rollback {
		t.Errorf("%+v after %s, want every line judged and a rollback", result, out[len(out)-1])
	}
}

// The optional third arm takes its part of stable's version; a stream that never
// has it is answered as ever, and one that is meant to have it says so.
func TestAStreamMayHaveABaseline(t *testing.T) {
	plain := plan()
	plain.Analysis.Checks = append(plain.Analysis.Checks, rollout.Check{Name: "latency", Type: rollout.ResponseTime, Rollback: rollout.Margin{Increase: .1}})
	p := plain
	p.Baseline = true
	said := func(p engine.Plan, arms string) string {
		var in, out bytes.Buffer
		for n := 1; n <= 4; n++ {
			fmt.Fprintf(&in, `{"tick":%q,"weight":5,"arms":{%s}}`+"\n", start.Add(time.Duration(n)*10*time.Second).Format(time.RFC3339), arms)
		}
		if result, err := judge.Stream(p, &in, &out, func(w string) { t.Error(w) }); err != nil || result.Malformed != 0 {
			t.Fatalf("%+v, %v: %s", result, err, out.String())
		}
		return out.String()
	}
	const times = `"latency":{"bounds":[0.1,0.11,0.12],"counts":[200,400,300,0],"sum":95}`
	arm := func(name string, requests int) string {
		return fmt.Sprintf(`%q:{"requests":%d,"errors":1,%s}`, name, requests, times)
	}
	with := arm("stable", 900) + "," + arm("canary", 900)
	if out := said(p, with+","+arm("baseline", 900)); !strings.Contains(out, `"baseline"`) || strings.Contains(out, "no-baseline") {
		t.Errorf("with a baseline: %s", out)
	}
	if out := said(p, with+`,"baseline":null`); !strings.Contains(out, `"no-baseline"`) {
		t.Errorf("without the baseline that the plan has: %s", out)
	}
	if out := said(plain, with); strings.Contains(out, "baseline") {
		t.Errorf("nobody asked for a baseline: %s", out)
	}
}

// A line of the stream may tell what stable used before.
func TestALineMayHaveAHistory(t *testing.T) {
	p := plan()
	p.Analysis.Checks = []rollout.Check{{Name: "cpu", Type: rollout.CPU, Rollback: rollout.DefaultMargin(rollout.CPU)}}
	figures := func(n int) string { return strings.TrimSuffix(strings.Repeat("0.5,0.52,0.48,", n), ",") }
	history := `"history":{"interval":"10s","cpu":{"a":[` + figures(12) + `],"b":[` + figures(12) + `]}},`
	line := func(n int, more string) string {
		return fmt.Sprintf(`{"tick":%q,"weight":5,%s"arms":{"stable":{"requests":950,"cpu":{"a":0.5,"b":0.51}},"canary":{"requests":50,"cpu":{"c":0.5},"memory":{"c":9e7},"memoryLimit":{"c":1e9}}}}`,
			start.Add(time.Duration(n)*10*time.Second).Format(time.RFC3339), more)
	}
	var out bytes.Buffer
	var warnings []string
	_, err := judge.Stream(p, strings.NewReader(line(1, history)+"\n"+line(2, "")+"\n"+line(3, strings.Replace(history, "0.52", "-1", 1))+"\n"), &out, func(w string) { warnings = append(warnings, w) })
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v", err, warnings)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `"history"`) || !strings.Contains(lines[1], `"history"`) {
		t.Errorf("no verdict knows of the history:\n%s", out.String())
	}
	if !strings.Contains(lines[2], "history.cpu.a[1]") {
		t.Errorf("a figure that cannot be is answered by %s", lines[2])
	}
}

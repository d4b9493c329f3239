package command_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/internal/credential"
	"serin.dev/serin/internal/gate"
	"serin.dev/serin/internal/gate/command"
	"serin.dev/serin/internal/gate/gatetest"
	"serin.dev/serin/internal/rollout"
)

// playing returns the gate that starts this binary in a part.
func playing(t *testing.T, args ...string) *command.Gate {
	t.Helper()
	return newGate(t, command.Config{Argv: playArgv(t, args...)})
}

func playArgv(t *testing.T, args ...string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{self, "play"}, args...)
}

func newGate(t *testing.T, cfg command.Config) *command.Gate {
	t.Helper()
	g, err := command.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func run(t *testing.T, g *command.Gate, c gate.Call) gate.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return g.Run(ctx, c)
}

func TestConformance(t *testing.T) {
	part := func(args ...string) func(*testing.T) gatetest.Case {
		return func(t *testing.T) gatetest.Case { return gatetest.Case{Gate: playing(t, args...)} }
	}
	gatetest.Run(t, gatetest.Harness{
		Passing:  part("pass"),
		Failing:  part("fail"),
		Hanging:  part("hang"),
		Flooding: part("flood"),
		Unreachable: func(t *testing.T) gatetest.Case {
			return gatetest.Case{Gate: newGate(t, command.Config{Argv: []string{filepath.Join(t.TempDir(), "missing")}})}
		},
		Leaky: func(t *testing.T, secret string) map[string]gatetest.Case {
			t.Setenv("GATE_SECRET", secret)
			env := map[string]credential.Value{"TOKEN": {Ref: credential.Ref{Env: "GATE_SECRET"}}}
			lost := map[string]credential.Value{"TOKEN": {Ref: credential.Ref{Env: "GATE_SECRET"}}, "OTHER": {Ref: credential.Ref{Env: "NOT_SET_AT_ALL"}}}
			return map[string]gatetest.Case{
				"exit status":        {Gate: newGate(t, command.Config{Argv: playArgv(t, "shout", "TOKEN"), Env: env})},
				"timeout":            {Gate: newGate(t, command.Config{Argv: playArgv(t, "shout-and-hang", "TOKEN"), Env: env})},
				"missing program":    {Gate: newGate(t, command.Config{Argv: []string{"/no/such/program"}, Env: env})},
				"another is missing": {Gate: newGate(t, command.Config{Argv: playArgv(t, "pass"), Env: lost})},
			}
		},
	})
}

func call() gate.Call {
	return gate.Call{
		Key: "k1", Rollout: "shop", Run: "run-7", Name: "smoke", Point: rollout.BeforePhase, Phase: 2, Weight: 10,
		StableVersion: "v1", CanaryVersion: "v2", Reason: "errors doubled",
		Canary: []rollout.Instance{{Name: "c0"}, {Name: "c1", URL: "http://127.0.0.1:9001"}, {Name: "c2", URL: "http://127.0.0.1:9002", Ready: true}},
		Stable: []rollout.Instance{{Name: "s1", URL: "http://127.0.0.1:9000", Ready: true}},
	}
}

func TestArgumentsAreReplacedWithoutAShell(t *testing.T) {
	g := playing(t, "print", "--target=$(CANARY_URL)", "$(STABLE_URL)", "$(VERSION)/$(STABLE_VERSION)", "$(WEIGHT)", "$(PHASE)", "$(RUN)", "$(ROLLOUT)", "$HOME; echo no", "$(UNKNOWN)")
	r := run(t, g, call())
	want := "--target=http://127.0.0.1:9002|http://127.0.0.1:9000|v2/v1|10|2|run-7|shop|$HOME; echo no|$(UNKNOWN)"
	if got := strings.TrimSpace(r.Output); !r.Passed || got != want {
		t.Errorf("got %q in %+v\nwant %q", got, r, want)
	}
}

func TestAnAddressThatDoesNotExistFailsTheGate(t *testing.T) {
	r := run(t, playing(t, "print", "$(CANARY_URL)"), gate.Call{StableVersion: "v1"})
	if r.Passed || !strings.Contains(r.Message, "$(CANARY_URL) has no value here") {
		t.Errorf("got %+v", r)
	}
}

func TestTheProgramSeesWhatItNeedsOfTheEnvironmentAndNoMore(t *testing.T) {
	t.Setenv("SOMEBODY_ELSES_PASSWORD", "hunter2hunter2")
	t.Setenv("LANG", "C.UTF-8")
	g := newGate(t, command.Config{Argv: playArgv(t, "env"), Env: map[string]credential.Value{"MODE": {Text: "quick"}}})
	r := run(t, g, call())
	env := strings.Split(strings.TrimSpace(r.Output), "\n")
	for _, want := range []string{
		"MODE=quick", "LANG=C.UTF-8", "PATH=" + os.Getenv("PATH"),
		"SERIN_CANARY_URL=http://127.0.0.1:9002", "SERIN_CANARY_URLS=http://127.0.0.1:9001 http://127.0.0.1:9002",
		"SERIN_STABLE_URL=http://127.0.0.1:9000", "SERIN_VERSION=v2", "SERIN_STABLE_VERSION=v1", "SERIN_WEIGHT=10",
		"SERIN_PHASE=2", "SERIN_RUN=run-7", "SERIN_ROLLOUT=shop", "SERIN_KEY=k1", "SERIN_NAME=smoke",
		"SERIN_POINT=beforePhase", "SERIN_REASON=errors doubled",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("the environment lacks %q: %q", want, env)
		}
	}
	if strings.Contains(r.Output, "hunter2") {
		t.Errorf("the environment holds what was not named: %q", env)
	}
}

func TestTheProgramStartsInItsFolder(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, newGate(t, command.Config{Argv: playArgv(t, "dir"), Dir: dir}), call())
	if strings.TrimSpace(r.Output) != dir {
		t.Errorf("started in %q, want %q", r.Output, dir)
	}
}

func TestAFailureIsSaidByStatusAndLastLine(t *testing.T) {
	r := run(t, playing(t, "fail"), call())
	if r.Passed || !strings.Contains(r.Message, "exit status 3") || !strings.Contains(r.Message, "the cart is empty") {
		t.Errorf("got %+v", r)
	}
	if r.Output != "looking\nthe cart is empty\n" {
		t.Errorf("output %q", r.Output)
	}
}

func TestAMissingProgramIsNamed(t *testing.T) {
	r := run(t, newGate(t, command.Config{Argv: []string{"serin-has-no-such-program"}}), call())
	if r.Passed || !strings.Contains(r.Message, "serin-has-no-such-program") || !strings.Contains(r.Message, "not found") {
		t.Errorf("got %+v", r)
	}
}

func TestTheEndOfALongOutputIsKept(t *testing.T) {
	r := run(t, playing(t, "flood"), call())
	if !strings.HasSuffix(r.Output, "the end\n") || len(r.Output) != 4<<10 {
		t.Errorf("kept %d bytes ending in %q", len(r.Output), r.Output[max(0, len(r.Output)-20):])
	}
}

func TestTheProgramsFamilyIsKilledAtTheTimeout(t *testing.T) {
	notes := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for deadline := time.Now().Add(20 * time.Second); lines(notes) < 2 && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		cancel() // the end of its time, once the whole family is there
	}()
	if r := playing(t, "family", notes, "hang").Run(ctx, call()); r.Passed {
		t.Errorf("passed: %+v", r)
	}
	mustBeGone(t, notes, 2)
}

func TestWhatAProgramLeftBehindIsKilledWhenItEnds(t *testing.T) {
	notes := filepath.Join(t.TempDir(), "pids")
	started := time.Now()
	if r := run(t, playing(t, "family", notes, "end"), call()); !r.Passed {
		t.Errorf("failed: %+v", r)
	}
	if took := time.Since(started); took > 15*time.Second {
		t.Errorf("waited %s for the output of processes left behind", took)
	}
	mustBeGone(t, notes, 2)
}

func TestAProcessThatLeftTheGroupDoesNotHoldTheAnswerBack(t *testing.T) {
	notes := filepath.Join(t.TempDir(), "pids")
	t.Cleanup(func() {
		for _, pid := range pids(t, notes) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	started := time.Now()
	if r := run(t, playing(t, "escape", notes), call()); !r.Passed {
		t.Errorf("failed: %+v", r)
	}
	if took := time.Since(started); took > 15*time.Second {
		t.Errorf("returned after %s", took)
	}
}

func pids(t *testing.T, notes string) []int {
	t.Helper()
	data, err := os.ReadFile(notes)
	if err != nil {
		t.Fatal(err)
	}
	var list []int
	for line := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, pid)
	}
	return list
}

// mustBeGone waits until none of the noted processes runs. One that was killed
// may stay as a zombie where nobody reaps orphans.
func mustBeGone(t *testing.T, notes string, want int) {
	t.Helper()
	all := pids(t, notes)
	if len(all) != want {
		t.Fatalf("%d processes noted, want %d", len(all), want)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if !slices.ContainsFunc(all, running) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %v some still run", all)
		}
	}
}

func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func TestMistakesInTheFileAreNamedByField(t *testing.T) {
	for name, tc := range map[string]struct {
		config string
		field  string
	}{
		"no program":             {`{"argv": []}`, "argv"},
		"empty program":          {`{"argv": [""]}`, "argv"},
		"unknown placeholder":    {`{"argv": ["x", "$(CANARY)"]}`, "argv[1]"},
		"bad variable":           {`{"argv": ["x"], "env": {"a b": "c"}}`, "env.a b"},
		"Serin's own variable":   {`{"argv": ["x"], "env": {"SERIN_RUN": "c"}}`, "env.SERIN_RUN"},
		"secret in the file":     {`{"argv": ["x"], "env": {"API_TOKEN": "abcdef"}}`, "env.API_TOKEN"},
		"secret as the env name": {`{"argv": ["x"], "env": {"T": {"env": "ghp_abc-def"}}}`, "env.T.env"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := command.NewConfig().(*command.Config)
			if err := json.Unmarshal([]byte(tc.config), cfg); err != nil {
				t.Fatal(err)
			}
			found := cfg.Validate()
			if len(found) != 1 || found[0].Field != tc.field || found[0].Message == "" || found[0].Mend == "" {
				t.Errorf("found %+v, want one at %s", found, tc.field)
			}
		})
	}
	ok := command.Config{Argv: []string{"./smoke", "$(CANARY_URL)"}, Env: map[string]credential.Value{"API_TOKEN": {Ref: credential.Ref{File: "/run/token"}}}}
	if found := ok.Validate(); len(found) > 0 {
		t.Errorf("found %+v in a good configuration", found)
	}
}

func TestAMissingSecretIsFoundBeforeTheRun(t *testing.T) {
	g := newGate(t, command.Config{Argv: []string{"x"}, Env: map[string]credential.Value{"T": {Ref: credential.Ref{Env: "NOT_SET_AT_ALL"}}}})
	if err := g.Check(); err == nil || !strings.Contains(err.Error(), "NOT_SET_AT_ALL") {
		t.Errorf("got %v", err)
	}
}

package record_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/internal/record/recordtest"
	"serin.dev/serin/internal/rollout"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the generated runs; 0 picks one")

func seed(t testing.TB) uint64 {
	s := *seedFlag
	if s == 0 {
		s = uint64(time.Now().UnixNano()) ^ uint64(os.Getpid())<<32
	}
	t.Logf("run again with -seed=%d", s)
	return s
}

// worlds are runs that end in every way.
func worlds(seed uint64) map[string]recordtest.World {
	tested := recordtest.ShortPlan()
	tested.Tests = []engine.Test{{Name: "checkout", Failures: 3, OnFailure: rollout.FailRollback}}
	tested.Hooks = []engine.Hook{{Name: "migrate", At: rollout.BeforePhase, OnFailure: rollout.FailHold}}
	at := func(d time.Duration) time.Time { return recordtest.Start().Add(d) }
	return map[string]recordtest.World{
		"healthy":       {Seed: seed},
		"three times":   {Seed: seed, WorseErrors: 3, Rate: 200},
		"slower":        {Seed: seed, WorseLatency: 1.3},
		"crash":         {Seed: seed, CrashAt: 90 * time.Second},
		"testers":       {Seed: seed, Unsplit: []rollout.Arm{rollout.Canary}},
		"blind":         {Seed: seed, Blind: [2]time.Duration{60 * time.Second, time.Hour}},
		"failing tests": {Seed: seed, Plan: tested, TestFails: 2 * time.Minute},
		"a person": {Seed: seed, Intents: []rollout.Intent{
			{ID: "1", Kind: rollout.Pause, At: at(time.Minute), Actor: "li"},
			{ID: "2", Kind: rollout.Resume, At: at(3 * time.Minute), Actor: "li"},
			{ID: "3", Kind: rollout.Rollback, At: at(5 * time.Minute), Actor: "li", Reason: "wrong build"},
		}},
	}
}

func generate(t testing.TB, w recordtest.World) ([]byte, engine.State) {
	t.Helper()
	lines, state, err := w.Run()
	if err != nil {
		t.Fatal(err)
	}
	return recordtest.Join(lines), state
}

func TestAReplayDecidesTheSame(t *testing.T) {
	for name, w := range worlds(seed(t)) {
		t.Run(name, func(t *testing.T) {
			data, state := generate(t, w)
			got, err := record.Replay(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Differences) > 0 {
				d := got.Differences[0]
				t.Fatalf("line %d differs\nrecorded %s\ndecided  %s", d.Line, d.Recorded, d.Decided)
			}
			if got.Decisions < 10 {
				t.Fatalf("only %d decisions; the run was too short to show anything", got.Decisions)
			}
			if got.State.Position() != state.Position() {
				t.Errorf("ends at %q, the run ended at %q", got.State.Position(), state.Position())
			}
			if got.Header.Run.CanaryVersion != "v2" {
				t.Errorf("header names canary %q", got.Header.Run.CanaryVersion)
			}
		})
	}
}

func TestTheWorldsEndAsTheirNamesSay(t *testing.T) {
	for name, want := range map[string]engine.Status{
		"three times": engine.RolledBack, "crash": engine.RolledBack, "blind": engine.RolledBack,
		"failing tests": engine.RolledBack, "a person": engine.RolledBack,
	} {
		if _, state := generate(t, worlds(7)[name]); state.Status != want {
			t.Errorf("%s: ended %q, want %q", name, state.Position(), want)
		}
	}
}

func TestEveryLineComesBackAsItWasWritten(t *testing.T) {
	at := recordtest.Start()
	for _, v := range []any{
		record.Effect{Effect: "weight", At: at, Actor: record.Serin, Detail: "5 -> 0", Error: "<script>\u2028"},
		record.Intent{Intent: rollout.Intent{ID: "1", Kind: rollout.Promote, At: at, Actor: "li", Reason: "\"fine\"\n", Full: true}},
		record.Gate{Gate: "checkout", Point: rollout.BeforePhase, At: at, Actor: record.Serin, Passed: true, Message: "200", Output: "ok\x00"},
		record.Notification{Notification: rollout.RolledBack, At: at, Actor: record.Serin, To: "team", Text: "it is back", Error: "timeout"},
	} {
		line, err := record.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		err = record.Read(bytes.NewReader(append(line, '\n')), func(e record.Entry) error {
			for _, p := range []any{e.Effect, e.Intent, e.Gate, e.Notification} {
				if r := reflect.ValueOf(p); !r.IsNil() {
					got = r.Elem().Interface()
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if !reflect.DeepEqual(got, v) {
			t.Errorf("wrote %#v\nread  %#v", v, got)
		}
	}
}

// A record in which one byte was changed either cannot be read, with the line
// named, or replays with a difference, or says the same in another way.
func TestOneChangedByteIsNoticed(t *testing.T) {
	data, _ := generate(t, recordtest.World{Seed: 3, WorseErrors: 4, Rate: 200})
	first, err := record.Replay(bytes.NewReader(data))
	if err != nil || len(first.Differences) > 0 {
		t.Fatal(err, first.Differences)
	}
	// Every decision's weight, one at a time.
	changed := 0
	for n, line := range bytes.SplitAfter(data, []byte("\n")) {
		if !bytes.Contains(line, []byte(`"decision":"`)) || changed == 12 {
			continue
		}
		at := bytes.Index(data, line) + bytes.Index(line, []byte(`"want":{"weight":`)) + len(`"want":{"weight":`)
		bad := bytes.Clone(data)
		bad[at] = "0123456789"[(bad[at]-'0'+1)%10]
		if data[at] == '0' {
			bad[at] = '7'
		}
		changed++
		got, err := record.Replay(bytes.NewReader(bad))
		if err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		if len(got.Differences) == 0 || got.Differences[0].Line > n+1 {
			t.Fatalf("line %d was changed and the replay says %v", n+1, got.Differences)
		}
	}
	if changed < 10 {
		t.Fatalf("only %d decisions were changed", changed)
	}
}

func TestARandomChangeNeverPanics(t *testing.T) {
	s := seed(t)
	random := rand.New(rand.NewPCG(s, 2))
	data, _ := generate(t, recordtest.World{Seed: 3, WorseErrors: 5, Rate: 100})
	data = data[:bytes.LastIndexByte(data[:min(len(data), 60_000)], '\n')+1]
	noticed := 0
	for range 30 {
		bad := bytes.Clone(data)
		bad[random.IntN(len(bad))] = byte(random.IntN(256))
		got, err := record.Replay(bytes.NewReader(bad))
		if err != nil || len(got.Differences) > 0 {
			noticed++
		}
		if err != nil && !strings.Contains(err.Error(), "line ") && !errors.Is(err, record.ErrTruncated) {
			t.Errorf("the error names no line: %v", err)
		}
	}
	if noticed == 0 {
		t.Error("no change was noticed")
	}
}

// A record that ends anywhere either replays or says at which line it is cut.
func TestEveryPrefixReplaysOrNamesItsLine(t *testing.T) {
	lines, _, err := recordtest.World{Seed: 5, WorseErrors: 5, Looks: 14}.Run()
	if err != nil {
		t.Fatal(err)
	}
	data := recordtest.Join(lines)
	step := max(1, len(data)/150)
	whole := 0
	for n := 0; n < len(data); n += step {
		got, err := record.Replay(bytes.NewReader(data[:n]))
		switch {
		case err == nil:
			whole++
			if len(got.Differences) > 0 {
				t.Fatalf("%d bytes: %v", n, got.Differences)
			}
		case errors.Is(err, record.ErrTruncated):
		default:
			t.Fatalf("%d bytes: %v; want a truncated record", n, err)
		}
		complete := bytes.Count(data[:n], []byte("\n"))
		if err != nil && n > 0 && data[n-1] != '\n' && !strings.Contains(err.Error(), fmt.Sprintf("line %d", complete+1)) && !strings.Contains(err.Error(), "no decision") {
			t.Fatalf("%d bytes: %v does not name line %d", n, err, complete+1)
		}
	}
	for n := range lines {
		got, err := record.Replay(bytes.NewReader(recordtest.Join(lines[:n+1])))
		if err == nil {
			whole++
		} else if !errors.Is(err, record.ErrTruncated) {
			t.Fatalf("%d lines: %v", n+1, err)
		}
		if len(got.Differences) > 0 {
			t.Fatalf("%d lines: %v", n+1, got.Differences)
		}
	}
	if whole < 10 {
		t.Errorf("only %d prefixes replayed", whole)
	}
}

func TestWhatIsNoRecordIsRefusedWithItsLine(t *testing.T) {
	lines, _, err := recordtest.World{Seed: 5, Looks: 3}.Run()
	if err != nil {
		t.Fatal(err)
	}
	header, input, decision := string(lines[0]), string(lines[1]), string(lines[2])
	newer := strings.Replace(header, `"record":1`, `"record":2`, 1)
	noPhases := `{"record":1,"rollout":{"name":"a","workload":"p","traffic":"t"},"plan":{"phases":[]},"run":{"id":"a"}}`
	for name, c := range map[string]struct {
		record string
		want   []string
	}{
		"a newer form":                     {newer, []string{"line 1", "form 2", "reads form 1", "version of serin that wrote it"}},
		"no header":                        {input + "\n" + decision, []string{"line 1", "does not begin with its header"}},
		"two headers":                      {header + "\n" + header, []string{"line 2", "second header"}},
		"two observations":                 {header + "\n" + input + "\n" + input, []string{"line 3", "without its decision"}},
		"a decision without observation":   {header + "\n" + decision, []string{"line 2", "without its observation"}},
		"a plan without phases":            {noPhases, []string{"line 1", "no phases"}},
		"a line of something else":         {header + "\n{\"hello\":1}", []string{"line 2", "none of the lines of a record"}},
		"not JSON":                         {header + "\nhello\n", []string{"line 2", "not a JSON object"}},
		"an empty file":                    {"", []string{"truncated", "empty"}},
		"an observation without decision":  {header + "\n" + input, []string{"truncated", "no decision"}},
		"a field of another type":          {header + "\n" + `{"observed":{"at":7}}`, []string{"line 2"}},
		"blank lines before the bad line":  {header + "\n\n\nhello\n", []string{"line 4"}},
		"an array":                         {"[]\n", []string{"line 1"}},
		"a header whose rollout is a word": {`{"record":1,"rollout":"shop"}` + "\n", []string{"line 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := record.Replay(strings.NewReader(c.record))
			if err == nil {
				t.Fatal("was replayed")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func FuzzReplay(f *testing.F) {
	for _, w := range []recordtest.World{{Seed: 1, Looks: 3}, {Seed: 2, Looks: 5}} {
		data, _ := generate(f, w)
		f.Add(data)
	}
	f.Add([]byte(`{"record":1,"plan":{"phases":[{"weight":5,"duration":"1m"}],"analysis":{"checks":[]}}}` + "\n" + `{"observed":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := record.Replay(bytes.NewReader(data))
		again, err2 := record.Replay(bytes.NewReader(data))
		if (err == nil) != (err2 == nil) || !reflect.DeepEqual(got.Differences, again.Differences) {
			t.Errorf("two replays of the same record differ: %v, %v", err, err2)
		}
	})
}

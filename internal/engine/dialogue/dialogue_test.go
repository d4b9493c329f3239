package dialogue_test

import (
	"strings"
	"testing"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/engine/dialogue"
)

func TestMistakesSayWhereAndWhatCouldStandThere(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"an empty text", "", []string{"no scene", "-- a good release --"}},
		{"a plan alone", "phases 5% 30m", []string{"no scene"}},
		{"a scene in which nothing happens", "-- a --\n-- b --\nlook", []string{"line 1", `"a"`}},
		{"two scenes of one name", "-- a --\nlook\n-- a --\nlook", []string{"line 3", "already"}},
		{"a scene that is not closed", "-- a\nlook", []string{"line 1", "does not begin a scene"}},
		{"an unknown word", "-- a --\nlook\ndance", []string{"line 3", `"dance"`, "tick", "intent"}},
		{"a step that is not finished", "-- a --\ncanary ready", []string{"line 2", "canary ready <ready/instances>"}},
		{"a word too many", "-- a --\nlook now", []string{"line 2", `"look now"`, "look after <duration>"}},
		{"a reason without quotes", "-- a --\nintent pause by ana lunch", []string{"line 2", "intent pause by <name> <text>"}},
		{"a quotation that is not closed", "-- a --\nunsaved \"disk full", []string{"line 2", "not closed"}},
		{"a duration without unit", "-- a --\nwait 30", []string{"line 2", `"30"`, "30m or 90s", "wait <duration>"}},
		{"a negative duration", "-- a --\nlook after -1h", []string{"line 2", `"-1h"`}},
		{"a weight without its sign", "-- a --\nrouter at 30", []string{"line 2", "0 % to 100 %"}},
		{"a weight above 100", "-- a --\nrouter at 101%", []string{"line 2", `"101%"`}},
		{"more ready than there are", "-- a --\ncanary ready 3/2", []string{"line 2", "3 of 2"}},
		{"a tick of nobody", "-- a --\ntick stable many", []string{"line 2", `"many"`, "1/2"}},
		{"time that passes twice", "-- a --\nwait 1m; wait 1m", []string{"line 2", "two lines"}},
		{"weights that do not rise", "phases 25% 1m, 5% 1m", []string{"line 1", "5 % does not"}},
		{"a phase that says more", "phases 5% 1m at night", []string{"line 1", "with approval"}},
		{"a check that there is not", "checks speed", []string{"line 1", "errorRate"}},
		{"a failure that means nothing known", "test a 1 failures mean doom", []string{"line 1", `"doom"`, "rollback"}},
		{"a point that there is not", "hook a at noon", []string{"line 1", `"noon"`, "beforeCanary"}},
		{"a hook before a weight that no phase has", "hook a at beforePhase, before 7%\n-- a --\nlook", []string{"line 3", "7 %"}},
		{"a plan that changes in a run", "-- a --\nlook\nprepare 1m", []string{"line 3", "pinned"}},
		{"an answer before anything happened", "-- a --\n→ 1s wait at 0 %", []string{"line 2", "nothing has happened yet"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := dialogue.Parse(tt.text)
			if err == nil {
				t.Fatal("no mistake was found")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not contain %q", err, w)
				}
			}
		})
	}
}

func TestWhatCannotBeIsSaid(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"an answer of a hook that was not called", "hook a at beforePromote\n-- s --\nlook\nhook passed a", `line 4: hook "a" was not asked for`},
		{"a test that the plan has not", "-- s --\ntest passed smoke", `no test "smoke"`},
		{"a phase that is not reached", "-- s --\nreach phase 7", `"progressing 7" is not reached: the run is at "promoted"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := dialogue.Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = f.Rewrite(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

const example = `# A comment stays.
phases 50% 30s, 100% 30s

-- a release --
reach phase 2
  → the engine said something else once

wait 1m of healthy ticks at 50 rps
`

func TestRewritingKeepsTheTextAndRenewsTheWords(t *testing.T) {
	once := rewrite(t, example)
	for _, w := range []string{"# A comment stays.\n", "\n\nwait 1m", "  → ", "[promoted]"} {
		if !strings.Contains(once, w) {
			t.Errorf("%q is missing in:\n%s", w, once)
		}
	}
	if strings.Contains(once, "something else once") {
		t.Errorf("old words are kept:\n%s", once)
	}
	if twice := rewrite(t, once); twice != once {
		t.Errorf("rewriting twice differs:\n%s\n%s", once, twice)
	}
}

func rewrite(t *testing.T, text string) string {
	t.Helper()
	f, err := dialogue.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.Rewrite()
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestAPlayShowsEveryLook(t *testing.T) {
	f, err := dialogue.Parse(example)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []engine.Kind
	if err := f.Scenes[0].Play(func(l dialogue.Look) { kinds = append(kinds, l.Decision.Kind) }); err != nil {
		t.Fatal(err)
	}
	if len(kinds) < 10 || kinds[len(kinds)-1] != engine.Complete {
		t.Errorf("the looks decided %v", kinds)
	}
}

package view

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/rollout"
)

var (
	update   = flag.Bool("update", false, "rewrite the golden files")
	rerecord = flag.Bool("rerecord", false, "carry the recorded runs out again")
)

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was; run the test with -update and read the diff\n%s", path, got)
	}
}

var sizes = []struct{ width, height int }{{80, 23}, {120, 39}, {60, 14}}

func inSizes(m Model) string {
	var b strings.Builder
	for _, s := range sizes {
		fmt.Fprintf(&b, "%d columns, %d lines %s\n", s.width, s.height, strings.Repeat("-", s.width-22))
		for _, line := range Render(m, s.width, s.height, false) {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

func inPhase(n int) func(engine.State) bool {
	return func(s engine.State) bool { return s.Status == engine.Progressing && s.Phase == n-1 }
}

func is(status engine.Status) func(engine.State) bool {
	return func(s engine.State) bool { return s.Status == status }
}

// scenes are moments of runs, each carried there by the engine.
var scenes = map[string]func(t *testing.T) *player{
	"preparing": func(t *testing.T) *player { return newPlayer(t, nil) },
	"watching": func(t *testing.T) *player {
		return newPlayer(t, nil).until(inPhase(3)).play(time.Second)
	},
	"promoted": func(t *testing.T) *player { return newPlayer(t, nil).until(engine.State.Ended) },
	"rolling-back": func(t *testing.T) *player {
		p := newPlayer(t, nil)
		p.canary.errors *= 3
		return p.until(is(engine.RollingBack))
	},
	"rolled-back": func(t *testing.T) *player {
		p := newPlayer(t, nil)
		p.canary.median = p.stable.median * 5 / 4
		return p.until(engine.State.Ended)
	},
	"paused": func(t *testing.T) *player {
		p := newPlayer(t, nil).until(inPhase(2)).play(time.Second)
		p.intents = []rollout.Intent{{ID: "1", Kind: rollout.Pause, At: p.now, Actor: "ada", Reason: "lunch"}}
		return p.play(2 * time.Second)
	},
	"many-checks": func(t *testing.T) *player {
		p := newPlayer(t, func(s *rollout.Spec) {
			s.Analysis.Checks = rollout.DefaultChecks()
			for range 9 {
				s.Plan.Phases = append(s.Plan.Phases[:2], s.Plan.Phases[1:]...)
			}
		})
		return p.until(inPhase(2)).play(time.Second)
	},
}

// recorded is a scene's view as it was recorded once, so that what a golden file
// shows depends on this package alone.
func recorded(t *testing.T, name string) Model {
	t.Helper()
	path := filepath.Join("testdata", name+".json")
	if *rerecord {
		data, err := json.MarshalIndent(scenes[name](t).model(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m Model
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheViewOfARun(t *testing.T) {
	for name := range scenes {
		t.Run(name, func(t *testing.T) {
			m := recorded(t, name)
			golden(t, name+".golden", inSizes(m))
			golden(t, name+".log", strings.Join(Lines(Model{}, m), "\n")+"\n")
		})
	}
}

func TestColorRepeatsWhatIsSaid(t *testing.T) {
	for name := range scenes {
		m := recorded(t, name)
		for _, s := range sizes {
			colored, plain := Render(m, s.width, s.height, true), Render(m, s.width, s.height, false)
			for i := range plain {
				if strings.Contains(plain[i], "\x1b") {
					t.Errorf("%s: a line without color holds an escape: %q", name, plain[i])
				}
				if got := strings.TrimRight(withoutStyle(colored[i]), " "); got != plain[i] {
					t.Errorf("%s: with color the line says %q, without it %q", name, got, plain[i])
				}
			}
		}
	}
}

// Nothing moves because a figure changed: the view keeps its height, and what
// is in a line stays in that line.
func TestTheViewIsSteady(t *testing.T) {
	for _, size := range []struct{ width, height int }{{80, 23}, {120, 39}} {
		p := newPlayer(t, nil)
		p.canary.errors *= 3
		var first []string
		for !p.run.State.Ended() {
			p.step()
			lines := Render(p.model(), size.width, size.height, false)
			if first == nil {
				first = lines
			}
			if len(lines) != len(first) {
				t.Fatalf("at %s the view has %d lines, it had %d", p.run.State.Position(), len(lines), len(first))
			}
			for i := range lines {
				for _, label := range []string{" weight", " stable", " canary", " check", " errors ", " latency "} {
					if strings.HasPrefix(first[i], label) && !strings.HasPrefix(lines[i], label) {
						t.Fatalf("at %s line %d is %q, it was %q", p.run.State.Position(), i, lines[i], first[i])
					}
				}
			}
		}
	}
}

func TestNoSizeBreaksTheView(t *testing.T) {
	for name := range scenes {
		m := recorded(t, name)
		for width := 20; width < 200; width += 11 {
			for height := 4; height < 60; height += 5 {
				lines := Render(m, width, height, false)
				if len(lines) > height {
					t.Fatalf("%s: %d lines for a height of %d", name, len(lines), height)
				}
				for _, line := range lines {
					if n := columns(line); n > width {
						t.Fatalf("%s: a line of %d columns for a width of %d: %q", name, n, width, line)
					}
				}
				if !strings.Contains(strings.Join(lines, "\n"), "shop") {
					t.Fatalf("%s: at %dx%d the view does not say what is released", name, width, height)
				}
			}
		}
	}
}

func TestAHoldSaysWhatCanBeDone(t *testing.T) {
	m := recorded(t, "paused")
	for _, s := range sizes {
		text := strings.Join(Render(m, s.width, s.height, false), "\n")
		for _, want := range []string{"waiting for you", "ada paused the run: lunch", "serin resume shop"} {
			if !strings.Contains(text, want) {
				t.Errorf("at %dx%d the view does not say %q:\n%s", s.width, s.height, want, text)
			}
		}
	}
}

// A hold that ends in a rollback says when.
func TestATimedHoldSaysWhenItEnds(t *testing.T) {
	p := newPlayer(t, nil).until(inPhase(2))
	p.deaf = true
	p.play(10 * time.Second)
	text := strings.Join(Render(p.model(), 80, 23, false), "\n")
	for _, want := range []string{" holding ", "no data is never a pass", "rolls back in 4:5", "serin rollback shop"} {
		if !strings.Contains(text, want) {
			t.Errorf("the view does not say %q:\n%s", want, text)
		}
	}
}

// What a program or a person wrote cannot reach the terminal as a command.
func TestNothingFromOutsideControlsTheTerminal(t *testing.T) {
	const evil = "x\x1b[2J\x1b]0;title\x07\r\nsecond\u202eline\u009b31m"
	m := recorded(t, "paused")
	m.Rollout, m.StableVersion, m.CanaryVersion = evil, evil, evil
	m.Hold.Message, m.Hold.Do = evil, []string{evil}
	m.Checks[0].Name, m.Checks[0].Message = evil, evil
	m.Decisions[0].Text = evil
	var lines []string
	for _, s := range sizes {
		lines = append(lines, Render(m, s.width, s.height, false)...)
	}
	for _, line := range append(lines, Lines(Model{}, m)...) {
		if strings.ContainsAny(line, "\x1b\x07\r\n\u009b\u202e") {
			t.Errorf("a control character reached the terminal: %q", line)
		}
	}
}

func TestWideTextKeepsItsColumns(t *testing.T) {
	m := recorded(t, "watching")
	m.CanaryVersion = "版本二版本二版本二版本二版本二"
	for _, line := range Render(m, 80, 23, false) {
		if n := columns(line); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
		if strings.HasPrefix(line, " canary") && columns(line) != 79 {
			t.Errorf("the figures beside a wide version moved: %q ends at %d", line, columns(line))
		}
	}
}

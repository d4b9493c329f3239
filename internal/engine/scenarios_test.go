package engine_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serin.dev/serin/internal/engine/dialogue"
)

var update = flag.Bool("update", false, "write what the engine says into the scenarios")

const scenarios = "../../scenarios"

// The dialogues in scenarios/ are what the engine says. Read the difference
// after -update: it is the change of behaviour.
func TestTheEngineSaysWhatTheScenariosSay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(scenarios, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in %s: %v", scenarios, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := dialogue.Parse(string(text))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			again, err := parsed.Rewrite()
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(again), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			sameLines(t, file, string(text), again)
		})
	}
}

// sameLines fails at the first line that differs.
func sameLines(t *testing.T, file, written, said string) {
	t.Helper()
	want, got := strings.Split(written, "\n"), strings.Split(said, "\n")
	for i := range max(len(want), len(got)) {
		w, g := "(nothing)", "(nothing)"
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if w != g {
			t.Fatalf("%s:%d:\nwritten  %s\nsaid now %s\n(go test ./internal/engine -update writes it anew)", file, i+1, w, g)
		}
	}
}

// The example in the README says what it would say.
func TestTheExampleInTheReadmeIsTrue(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(scenarios, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var scene, said []string
	for _, line := range strings.Split(string(text), "\n") {
		example, ok := strings.CutPrefix(line, "    ")
		switch {
		case !ok || strings.HasPrefix(example, "go test"):
		case strings.HasPrefix(example, "→") || strings.HasPrefix(example, "·"):
			said = append(said, "  "+example)
		default:
			scene = append(scene, example)
		}
	}
	parsed, err := dialogue.Parse(strings.Join(scene, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	played, err := parsed.Rewrite()
	if err != nil {
		t.Fatal(err)
	}
	if len(said) == 0 || !strings.HasSuffix(played, strings.Join(said, "\n")+"\n") {
		t.Errorf("README.md says\n%s\nand the engine ends with\n%s", strings.Join(said, "\n"), played)
	}
}

package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tick that the guide shows is answered, with every key that the guide
// explains.
func TestTheGuidesTickIsAnsweredAsTheGuideSays(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/judge.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```json\n(.*?)\n```").FindAllSubmatch(guide, -1)
	if len(shown) != 2 {
		t.Fatalf("the guide shows %d lines of JSON, want a tick and an answer", len(shown))
	}
	plan := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(plan, []byte("apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {name: shop}\nspec: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "serin"), "judge", "-f", plan)
	cmd.Stdin = bytes.NewReader(append(shown[0][1], '\n'))
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d (%v), want 3: the input ended undecided", code, err)
	}
	got, want := keys(t, out), keys(t, shown[1][1])
	for key := range want {
		// A figure that is not known yet is left out.
		if key != "ratio" && !got[key] {
			t.Errorf("the answer %s lacks %q", out, key)
		}
	}
}

// keys returns every key of a JSON value, at any depth.
func keys(t *testing.T, data []byte) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				all[k] = true
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
	return all
}

// The file of the page on business figures is one that lint has nothing to say
// about, and its endpoint's answer has the figures that the file's checks name.
func TestTheFileWithBusinessFiguresIsSound(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/figures.md")
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(guide)
	answer := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(guide)
	if file == nil || answer == nil {
		t.Fatal("the guide shows no file, or no answer")
	}
	for _, key := range []string{"versions", "v1", "v2", "conversion", "complaints"} {
		if !keys(t, answer[1])[key] {
			t.Errorf("the answer lacks %q", key)
		}
	}
	path := filepath.Join(t.TempDir(), "shop.yaml")
	lint := func(text string) (string, error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(filepath.Join(bin, "serin"), "lint", "-f", path).CombinedOutput()
		return string(out), err
	}
	if out, err := lint(string(file[1])); err != nil || strings.Contains(out, "never judged") {
		t.Errorf("%v: %s", err, out)
	}
	// Without the endpoint, lint says what to configure.
	without := regexp.MustCompile(`(?m)^    business:\n.*\n`).ReplaceAllString(string(file[1]), "")
	if out, _ := lint(without); !strings.Contains(out, `nothing measures "conversion"`) || !strings.Contains(out, "business: {http:") {
		t.Errorf("lint without a source says %s", out)
	}
}

// Every command of the guide to simulating is carried out, on the files that the
// guide shows.
func TestTheGuideToSimulatingWorks(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/simulate.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(guide, -1)
	for i, name := range []string{"shop.yaml", "ours.yaml"} {
		if len(files) != 2 {
			t.Fatalf("the guide shows %d files, want two", len(files))
		}
		if err := os.WriteFile(filepath.Join(dir, name), files[i][1], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	carriedOut := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(guide, -1) {
		for line := range strings.Lines(string(block[1])) {
			argv := strings.Fields(line)
			cmd := exec.Command(filepath.Join(bin, argv[0]), argv[1:]...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil || len(out) == 0 {
				t.Errorf("%s%v\n%s", line, err, out)
			}
			carriedOut++
		}
	}
	if carriedOut < 5 {
		t.Errorf("%d commands were carried out", carriedOut)
	}
}

// The file of the page on exceptions is one that lint has no error in.
func TestTheFileWithCriticalExceptionsIsSound(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/exceptions.md")
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(guide)
	if file == nil {
		t.Fatal("the guide shows no file")
	}
	path := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(path, file[1], 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(bin, "serin"), "lint", "-f", path).CombinedOutput(); err != nil || strings.Contains(string(out), "critical") {
		t.Errorf("%v: %s", err, out)
	}
}

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

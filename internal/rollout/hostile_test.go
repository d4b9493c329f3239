package rollout_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/rollout/rollouttest"
)

// parseWithin parses and fails when that takes longer than anybody would wait
// for a file: a hang, or a cost that grows with the square of the size.
func parseWithin(t testing.TB, data []byte) ([]*rollout.Rollout, error) {
	t.Helper()
	start := time.Now()
	rollouts, _, err := rollout.ParseAll("f.yaml", data, rollouttest.Catalog())
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("%d bytes took %s", len(data), took)
	}
	var fe *rollout.FileError
	if err != nil && (!errors.As(err, &fe) || len(fe.Problems) == 0) {
		t.Fatalf("not a FileError: %v", err)
	}
	if fe != nil {
		for _, p := range fe.Problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" || p.Warning {
				t.Errorf("problem %+v", p)
			}
		}
	}
	return rollouts, err
}

func TestHostileFilesCostLittle(t *testing.T) {
	const size = 1 << 20
	laughs := strings.Builder{}
	laughs.WriteString("a0: &a0 {k: v}\n")
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	for name, data := range map[string]string{
		"too large":              strings.Repeat("#", size+1),
		"brackets":               strings.Repeat("[", size),
		"braces":                 strings.Repeat("{", size),
		"dashes":                 strings.Repeat("- ", size/2),
		"question marks":         strings.Repeat("? ", size/2),
		"colons":                 strings.Repeat(": ", size/2),
		"quotes":                 strings.Repeat(`"`, size),
		"one long line":          strings.Repeat("a", size),
		"many documents":         strings.Repeat("---\na\n", size/6),
		"many comments":          strings.Repeat("# c\n", size/4),
		"many keys":              strings.Repeat("a: 1\n", size/16),
		"distinct keys":          numbered("k%d: 1\n", 30_000),
		"many anchors":           numbered("k%d: &a%[1]d x\n", size/20),
		"aliases":                "a: &a x\nb: [" + strings.Repeat("*a,", size/4) + "]\n",
		"doubling aliases":       laughs.String(),
		"JSON nested":            strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
		"JSON list":              `{"a":[` + strings.Repeat("1,", size/8) + "1]}",
		"tags":                   strings.Repeat("!!str ", size/6),
		"long unknown field":     `{"apiVersion":"serin.dev/v1alpha1","kind":"CanaryRollout","metadata":{"name":"a"},"` + strings.Repeat("x", size/2) + `":1}`,
		"many unknown fields":    "apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\n" + numbered("unknown%d: 1\n", 20_000),
		"many broken tests":      "apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {name: a}\nspec:\n  tests:\n" + strings.Repeat("  - {timeout: -1s}\n", 8_000),
		"indentation in the end": strings.Repeat("a:\n", 1) + numbered("  k%d: 1\n", 8_000) + " b: 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			rollouts, err := parseWithin(t, []byte(data))
			if err == nil {
				t.Fatalf("accepted: %d rollouts", len(rollouts))
			}
			if n := len(err.Error()); n > 100_000 {
				t.Errorf("the error has %d bytes", n)
			}
		})
	}
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		for _, data := range corpus(f, folder) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rollouts, err := parseWithin(t, data)
		if err != nil {
			return
		}
		for _, r := range rollouts {
			again, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			back, err := rollout.Parse("again.json", again, rollouttest.Catalog())
			if err != nil || !reflect.DeepEqual(back, r) {
				t.Fatalf("does not read the same again: %v\n%s", err, again)
			}
		}
	})
}

func TestAValueInsideAnAdapterIsNeverQuoted(t *testing.T) {
	const secret = "hunter2-31337"
	head := "apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {name: a}\nspec:\n  workload: {endpoints: {urls: [x]}}\n  traffic: {istio: {}}\n  tests:\n  - {name: t, http: "
	for _, config := range []string{
		"{expect: " + secret + "}", "{expect: [{status: " + secret + "}]}", "{token: [" + secret + "]}",
		"{token: {a: " + secret + "}}", secret, "{expect: [" + secret + "]}", "{expect: [{status: 200, equals: 0x" + secret + "}], path: [" + secret + "]}",
	} {
		_, err := rollout.Parse("a.yaml", []byte(head+config+"}\n"), rollouttest.Catalog())
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", config, err)
		}
	}
}

func TestWithoutACatalogAdaptersAreTakenAsTheyAre(t *testing.T) {
	data := []byte("apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {name: a}\nspec: {workload: {anything: {x: [1, 0.5, null]}}, traffic: {other: }}\n")
	r, err := rollout.Parse("a.yaml", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := r.Spec.Workload; w.Kind != "anything" || string(w.Config) != `{"x":[1,0.5,null]}` {
		t.Errorf("workload %s %s", w.Kind, w.Config)
	}
	// Who only judges has neither a workload nor traffic of Serin's.
	judged := []byte("apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {name: a}\nspec: {analysis: {alpha: 0.05}}\n")
	if r, err := rollout.Parse("a.yaml", judged, nil); err != nil || r.Spec.Analysis.Alpha != 0.05 || len(r.Spec.Plan.Phases) != 5 {
		t.Errorf("a file to judge by: %+v, %v", r, err)
	}
	if _, err := rollout.Parse("a.yaml", judged, rollouttest.Catalog()); err == nil {
		t.Error("a rollout without workload and traffic is accepted where it is to be run")
	}
}

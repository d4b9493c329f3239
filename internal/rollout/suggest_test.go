package rollout_test

import (
	"errors"
	"strings"
	"testing"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/rollout/rollouttest"
)

func TestASlipOfThePenIsRecognised(t *testing.T) {
	const head = "apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {name: a}\nspec:\n  workload: {endpoints: {urls: [x]}}\n  traffic: {istio: {}}\n"
	for written, meant := range map[string]string{
		"palns": "plan", "paln": "plan", "Plan": "plan", "analyses": "analysis", "test": "tests", "hook": "hooks",
		"notfiy": "notify", "x": "", "deployment": "", "archives": "archive", "traffci": "traffic",
	} {
		_, err := rollout.Parse("a.yaml", []byte(head+"  "+written+": {}\n"), rollouttest.Catalog())
		var fe *rollout.FileError
		if !errors.As(err, &fe) {
			t.Fatalf("%s: %v", written, err)
		}
		mend := fe.Problems[0].Mend
		got := ""
		if rest, ok := strings.CutPrefix(mend, "did you mean "); ok {
			got, _, _ = strings.Cut(rest, "?")
		}
		if got != meant {
			t.Errorf("%s: took it for %q, want %q", written, got, meant)
		}
		if !strings.Contains(mend, "known: workload, traffic, plan, analysis, tests, hooks, notify, archive") {
			t.Errorf("%s: the known fields are not listed: %s", written, mend)
		}
	}
}

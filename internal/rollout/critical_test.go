package rollout_test

import (
	"strings"
	"testing"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/rollout/rollouttest"
)

func TestAPatternMatchesClassesAsItReads(t *testing.T) {
	for _, c := range []struct {
		pattern, class string
		want           bool
	}{
		{"PaymentLost", "PaymentLost@pay", false},
		{"PaymentLost*", "PaymentLost@pay", true},
		{"paymentlost@PAY", "PaymentLost@pay", true},
		{"*@pay", "PaymentLost@pay", true},
		{"*Lost*y", "PaymentLost@pay", true},
		{"*Lost*Lost*", "PaymentLost@pay", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"*", "anything", true},
		{strings.Repeat("*a", 90), strings.Repeat("b", 5000), false},
	} {
		if got := rollout.MatchClass(c.pattern, c.class); got != c.want {
			t.Errorf("%q and %q: %v, want %v", c.pattern, c.class, got, c.want)
		}
	}
}

func TestCriticalPatternsAreChecked(t *testing.T) {
	for name, c := range map[string]struct{ check, want string }{
		"good":                  {"{type: exceptions, critical: ['PaymentLost*']}", ""},
		"of another check":      {"{type: errorRate, critical: ['PaymentLost*']}", "checks[0].critical: a check of type errorRate knows no critical exceptions"},
		"everything":            {"{type: exceptions, critical: [A, '*']}", `checks[0].critical[1]: "*" names no class`},
		"a sentence":            {"{type: exceptions, critical: ['payment lost']}", "checks[0].critical[0]"},
		"much too long":         {"{type: exceptions, critical: [" + strings.Repeat("a", 201) + "]}", "201 bytes"},
		"no list":               {"{type: exceptions, critical: 3}", "critical"},
		"a hundred and one":     {"{type: exceptions, critical: [" + strings.Repeat("A*, ", 100) + "B]}", "has 101 patterns"},
		"two are kept in order": {"{type: exceptions, critical: [A, B]}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := `apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop}
spec:
  workload: {endpoints: {urls: [http://127.0.0.1:1]}}
  traffic: {proxy: {listen: 127.0.0.1:8080}}
  analysis: {checks: [` + c.check + `]}
`
			_, err := rollout.Parse("shop.yaml", []byte(file), rollouttest.Catalog())
			text := ""
			if err != nil {
				text = err.Error()
			}
			if c.want == "" && text != "" || !strings.Contains(text, c.want) {
				t.Errorf("problems are %q, want %q", text, c.want)
			}
		})
	}
}

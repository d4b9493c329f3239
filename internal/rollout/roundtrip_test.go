package rollout_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/rollout/rollouttest"
)

// drawRollout draws a rollout that could have been read from a file.
func drawRollout(t *rapid.T) *rollout.Rollout {
	name := rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?`)
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "1.10", "yes", "null", "~", "0x1f", "2026-01-01", "a: b", "# c", "*d", "<<", "🎉", "\u007f", "two\nlines"}), rapid.String())
	names := drawNames(t)
	r := &rollout.Rollout{
		APIVersion: rollout.APIVersion,
		Kind:       rollout.Kind,
		Metadata: rollout.Metadata{
			Name:        name.Draw(t, "name"),
			Namespace:   rapid.SampledFrom([]string{"", "web"}).Draw(t, "namespace"),
			Annotations: rapid.SampledFrom([]map[string]string{nil, {text.Draw(t, "key"): text.Draw(t, "value")}}).Draw(t, "annotations"),
		},
		Spec: rollout.Spec{
			Workload: adapter("endpoints", map[string]any{"urls": []string{text.Draw(t, "url")}}),
			Traffic:  adapter("istio", struct{}{}),
			Plan:     drawPlan(t),
		},
	}
	r.Spec.Analysis = drawAnalysis(t, names)
	http := adapter("http", map[string]any{"path": "/" + name.Draw(t, "path")})
	for range rapid.IntRange(0, 2).Draw(t, "tests") {
		interval := drawDuration(t, 100*time.Millisecond, time.Hour)
		r.Spec.Tests = append(r.Spec.Tests, rollout.Test{
			Name: names(), Interval: interval, Timeout: drawDuration(t, 1, time.Duration(interval)), Failures: rapid.IntRange(1, 100).Draw(t, "failures"),
			OnFailure: rapid.SampledFrom([]rollout.OnFailure{rollout.FailRollback, rollout.FailHold, rollout.FailIgnore}).Draw(t, "onFailure"), Adapter: http,
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "hooks") {
		h := rollout.Hook{Name: names(), At: rapid.SampledFrom(rollout.Points()).Draw(t, "at"), Timeout: drawDuration(t, 1, time.Hour), Retries: rapid.IntRange(0, 10).Draw(t, "retries"), OnFailure: rollout.FailIgnore, Adapter: http}
		if h.At == rollout.BeforePhase {
			h.Weights = []int{r.Spec.Plan.Phases[0].Weight}
			h.Timeout, h.Adapter = 0, adapter(rollout.ApprovalKind, struct{}{})
		}
		r.Spec.Hooks = append(r.Spec.Hooks, h)
	}
	for range rapid.IntRange(0, 2).Draw(t, "notify") {
		r.Spec.Notify = append(r.Spec.Notify, rollout.Notifier{Name: names(), Events: rapid.SampledFrom([][]rollout.Event{nil, rollout.Events()}).Draw(t, "events"), Adapter: adapter("shoutrrr", map[string]any{"url": map[string]string{"env": text.Draw(t, "env")}})})
	}
	return r
}

func drawPlan(t *rapid.T) rollout.Plan {
	p := rollout.Plan{Prepare: drawDuration(t, 1, time.Hour), HoldTimeout: drawDuration(t, 1, time.Hour), Drain: drawDuration(t, 0, time.Hour)}
	for w := rapid.IntRange(1, 40).Draw(t, "weight"); w <= rollout.Full; w += rapid.IntRange(1, 40).Draw(t, "step") {
		p.Phases = append(p.Phases, rollout.Phase{Weight: w, Duration: drawDuration(t, time.Second, time.Hour), Approval: rapid.Bool().Draw(t, "approval")})
	}
	if rapid.Bool().Draw(t, "early") {
		p.Early = &rollout.Early{After: drawDuration(t, 1, time.Hour)}
	}
	return p
}

func drawAnalysis(t *rapid.T, names func() string) rollout.Analysis {
	a := rollout.Analysis{Interval: drawDuration(t, 100*time.Millisecond, time.Second), Alpha: rapid.Float64Range(1e-9, 0.5).Draw(t, "alpha")}
	if rapid.Bool().Draw(t, "metrics") {
		a.Metrics = adapter("prometheus", map[string]any{"url": "http://127.0.0.1:9090"})
	}
	for range rapid.IntRange(1, 4).Draw(t, "checks") {
		c := rollout.Check{Name: names(), Type: rapid.SampledFrom(rollout.CheckTypes()).Draw(t, "type"), Strict: rapid.Bool().Draw(t, "strict"), ExactOnly: rapid.Bool().Draw(t, "exactOnly")}
		percent := rollout.Percent(rapid.Float64Range(0.001, 0.999).Draw(t, "percent"))
		if back := fmt.Sprintf("%q", percent.String()); json.Unmarshal([]byte(back), &percent) != nil {
			t.Fatalf("%s does not read back", back)
		}
		switch m := rollout.DefaultMargin(c.Type); {
		case m.Decrease > 0:
			c.Rollback.Decrease = percent
		case m.AsRatio() > 0 && rapid.Bool().Draw(t, "ratio"):
			c.Rollback.Ratio = rapid.Float64Range(1.001, 100).Draw(t, "margin")
		case m.AsRatio() > 0:
			c.Rollback.Increase = percent
		}
		a.Checks = append(a.Checks, c)
	}
	return a
}

func drawDuration(t *rapid.T, least, most time.Duration) rollout.Duration {
	return rollout.Duration(rapid.Int64Range(int64(least), int64(most)).Draw(t, "duration"))
}

// drawNames returns a source of distinct names.
func drawNames(t *rapid.T) func() string {
	n := 0
	return func() string {
		n++
		return fmt.Sprintf("%s%d", rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,20}`).Draw(t, "label"), n)
	}
}

// adapter returns an adapter as Parse leaves it.
func adapter(kind string, config any) rollout.Adapter {
	data, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return rollout.Adapter{Kind: kind, Config: data}
}

func TestARolloutSurvivesEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRollout(t)
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var decoded rollout.Rollout
		if err := json.Unmarshal(data, &decoded); err != nil || !reflect.DeepEqual(&decoded, r) {
			t.Fatalf("decoded from JSON: %v\n%s\ngot  %+v\nwant %+v", err, data, decoded, *r)
		}
		parsed, err := rollout.Parse("r.json", data, rollouttest.Catalog())
		if err != nil || !reflect.DeepEqual(parsed, r) {
			t.Fatalf("parsed from JSON: %v\n%s\ngot  %+v\nwant %+v", err, data, parsed, r)
		}
		var plain any
		if err := json.Unmarshal(data, &plain); err != nil {
			t.Fatal(err)
		}
		asYAML, err := yaml.Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		if !encodedFaithfully(t, plain, asYAML) {
			return
		}
		parsed, err = rollout.Parse("r.yaml", asYAML, rollouttest.Catalog())
		if err != nil || !reflect.DeepEqual(parsed, r) {
			t.Fatalf("parsed from YAML: %v\n%s\ngot  %+v\nwant %+v", err, asYAML, parsed, r)
		}
	})
}

// encodedFaithfully reports whether the YAML encoder wrote what it was given:
// it breaks texts that begin with a newline, and then nobody can read them.
func encodedFaithfully(t *rapid.T, value any, encoded []byte) bool {
	var back any
	if err := yaml.Unmarshal(encoded, &back); err != nil {
		return false
	}
	want, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(back)
	return err == nil && string(got) == string(want)
}

func TestWhatWasReadReadsTheSameAgain(t *testing.T) {
	for file, data := range corpus(t, "good") {
		rollouts, _, err := rollout.ParseAll(file, data, rollouttest.Catalog())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rollouts {
			again, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			back, err := rollout.Parse(file, again, rollouttest.Catalog())
			if err != nil || !reflect.DeepEqual(back, r) {
				t.Errorf("%s: %v\n%s", file, err, again)
			}
		}
	}
}

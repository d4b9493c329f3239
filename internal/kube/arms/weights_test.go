package arms

import (
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func pair(stable, canary int64) Pair {
	return Pair{Stable: Weight{Path: "/s", Value: stable, Written: true}, Canary: Weight{Path: "/c", Value: canary, Written: true}}
}

func TestWeightsAreReadAsPercents(t *testing.T) {
	for _, c := range []struct {
		stable, canary int64
		want           int
	}{
		{100, 0, 0}, {95, 5, 5}, {0, 100, 100}, {1, 1, 50}, {19, 1, 5}, {1, 0, 0},
		{2, 1, 34}, // never less than it is
		{0, 0, 0},
	} {
		if got := pair(c.stable, c.canary).percent(); got != c.want {
			t.Errorf("%d to %d is read as %d %%, want %d", c.stable, c.canary, got, c.want)
		}
	}
}

func TestOnlyWhatDiffersIsWritten(t *testing.T) {
	unwritten := pair(100, 0)
	unwritten.Canary.Written = false
	for _, c := range []struct {
		name   string
		pair   Pair
		weight int
		want   string
	}{
		{"nothing differs", pair(95, 5), 5, `null`},
		{"the same share in other numbers", pair(19, 1), 5, `null`},
		{"a zero that is left to the default", unwritten, 0, `null`},
		{"both", pair(95, 5), 10, `[{"op":"add","path":"/s","value":90},{"op":"add","path":"/c","value":10}]`},
		{"back", pair(50, 50), 0, `[{"op":"add","path":"/s","value":100},{"op":"add","path":"/c","value":0}]`},
		{"no weight at all", pair(0, 0), 0, `[{"op":"add","path":"/s","value":100}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := json.Marshal(c.pair.ops(c.weight, 0))
			if err != nil || string(got) != c.want {
				t.Errorf("writes %s (%v), want %s", got, err, c.want)
			}
		})
	}
}

func TestABaselinesWeightIsWrittenWithTheOthers(t *testing.T) {
	with := func(stable, canary, baseline int64) Pair {
		p := pair(stable, canary)
		p.Baseline = &Weight{Path: "/b", Value: baseline, Written: true}
		return p
	}
	for _, c := range []struct {
		name             string
		pair             Pair
		weight, baseline int
		want             string
	}{
		{"nothing differs", with(90, 5, 5), 5, 5, `null`},
		{"both begin", with(100, 0, 0), 5, 5, `[{"op":"add","path":"/s","value":90},{"op":"add","path":"/c","value":5},{"op":"add","path":"/b","value":5}]`},
		{"both go back", with(90, 5, 5), 0, 0, `[{"op":"add","path":"/s","value":100},{"op":"add","path":"/c","value":0},{"op":"add","path":"/b","value":0}]`},
		{"the baseline alone goes", with(90, 5, 5), 5, 0, `[{"op":"add","path":"/s","value":95},{"op":"add","path":"/b","value":0}]`},
		{"a rule without one gives its part to stable", pair(100, 0), 5, 5, `[{"op":"add","path":"/s","value":95},{"op":"add","path":"/c","value":5}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := json.Marshal(c.pair.ops(c.weight, c.baseline))
			if err != nil || string(got) != c.want {
				t.Errorf("writes %s (%v), want %s", got, err, c.want)
			}
		})
	}
	if p := with(90, 5, 5); p.percent() != 5 {
		t.Errorf("90, 5 and 5 are read as %d %%", p.percent())
	}
}

func TestTheWriterIsWhoOwnsTheField(t *testing.T) {
	entry := func(manager string, minute int, fields string) metav1.ManagedFieldsEntry {
		f := &metav1.FieldsV1{}
		if err := json.Unmarshal([]byte(fields), f); err != nil {
			t.Fatal(err)
		}
		return metav1.ManagedFieldsEntry{Manager: manager, Time: new(metav1.Date(2026, 5, 4, 3, minute, 0, 0, time.UTC)), FieldsV1: f}
	}
	const http, tcp = `{"f:spec":{"f:http":{}}}`, `{"f:spec":{"f:tcp":{}}}`
	status := entry("istiod", 9, http)
	status.Subresource = "status"
	for _, c := range []struct {
		name    string
		managed []metav1.ManagedFieldsEntry
		want    string
	}{
		{"nobody", nil, ""},
		{"another field", []metav1.ManagedFieldsEntry{entry("helm", 1, tcp)}, ""},
		{"one", []metav1.ManagedFieldsEntry{entry("helm", 1, http)}, "helm at 2026-05-04T03:01:00Z"},
		{"the latest", []metav1.ManagedFieldsEntry{entry("kubectl-edit", 5, http), entry("helm", 1, http)}, "kubectl-edit at 2026-05-04T03:05:00Z"},
		{"Serin with the same value", []metav1.ManagedFieldsEntry{entry("argocd", 5, http), entry("serin", 1, http)}, ""},
		{"a status", []metav1.ManagedFieldsEntry{status}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Writer(c.managed, "spec", "http"); got != c.want {
				t.Errorf("the writer is %q, want %q", got, c.want)
			}
		})
	}
}

package istio

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"serin.dev/serin/internal/kube/arms"
)

// A route's third destination is the baseline and nothing else.
func TestARouteMayNameABaseline(t *testing.T) {
	to := func(host string, weight int64) any {
		return map[string]any{"destination": map[string]any{"host": host}, "weight": weight}
	}
	find := routes{
		namespace: "web", compares: true,
		stable: destination{service: "shop-stable", namespace: "web"}, canary: destination{service: "shop-canary", namespace: "web"},
		baseline: destination{service: "shop-baseline", namespace: "web"},
	}
	for _, c := range []struct {
		name     string
		to       []any
		refused  bool
		baseline int64 // -1: none
	}{
		{"two", []any{to("shop-stable", 100), to("shop-canary", 0)}, false, -1},
		{"three", []any{to("shop-stable", 90), to("shop-canary", 5), to("shop-baseline.web.svc.cluster.local", 5)}, false, 5},
		{"one twice", []any{to("shop-stable", 90), to("shop-canary", 5), to("shop-baseline", 3), to("shop-baseline", 2)}, true, 0},
		{"another namespace's", []any{to("shop-stable", 90), to("shop-canary", 5), to("shop-baseline.other.svc.cluster.local", 5)}, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			service := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"http": []any{map[string]any{"route": c.to}}}}}
			pairs, err := find.pairs(service)
			if (err != nil) != c.refused || err != nil && !arms.Refused(err) {
				t.Fatalf("pairs: %v, want a refusal: %v", err, c.refused)
			}
			if c.refused {
				return
			}
			got := int64(-1)
			if b := pairs[0].Baseline; b != nil {
				got = b.Value
			}
			if len(pairs) != 1 || got != c.baseline {
				t.Errorf("the pairs are %+v, the baseline's weight %d, want %d", pairs, got, c.baseline)
			}
		})
	}
}

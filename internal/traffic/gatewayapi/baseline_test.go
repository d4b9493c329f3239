package gatewayapi

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"serin.dev/serin/internal/kube/arms"
)

// A rule's third backend is the baseline and nothing else.
func TestARuleMayNameABaseline(t *testing.T) {
	backend := func(name string, weight int64) any {
		return map[string]any{"name": name, "port": int64(80), "weight": weight}
	}
	find := rules{namespace: "web", services: arms.Services{Namespace: "web", Stable: "shop-stable", Canary: "shop-canary", Baseline: "shop-baseline", Compares: true}}
	for _, c := range []struct {
		name     string
		backends []any
		refused  bool
		baseline int64 // -1: none
	}{
		{"two", []any{backend("shop-stable", 100), backend("shop-canary", 0)}, false, -1},
		{"three", []any{backend("shop-stable", 90), backend("shop-canary", 5), backend("shop-baseline", 5)}, false, 5},
		{"one twice", []any{backend("shop-stable", 90), backend("shop-canary", 5), backend("shop-baseline", 5), backend("shop-baseline", 5)}, true, 0},
		{"somebody else", []any{backend("shop-stable", 90), backend("shop-canary", 5), backend("shop-old", 5)}, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			route := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"rules": []any{map[string]any{"backendRefs": c.backends}}}}}
			pairs, err := find.pairs(route)
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

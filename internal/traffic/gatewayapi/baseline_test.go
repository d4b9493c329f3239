package gatewayapi

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/traffic/traffictest"
	"serin.dev/serin/internal/traffic/weighted"
)

func TestARuleMayNameABaseline(t *testing.T) {
	find := rules{namespace: "web", services: arms.Services{
		Namespace: "web", Stable: traffictest.StableService, Canary: traffictest.CanaryService, Baseline: traffictest.BaselineService, Compares: true,
	}}
	traffictest.NamesABaseline(t, func(to []traffictest.Destination) (int64, error) {
		var backends []any
		for _, d := range to {
			backend := map[string]any{"name": d.Service, "port": int64(80), "weight": d.Weight}
			if d.Namespace != "" {
				backend["namespace"] = d.Namespace
			}
			backends = append(backends, backend)
		}
		pairs, err := find.pairs(&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"rules": []any{map[string]any{"backendRefs": backends}}}}})
		if err != nil || pairs[0].Baseline == nil {
			return -1, weighted.Refused(err)
		}
		return pairs[0].Baseline.Value, nil
	})
}

package istio

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"serin.dev/serin/internal/traffic/traffictest"
	"serin.dev/serin/internal/traffic/weighted"
)

func TestARouteMayNameABaseline(t *testing.T) {
	find := byHosts()
	find.baseline, find.compares = destination{service: traffictest.BaselineService, namespace: "web"}, true
	for _, field := range fields {
		t.Run(field, func(t *testing.T) {
			traffictest.NamesABaseline(t, func(to []traffictest.Destination) (int64, error) {
				var list []any
				for _, d := range to {
					host := d.Service
					if d.Namespace != "" {
						host += "." + d.Namespace + ".svc.cluster.local"
					}
					list = append(list, map[string]any{"destination": map[string]any{"host": host}, "weight": d.Weight})
				}
				pairs, err := find.pairs(&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{field: []any{map[string]any{"route": list}}}}})
				if err != nil || pairs[0].Baseline == nil {
					return -1, weighted.Refused(err)
				}
				return pairs[0].Baseline.Value, nil
			})
		})
	}
}

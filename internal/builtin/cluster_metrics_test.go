package builtin_test

import (
	"strings"
	"testing"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

// Both subsets of a DestinationRule are of one Service, so counters by Service
// would say nothing of the canary: a run would wait for figures that never come.
func TestSubsetsAreNotMeasuredByService(t *testing.T) {
	const subsets, hosts = "{virtualService: shop, destinationRule: shop}", "{virtualService: shop}"
	own := func(preset string) string {
		return `, analysis: {metrics: {prometheus: {url: "http://p:9090", preset: ` + preset + `}}}`
	}
	for _, c := range []struct {
		name, route, analysis, preset string // the last is the controller's
		refused                       bool
	}{
		{"hosts, nothing said", hosts, "", "", false},
		{"subsets, nothing said", subsets, "", "", false},
		{"subsets, the controller's preset", subsets, "", "istio", false},
		{"subsets by Service", subsets, own("istio"), "", true},
		{"subsets by pods", subsets, own("istioDestination"), "", false},
		{"subsets by the application's own", subsets, own("otel"), "", false},
		{"hosts by Service", hosts, own("istio"), "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "{apiVersion: serin.dev/v1alpha1, kind: CanaryRollout, metadata: {name: shop, namespace: web}, spec: {workload: {deployment: {name: shop}}, traffic: {istio: " +
				c.route + "}" + c.analysis + "}}"
			all, _, err := rollout.ParseAll("shop.yaml", []byte(text), builtin.ClusterCatalog())
			if err != nil {
				t.Fatal(err)
			}
			env := builtin.ClusterEnv{Env: kube.Env{Namespace: "web", Rollout: "shop"}, Prometheus: "http://p:9090", Preset: c.preset}
			err = builtin.CheckMetrics(*all[0], env)
			if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "istioDestination") {
				t.Errorf("before a run: %v, want a refusal that says what to write: %v", err, c.refused)
			}
		})
	}
}

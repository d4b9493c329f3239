package builtin_test

import (
	"strings"
	"testing"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/rollout"
)

func TestABaselineIsRefusedWhereItCannotBeToldApart(t *testing.T) {
	const istio = "{istio: {virtualService: shop}}"
	own := func(label string) string {
		return `analysis: {metrics: {prometheus: {url: "http://p:9090", queries: {requests: 'http_requests_total{` + label + `}', errors: 'http_errors_total{` + label + `}', latency: {histogram: 'http_seconds{` + label + `}'}}}}}`
	}
	for _, c := range []struct {
		name, traffic, analysis, field string
		problems                       int
	}{
		{"a gateway", "{gatewayAPI: {httpRoute: shop}}", "", "", 0},
		{"a VirtualService", istio, "", "", 0},
		{"a preset of the file", istio, `analysis: {metrics: {prometheus: {url: "http://p:9090", preset: otel}}}`, "", 0},
		{"a plain Service", "{service: {}}", "", "spec.plan.baseline", 1},
		{"subsets", "{istio: {virtualService: shop, destinationRule: shop}}", "", "spec.plan.baseline", 1},
		{"own figures by version", istio, own(`version="$(version)"`), "spec.analysis.metrics.prometheus.queries.requests", 3},
		{"own figures by pod", istio, own(`version="$(version)",pod=~"$(pods)"`), "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "{apiVersion: serin.dev/v1alpha1, kind: CanaryRollout, metadata: {name: shop}, spec: {workload: {deployment: {name: shop}}, traffic: " +
				c.traffic + ", plan: {baseline: true}, " + c.analysis + "}}"
			all, _, err := rollout.ParseAll("shop.yaml", []byte(text), builtin.ClusterCatalog())
			if err != nil {
				t.Fatal(err)
			}
			problems := builtin.Unmakeable(*all[0], 0)
			if len(problems) != c.problems || len(problems) > 0 && problems[0].Field != c.field {
				t.Errorf("the problems are %+v, want %d about %s", problems, c.problems, c.field)
			}
			if err := builtin.CheckBaseline(*all[0]); (err != nil) != (c.problems > 0) || err != nil && !strings.Contains(err.Error(), "; ") {
				t.Errorf("before a run: %v", err)
			}
		})
	}
}

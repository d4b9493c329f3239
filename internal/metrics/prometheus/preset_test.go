package prometheus

import (
	"fmt"
	"regexp"
	"testing"

	"serin.dev/serin/internal/rollout"
)

// labels of series as the programs export them; name is the metric.
type labels map[string]string

// selects says whether a rendered selector matches a series, as Prometheus
// does: patterns are anchored, and a missing label is empty.
func selects(s selector, values map[string]string, series labels) bool {
	if series["__name__"] != s.name {
		return false
	}
	for _, m := range s.matchers {
		isPattern := m.op == "=~" || m.op == "!~"
		text := m.text(values, isPattern)
		matches := series[m.label] == text
		if isPattern {
			matches = regexp.MustCompile("^(?:" + text + ")$").MatchString(series[m.label])
		}
		if matches == (m.op[0] == '!') {
			return false
		}
	}
	return true
}

func TestAPresetTakesTheSeriesOfItsArmAlone(t *testing.T) {
	values := func(arm rollout.Arm, hash string) map[string]string {
		return (&Source{env: Env{Namespace: "web", Workload: "shop", Services: map[rollout.Arm]string{rollout.Stable: "shop-stable", rollout.Canary: "shop-canary"}}}).
			values(arm, Group{PodPrefixes: []string{"shop-" + hash}})
	}
	stable, canary := values(rollout.Stable, "6b7f"), values(rollout.Canary, "59c8")

	for _, c := range []struct {
		preset Preset
		series func(service, pod, namespace string) labels
		failed func(labels)
	}{
		{"traefik", func(service, _, namespace string) labels {
			return labels{"__name__": "traefik_service_requests_total", "code": "200", "method": "GET", "protocol": "http", "service": namespace + "-" + service + "-http-80@kubernetesgateway"}
		}, func(l labels) { l["code"] = "502" }},
		{"traefik", func(service, _, namespace string) labels { // IngressRoute
			return labels{"__name__": "traefik_service_requests_total", "code": "200", "service": namespace + "-" + service + "-8080@kubernetescrd"}
		}, func(l labels) { l["code"] = "500" }},
		{"traefik", func(service, _, namespace string) labels { // GRPCRoute
			return labels{"__name__": "traefik_service_requests_total", "code": "2", "method": "POST", "protocol": "grpc", "service": namespace + "-" + service + "-80-grpc@kubernetesgateway"}
		}, func(l labels) { l["code"] = "13" }},
		{"istio", func(service, _, namespace string) labels {
			return labels{"__name__": "istio_requests_total", "reporter": "source", "source_workload": "istio-ingressgateway", "destination_service_name": service, "destination_service_namespace": namespace, "response_code": "200", "response_flags": "-"}
		}, func(l labels) { l["response_code"], l["response_flags"] = "503", "UF" }},
		{"istioDestination", func(_, pod, namespace string) labels {
			return labels{"__name__": "istio_requests_total", "reporter": "destination", "destination_workload_namespace": namespace, "destination_service_name": "shop", "pod": pod, "response_code": "200"}
		}, func(l labels) { l["response_code"] = "500" }},
		{"envoyGateway", func(service, _, namespace string) labels {
			return labels{"__name__": "envoy_cluster_upstream_rq_xx", "envoy_cluster_name": "service/" + namespace + "/" + service + "/80/http", "envoy_response_code_class": "2"}
		}, func(l labels) { l["envoy_response_code_class"] = "5" }},
		{"otel", func(_, pod, namespace string) labels {
			return labels{"__name__": "http_server_request_duration_seconds_count", "namespace": namespace, "pod": pod, "http_response_status_code": "200", "http_route": "/cart"}
		}, func(l labels) { l["http_response_status_code"] = "500" }},
	} {
		p, _ := newPlan(Config{Preset: c.preset}, false)
		all, errs := p.counts[0].selector, p.counts[1].selector
		check := func(what string, s selector, values map[string]string, series labels, want bool) {
			t.Helper()
			if got := selects(s, values, series); got != want {
				t.Errorf("%s, %s: %s selects %v: %v, want %v", c.preset, what, s.render(values), series, got, want)
			}
		}
		check("stable's", all, stable, c.series("shop-stable", "shop-6b7f-x2x9z", "web"), true)
		check("canary's", all, canary, c.series("shop-canary", "shop-59c8-abcde", "web"), true)
		check("the other arm's", all, stable, c.series("shop-canary", "shop-59c8-abcde", "web"), false)
		check("another namespace's", all, canary, c.series("shop-canary", "shop-other-59c8-abcde", "spider-web"), false)
		check("another workload's", all, canary, c.series("shop-canary-b", "shop-59c8b-abcde", "web"), false)
		good, bad := c.series("shop-canary", "shop-59c8-abcde", "web"), c.series("shop-canary", "shop-59c8-abcde", "web")
		c.failed(bad)
		check("a good answer", errs, canary, good, false)
		check("a failure", errs, canary, bad, true)
		check("a failure, among all", all, canary, bad, true)
	}
}

func TestContainersAreThoseOfTheArmsPods(t *testing.T) {
	p, _ := newPlan(Config{Preset: "traefik"}, true)
	values := map[string]string{"namespace": "web", pods: podPattern([]string{"shop-59c8", "shop-7777"})}
	for series, want := range map[*labels]bool{
		{"container": "shop", "pod": "shop-59c8-abcde", "namespace": "web"}:  true,
		{"container": "proxy", "pod": "shop-7777-abcde", "namespace": "web"}: true,
		{"container": "POD", "pod": "shop-59c8-abcde", "namespace": "web"}:   false,
		{"pod": "shop-59c8-abcde", "namespace": "web"}:                       false, // the pod's sum
		{"container": "shop", "pod": "shop-6b7f-abcde", "namespace": "web"}:  false,
		{"container": "shop", "pod": "shop-59c8-abcde", "namespace": "b"}:    false,
	} {
		for i, name := range []string{"container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_spec_memory_limit_bytes"} {
			(*series)["__name__"] = name
			if got := selects(p.usage[i].selector, values, *series); got != want {
				t.Errorf("%v: %v, want %v", fmt.Sprint(*series), got, want)
			}
		}
	}
}

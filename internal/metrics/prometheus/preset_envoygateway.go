package prometheus

// Envoy's cluster statistics under Envoy Gateway. By default it makes one
// cluster of a rule's backends (httproute/NAMESPACE/ROUTE/rule/N), whose
// statistics do not tell them apart; with mergeBackends in EnvoyProxy's spec
// (1.9 and later, envoyproxy/gateway#9477) every backend has its own, named
// service/NAMESPACE/SERVICE/PORT/PROTOCOL. Envoy writes the digit of
// upstream_rq_5xx into the label envoy_response_code_class. upstream_rq_time is
// in milliseconds. Requests that found no healthy endpoint are counted as the
// 503 that they got. Envoy knows no pods here.
var envoyGateway = preset{
	queries: Queries{
		Requests: `envoy_cluster_upstream_rq_xx{envoy_cluster_name=~"service/$(namespace)/$(service)/[0-9]+(/.*)?"}`,
		Errors:   `envoy_cluster_upstream_rq_xx{envoy_cluster_name=~"service/$(namespace)/$(service)/[0-9]+(/.*)?",envoy_response_code_class="5"}`,
		Latency: Latency{
			Histogram: `envoy_cluster_upstream_rq_time{envoy_cluster_name=~"service/$(namespace)/$(service)/[0-9]+(/.*)?"}`,
			Unit:      Milliseconds,
		},
	},
}

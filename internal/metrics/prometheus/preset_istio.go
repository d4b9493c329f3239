package prometheus

// Istio's standard metrics, read from https://istio.io/latest/docs/reference/config/metrics/
// (1.5 to 1.31: names and labels are the same). A request is reported twice:
// by the proxy of who asks, a gateway or a sidecar (reporter="source"; in
// ambient mode by the waypoint), and by the sidecar of who answers
// (reporter="destination"). The first also sees requests that no pod could be
// found for, and is what users see; only the second knows pods. The label pod
// is put on by the scrape configuration that Istio and the Prometheus operator
// ship. Response times are in milliseconds.

// istio tells the arms apart by the Service that a request was routed to.
var istio = preset{
	queries: Queries{
		Requests: `istio_requests_total{reporter=~"source|waypoint",destination_service_namespace="$(namespace)",destination_service_name="$(service)"}`,
		Errors:   `istio_requests_total{reporter=~"source|waypoint",destination_service_namespace="$(namespace)",destination_service_name="$(service)",response_code=~"5.."}`,
		Latency: Latency{
			Histogram: `istio_request_duration_milliseconds{reporter=~"source|waypoint",destination_service_namespace="$(namespace)",destination_service_name="$(service)"}`,
			Unit:      Milliseconds,
		},
	},
	byInstance:    istioDestination.queries,
	instanceLabel: "pod",
}

// istioDestination tells them apart by their pods: for routes to subsets of
// one Service, which look the same to who asks.
var istioDestination = preset{
	queries: Queries{
		Requests: `istio_requests_total{reporter="destination",destination_workload_namespace="$(namespace)",pod=~"$(pods)"}`,
		Errors:   `istio_requests_total{reporter="destination",destination_workload_namespace="$(namespace)",pod=~"$(pods)",response_code=~"5.."}`,
		Latency: Latency{
			Histogram: `istio_request_duration_milliseconds{reporter="destination",destination_workload_namespace="$(namespace)",pod=~"$(pods)"}`,
			Unit:      Milliseconds,
		},
	},
	instanceLabel: "pod",
}

package prometheus

// OpenTelemetry's http.server.request.duration (stable since semantic
// conventions 1.23), as Prometheus names it: seconds, and the attribute
// http.response.status_code as a label. namespace and pod are the labels that
// Prometheus puts on a pod's series. The figures are the application's own: they
// lack the requests that never reached it.
var otel = preset{
	queries: Queries{
		Requests: `http_server_request_duration_seconds_count{namespace="$(namespace)",pod=~"$(pods)"}`,
		Errors:   `http_server_request_duration_seconds_count{namespace="$(namespace)",pod=~"$(pods)",http_response_status_code=~"5.."}`,
		Latency:  Latency{Histogram: `http_server_request_duration_seconds{namespace="$(namespace)",pod=~"$(pods)"}`},
	},
	instanceLabel: "pod",
}

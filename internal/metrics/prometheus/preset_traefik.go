package prometheus

// Traefik's service metrics, read from its source (v3.6.12: pkg/observability/metrics/prometheus.go,
// pkg/provider/kubernetes/gateway/httproute.go and grpcroute.go). Every backend
// of a route counts by itself, also under a weighted one. Its name is
// namespace-service-http-port for an HTTPRoute, namespace-service-port-grpc for a
// GRPCRoute, namespace-service-port for an Ingress or an IngressRoute, and earlier
// versions left http and grpc out; then comes @ and the provider. Labels: code,
// method, protocol, service.
//
// The code of a gRPC call is its status, of one or two digits. Of calls that
// failed there are those by which a server says so: 4, 12, 13, 14 and 15. A status
// that comes behind an answer, as with every call that went well, is not seen and
// counts as 2 (unknown), and so does a pod that cannot be reached: 2 is left out.
//
// Response times are in seconds, by default in buckets up to 0.1, 0.3, 1.2 and
// 5, which resolve no tail; give Traefik finer ones by
// --metrics.prometheus.buckets. Traefik knows no pods here.
var traefik = preset{
	queries: Queries{
		Requests: `traefik_service_requests_total{service=~"$(namespace)-$(service)-(http-)?[0-9a-z]+(-grpc)?@kubernetes.*"}`,
		Errors:   `traefik_service_requests_total{service=~"$(namespace)-$(service)-(http-)?[0-9a-z]+(-grpc)?@kubernetes.*",code=~"5..|4|1[2-5]"}`,
		Latency:  Latency{Histogram: `traefik_service_request_duration_seconds{service=~"$(namespace)-$(service)-(http-)?[0-9a-z]+(-grpc)?@kubernetes.*"}`},
	},
}

package prometheus

// cAdvisor's metrics in the kubelet (Kubernetes 1.16 and later: labels
// namespace, pod, container). The series without a container are sums of those
// with one, and POD is the pause container. Samples carry times of their own,
// one for each container.
var cadvisor = preset{
	queries: Queries{
		CPU:    `container_cpu_usage_seconds_total{namespace="$(namespace)",pod=~"$(pods)",container!="",container!="POD"}`,
		Memory: `container_memory_working_set_bytes{namespace="$(namespace)",pod=~"$(pods)",container!="",container!="POD"}`,
	},
	// 0 where a container has no limit.
	limit:         `container_spec_memory_limit_bytes{namespace="$(namespace)",pod=~"$(pods)",container!="",container!="POD"}`,
	instanceLabel: "pod",
}

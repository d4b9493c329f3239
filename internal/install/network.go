package install

import (
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ConfinedPorts are those of an API server, behind its Service and at its own
// address, and of a Prometheus.
var ConfinedPorts = []int{443, 6443, 9090}

const dnsPort = 53

// networkPolicy lets the controller answer those who scrape and probe it, and ask
// whom it needs. It is left out unless it is asked for: a cluster whose network
// knows no policies would take it and change nothing, and where it is known,
// tests, hooks and notifiers need their ports too.
func (o Options) networkPolicy() client.Object {
	ports := func(protocol corev1.Protocol, numbers ...int) []networkingv1.NetworkPolicyPort {
		var list []networkingv1.NetworkPolicyPort
		for _, n := range numbers {
			list = append(list, networkingv1.NetworkPolicyPort{Protocol: ptr(protocol), Port: ptr(intstr.FromInt(n))})
		}
		return list
	}
	return &networkingv1.NetworkPolicy{
		ObjectMeta: o.meta(o.Namespace, Controller),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: selector()},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: ports(corev1.ProtocolTCP, metricsPort, healthPort)}},
			Egress: []networkingv1.NetworkPolicyEgressRule{
				{Ports: append(ports(corev1.ProtocolUDP, dnsPort), ports(corev1.ProtocolTCP, dnsPort)...)},
				{Ports: ports(corev1.ProtocolTCP, o.Confine...)},
			},
		},
	}
}

// portOf is the port that a URL leads to, 0 where it is none.
func portOf(address string) int {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	n, _ := strconv.Atoi(port)
	return n
}

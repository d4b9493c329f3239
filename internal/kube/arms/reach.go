package arms

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Reach counts a Service's ready endpoints by the pod-template-hash of their
// pods; endpoints that are no pods with one count under "".
func Reach(ctx context.Context, c client.Reader, service *corev1.Service) (map[string]int, error) {
	inNamespace := client.InNamespace(service.Namespace)
	var slices discoveryv1.EndpointSliceList
	if err := c.List(ctx, &slices, inNamespace, client.MatchingLabels{discoveryv1.LabelServiceName: service.Name}); err != nil {
		return nil, failed(fmt.Sprintf("list the endpoints of Service %s/%s", service.Namespace, service.Name), err)
	}
	// The selector without the hash finds the pods that the endpoints still
	// show and those that they will show.
	var pods corev1.PodList
	if err := c.List(ctx, &pods, inNamespace, client.MatchingLabels(WithoutHash(service.Spec.Selector))); err != nil {
		return nil, failed(fmt.Sprintf("list the pods of Service %s/%s", service.Namespace, service.Name), err)
	}
	groups := map[string]string{}
	for _, p := range pods.Items {
		groups[p.Name] = p.Labels[serinv1.HashLabel]
	}
	reach, seen := map[string]int{}, map[string]bool{}
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			name := ""
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				name = e.TargetRef.Name
			}
			// A pod of two address families is in two slices.
			if name != "" && seen[name] {
				continue
			}
			seen[name] = true
			reach[groups[name]]++
		}
	}
	return reach, nil
}

// WithoutHash returns a selector without its pod-template-hash.
func WithoutHash(selector map[string]string) map[string]string {
	selector = maps.Clone(selector)
	delete(selector, serinv1.HashLabel)
	return selector
}

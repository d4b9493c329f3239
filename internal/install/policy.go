package install

import (
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube/policy"
)

// NewestPolicy is the version of the policy's kind that an API server has which
// has everything.
const NewestPolicy = "v1"

// ServedPolicy returns the version of the admission policy's kind that an API
// server prefers; empty: it has none.
func ServedPolicy(c client.Client) (string, error) {
	mapping, err := c.RESTMapper().RESTMapping(policyKind)
	if meta.IsNoMatchError(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask the API server for its kinds: %w", err)
	}
	return mapping.GroupVersionKind.Version, nil
}

// policy is what holds a Deployment when its template changes; nothing where the
// API server has no such kind.
func (o Options) policy() []client.Object {
	if o.Policy == "" {
		return nil
	}
	hold, binding := policy.Hold(ServiceAccountUser(o.Namespace))
	hold.Labels, binding.Labels = o.labels(), o.labels()
	if len(o.Namespaces) > 0 {
		binding.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{
				Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: o.Namespaces,
			}},
		}}
	}
	// The versions before v1 have the same fields.
	hold.SetGroupVersionKind(policyKind.WithVersion(o.Policy))
	binding.SetGroupVersionKind(bindingKind.WithVersion(o.Policy))
	return []client.Object{hold, binding}
}

package install

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube/policy"
)

// NewestPolicy is the version of the policy's kind that an API server has which
// has everything.
const NewestPolicy = "v1"

// PolicyName is the name of the policy and its binding.
const PolicyName = policy.Name

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

// policy is what holds a Deployment when its template changes. The kind has the
// same fields in every version.
func (o Options) policy() ([]client.Object, error) {
	if o.Policy == "" {
		return nil, nil
	}
	hold, binding := policy.Hold(ServiceAccountUser(o.Namespace))
	var objects []client.Object
	for _, obj := range []client.Object{hold, binding} {
		gvk := obj.GetObjectKind().GroupVersionKind()
		gvk.Version = o.Policy
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return nil, fmt.Errorf("write %s %s: %w", gvk.Kind, obj.GetName(), err)
		}
		u := &unstructured.Unstructured{Object: content}
		u.SetGroupVersionKind(gvk)
		u.SetLabels(o.meta("", PolicyName).Labels)
		objects = append(objects, u)
	}
	return objects, nil
}

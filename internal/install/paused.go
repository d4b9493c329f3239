package install

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

func paused(d *unstructured.Unstructured) bool {
	p, _, _ := unstructured.NestedBool(d.Object, "spec", "paused")
	return p
}

// pausedBy names the field manager other than Serin that paused a Deployment;
// what the policy sets has none.
func pausedBy(d *unstructured.Unstructured) string {
	for _, m := range d.GetManagedFields() {
		if m.Manager == serinv1.FieldManager || m.Subresource != "" || m.FieldsV1 == nil {
			continue
		}
		var fields map[string]map[string]any
		if json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		if _, ok := fields["f:spec"]["f:paused"]; ok {
			return m.Manager
		}
	}
	return ""
}

// sameTemplate compares two templates but for what is empty.
func sameTemplate(a, b map[string]any) bool {
	return equality.Semantic.DeepEqual(bare(a), bare(b))
}

// bare drops nulls and empty maps, which the API server writes or not as it
// likes.
func bare(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, e := range m {
		e = bare(e)
		if inner, isMap := e.(map[string]any); e == nil || isMap && len(inner) == 0 {
			continue
		}
		out[k] = e
	}
	return out
}

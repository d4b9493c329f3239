package gatewayapi

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube/arms"
)

// grant is the ReferenceGrant that a route in another namespace needs.
type grant struct {
	client     client.Client
	from, kind string // the route's namespace and kind
	services   arms.Services
}

// given answers nil when the owner of the Services' namespace lets routes of
// the other namespace reach both.
func (g grant) given(ctx context.Context) error {
	kind := schema.GroupKind{Group: group, Kind: "ReferenceGrant"}
	mapping, err := g.client.RESTMapper().RESTMapping(kind, "v1", "v1beta1")
	if err != nil {
		return fmt.Errorf("ask for the versions of %s: %w", kind, err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(mapping.GroupVersionKind.GroupVersion().WithKind("ReferenceGrantList"))
	if err := g.client.List(ctx, list, client.InNamespace(g.services.Namespace)); err != nil {
		if apierrors.IsForbidden(err) {
			return arms.Refuse("list ReferenceGrants in %s: %w; grant it to Serin's service account", g.services.Namespace, err)
		}
		return fmt.Errorf("list ReferenceGrants in %s: %w", g.services.Namespace, err)
	}
	services := []string{g.services.Stable, g.services.Canary}
	if g.services.Compares {
		services = append(services, g.services.Baseline)
	}
	for _, service := range services {
		if !g.reaches(list.Items, service) {
			return arms.Refuse("a %s in namespace %s may not reach Service %s/%s: no ReferenceGrant allows it. Create one in %s with from: {group: %s, kind: %s, namespace: %s} and to: {group: \"\", kind: Service}",
				g.kind, g.from, g.services.Namespace, service, g.services.Namespace, group, g.kind, g.from)
		}
	}
	return nil
}

func (g grant) reaches(grants []unstructured.Unstructured, service string) bool {
	for _, item := range grants {
		from, _, _ := unstructured.NestedSlice(item.Object, "spec", "from")
		to, _, _ := unstructured.NestedSlice(item.Object, "spec", "to")
		for _, f := range from {
			f, _ := f.(map[string]any)
			if f["group"] != group || f["kind"] != g.kind || f["namespace"] != g.from {
				continue
			}
			for _, t := range to {
				t, _ := t.(map[string]any)
				if text(t, "group") == "" && t["kind"] == "Service" && (t["name"] == nil || t["name"] == service) {
					return true
				}
			}
		}
	}
	return false
}

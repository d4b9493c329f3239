package gatewayapi

import (
	"cmp"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// trouble says why a route is not in effect as it is written: some parent has
// not accepted this generation of it, or cannot resolve what it names. It is
// empty when every parent follows. It is settled when waiting does not mend it:
// the parent has answered for this generation.
func trouble(u *unstructured.Unstructured) (why string, settled bool) {
	parents, _, _ := unstructured.NestedSlice(u.Object, "spec", "parentRefs")
	if len(parents) == 0 {
		return name(u) + " has no parentRefs, so no gateway serves it", true
	}
	told, _, _ := unstructured.NestedSlice(u.Object, "status", "parents")
	for _, parent := range parents {
		parent, _ := parent.(map[string]any)
		found := false
		for _, status := range told {
			status, _ := status.(map[string]any)
			ref, _ := status["parentRef"].(map[string]any)
			if !sameParent(u.GetNamespace(), parent, ref) {
				continue
			}
			found = true
			for _, condition := range []string{"Accepted", "ResolvedRefs"} {
				if t, settled := unmet(u.GetGeneration(), status, condition); t != "" {
					return fmt.Sprintf("%s: %s %v: %s", name(u), cmp.Or(text(parent, "kind"), "Gateway"), parent["name"], t), settled
				}
			}
		}
		if !found {
			return fmt.Sprintf("%s: %s %v has not answered for it", name(u), cmp.Or(text(parent, "kind"), "Gateway"), parent["name"]), false
		}
	}
	return "", true
}

// sameParent compares two references with their defaults.
func sameParent(namespace string, a, b map[string]any) bool {
	full := func(ref map[string]any) [6]any {
		return [6]any{
			cmp.Or(text(ref, "group"), group), cmp.Or(text(ref, "kind"), "Gateway"), cmp.Or(text(ref, "namespace"), namespace),
			ref["name"], ref["sectionName"], ref["port"],
		}
	}
	return reflect.DeepEqual(full(a), full(b))
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

// unmet says why a condition is not true for a generation.
func unmet(generation int64, status map[string]any, want string) (why string, settled bool) {
	conditions, _ := status["conditions"].([]any)
	for _, c := range conditions {
		c, _ := c.(map[string]any)
		if c["type"] != want {
			continue
		}
		n, _ := c["observedGeneration"].(int64)
		switch {
		case c["status"] != "True":
			return fmt.Sprintf("%s is %v (%v): %v", want, c["status"], c["reason"], c["message"]), n == generation
		case n != generation:
			return fmt.Sprintf("%s is true for generation %d and the route is at %d; waiting for the gateway", want, n, generation), false
		}
		return "", true
	}
	return "it says nothing of " + want, false
}

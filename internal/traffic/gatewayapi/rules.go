package gatewayapi

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/arms"
)

// rules finds the rules of a route that split between the arms.
type rules struct {
	services  arms.Services
	namespace string // the route's
}

// pairs returns the weights of every rule that names both Services. A rule
// that names one of them is the user's own: a path that stays with stable, a
// header that leads testers to the canary.
func (r rules) pairs(u *unstructured.Unstructured) ([]arms.Pair, error) {
	list, _, err := unstructured.NestedSlice(u.Object, "spec", "rules")
	if err != nil {
		return nil, arms.Refuse("%s: spec.rules is not a list: %w", name(u), err)
	}
	var pairs []arms.Pair
	var port int64
	for i, rule := range list {
		rule, _ := rule.(map[string]any)
		refs, _ := rule["backendRefs"].([]any)
		at := func(j int) string {
			return kube.Pointer("spec", "rules", strconv.Itoa(i), "backendRefs", strconv.Itoa(j), "weight")
		}
		p := arms.Pair{Field: "rules"}
		stable, canary, baseline, others := 0, 0, 0, ""
		for j, ref := range refs {
			ref, _ := ref.(map[string]any)
			switch {
			case r.is(ref, r.services.Stable):
				stable++
				p.Stable = weight(ref, at(j))
			case r.is(ref, r.services.Canary):
				canary++
				p.Canary = weight(ref, at(j))
			case r.is(ref, r.services.Baseline):
				baseline++
				w := weight(ref, at(j))
				p.Baseline = &w
			default:
				others = fmt.Sprint(ref["name"])
			}
			if n, ok := ref["port"].(int64); ok && port == 0 {
				port = n
			}
		}
		switch {
		case stable == 0 || canary == 0:
		case stable > 1 || canary > 1 || baseline > 1:
			return nil, arms.Refuse("%s: spec.rules[%d].backendRefs names an arm's Service more than once; name each once", name(u), i)
		case others != "":
			return nil, arms.Refuse("%s: spec.rules[%d].backendRefs names %s beside the two arms, so the weights are not percents of all requests; give it a rule of its own", name(u), i, others)
		default:
			pairs = append(pairs, p)
		}
	}
	if len(pairs) == 0 {
		return nil, r.namesNeither(u, port)
	}
	return pairs, nil
}

// is reports whether a backend is one of the arms' Services.
func (r rules) is(ref map[string]any, service string) bool {
	if g, _ := ref["group"].(string); g != "" {
		return false
	}
	if k, ok := ref["kind"].(string); ok && k != "Service" {
		return false
	}
	namespace, ok := ref["namespace"].(string)
	if !ok {
		namespace = r.namespace
	}
	return ref["name"] == service && namespace == r.services.Namespace
}

// weight reads a backend's weight, which is 1 where it is not written.
func weight(ref map[string]any, path string) arms.Weight {
	w := arms.Weight{Path: path, Value: 1}
	if n, ok := ref["weight"].(int64); ok {
		w.Value, w.Written = n, true
	}
	return w
}

// namesNeither says what to write.
func (r rules) namesNeither(u *unstructured.Unstructured, port int64) error {
	if port == 0 {
		port = 80
	}
	namespace := ""
	if r.namespace != r.services.Namespace {
		namespace = fmt.Sprintf("\n    namespace: %s", r.services.Namespace)
	}
	backend := func(service string, weight int) string {
		return fmt.Sprintf("\n  - name: %s%s\n    port: %d\n    weight: %d", service, namespace, port, weight)
	}
	backends := backend(r.services.Stable, 100) + backend(r.services.Canary, 0)
	if r.services.Compares {
		backends += backend(r.services.Baseline, 0)
	}
	return arms.Refuse("%s has no rule that names both Service %s and Service %s, so there is nothing to give weights. Write in the rule that is to be split, in the place of its backendRefs:\n  backendRefs:%s",
		name(u), r.services.Stable, r.services.Canary, backends)
}

func name(u *unstructured.Unstructured) string {
	return u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
}

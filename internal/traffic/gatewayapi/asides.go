package gatewayapi

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/rollout"
)

// asides returns what a route sends to an arm beside the weights: by rules that
// name one of the arms, and by filters that send it copies.
func (r rules) asides(u *unstructured.Unstructured) []arms.Aside {
	var found []arms.Aside
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", "rules")
	for i, rule := range list {
		rule, _ := rule.(map[string]any)
		where := fmt.Sprintf("%s: spec.rules[%d]", name(u), i)
		matches := matchesOf(rule)
		filters, _ := rule["filters"].([]any)
		refs, _ := rule["backendRefs"].([]any)
		for _, ref := range refs {
			ref, _ := ref.(map[string]any)
			own, _ := ref["filters"].([]any)
			filters = append(filters, own...)
		}
		if sent, both := arms.Sent(refs, r.arm); !both { // otherwise the weights are Serin's
			for _, arm := range sent {
				found = append(found, arms.Aside{Arm: arm, Where: where, Matches: matches})
			}
		}
		for _, filter := range filters {
			filter, _ := filter.(map[string]any)
			ref, _, _ := unstructured.NestedMap(filter, "requestMirror", "backendRef")
			if arm, ok := r.arm(ref); ok {
				found = append(found, arms.Aside{Arm: arm, Where: where, Matches: matches, Copies: true})
			}
		}
	}
	return found
}

// arm is the arm whose Service a backend is.
func (r rules) arm(ref map[string]any) (rollout.Arm, bool) {
	for _, arm := range []rollout.Arm{rollout.Stable, rollout.Canary} {
		if r.is(ref, r.services.Name(arm)) {
			return arm, true
		}
	}
	return "", false
}

// matchesOf says in words which requests a rule is for.
func matchesOf(rule map[string]any) []arms.Match {
	var matches []arms.Match
	list, _ := rule["matches"].([]any)
	for _, match := range list {
		match, _ := match.(map[string]any)
		var m arms.Match
		if path, ok := match["path"].(map[string]any); ok && (path["type"] != "PathPrefix" || path["value"] != "/") {
			m.Others = append(m.Others, fmt.Sprintf("path %v", path["value"]))
		}
		switch method := match["method"].(type) {
		case string:
			m.Others = append(m.Others, "method "+method)
		case map[string]any:
			m.Others = append(m.Others, fmt.Sprintf("method %s/%s", cmp.Or(text(method, "service"), "*"), cmp.Or(text(method, "method"), "*")))
		}
		for _, field := range []struct{ key, word string }{{"headers", "header"}, {"queryParams", "parameter"}} {
			values, _ := match[field.key].([]any)
			for _, v := range values {
				v, _ := v.(map[string]any)
				m.Known = append(m.Known, fmt.Sprintf("%s %v: %v", field.word, v["name"], v["value"]))
			}
		}
		matches = append(matches, m)
	}
	return matches
}

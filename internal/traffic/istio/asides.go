package istio

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/rollout"
)

// asides returns what a VirtualService sends to an arm beside the weights: by
// routes that name one of the arms or that are not the rollout's, and by mirrors.
func (r routes) asides(u *unstructured.Unstructured) []arms.Aside {
	var found []arms.Aside
	for _, field := range fields {
		list, _, _ := unstructured.NestedSlice(u.Object, "spec", field)
		for i, route := range list {
			route, _ := route.(map[string]any)
			where, matches := fmt.Sprintf("%s: spec.%s[%d]", name(u), field, i), matchesOf(route)
			for _, arm := range r.pinned(field, route) {
				found = append(found, arms.Aside{Arm: arm, Where: where, Matches: matches})
			}
			for _, d := range mirrors(route) {
				if arm, ok := r.arm(d); ok {
					found = append(found, arms.Aside{Arm: arm, Where: where, Matches: matches, Copies: true})
				}
			}
		}
	}
	return found
}

// pinned returns the arms that a route sends requests to by weights that are not
// Serin's.
func (r routes) pinned(field string, route map[string]any) []rollout.Arm {
	list, _ := route["route"].([]any)
	sent, both := arms.Sent(list, func(entry map[string]any) (rollout.Arm, bool) {
		d, _ := entry["destination"].(map[string]any)
		return r.arm(d)
	})
	if both && r.ours(field, route) {
		return nil
	}
	return sent
}

// arm is the arm that a destination is.
func (r routes) arm(d map[string]any) (rollout.Arm, bool) {
	host, _ := d["host"].(string)
	switch {
	case host == "" || !r.ofHost(host):
		return "", false
	case r.stable.is(d, r.namespace):
		return rollout.Stable, true
	case r.canary.is(d, r.namespace):
		return rollout.Canary, true
	}
	return "", false
}

// mirrors are the destinations that get copies of a route's requests.
func mirrors(route map[string]any) []map[string]any {
	var all []map[string]any
	if one, ok := route["mirror"].(map[string]any); ok {
		all = append(all, one)
	}
	several, _ := route["mirrors"].([]any)
	for _, m := range several {
		m, _ := m.(map[string]any)
		if d, ok := m["destination"].(map[string]any); ok {
			all = append(all, d)
		}
	}
	return all
}

// matchesOf says in words which requests a route is for.
func matchesOf(route map[string]any) []arms.Match {
	var matches []arms.Match
	list, _ := route["match"].([]any)
	for _, match := range list {
		match, _ := match.(map[string]any)
		var m arms.Match
		for _, key := range slices.Sorted(maps.Keys(match)) {
			switch values, several := match[key].(map[string]any); {
			case key == "headers" || key == "queryParams":
				word := map[string]string{"headers": "header", "queryParams": "parameter"}[key]
				for _, n := range slices.Sorted(maps.Keys(values)) {
					m.Known = append(m.Known, fmt.Sprintf("%s %s%s", word, n, said(values[n], ": ")))
				}
			case key == "name" || key == "ignoreUriCase" || key == "uri" && values["prefix"] == "/":
			case several:
				m.Others = append(m.Others, key+said(values, " "))
			default:
				m.Others = append(m.Others, fmt.Sprintf("%s %v", key, match[key]))
			}
		}
		matches = append(matches, m)
	}
	return matches
}

// said is what a string must be, or labels.
func said(v any, before string) string {
	how, _ := v.(map[string]any)
	for _, form := range []string{"exact", "prefix", "regex"} {
		if value, ok := how[form]; ok {
			return fmt.Sprintf("%s%v", before, value)
		}
	}
	if len(how) == 0 {
		return "" // that it is there is enough
	}
	return fmt.Sprintf("%s%v", before, how)
}

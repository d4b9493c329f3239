package gatewayapi

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestTroubleIsThatOfAnyParent(t *testing.T) {
	for name, c := range map[string]struct {
		status, want string
		settled      bool
	}{
		"all follow": {`
    - parentRef: {group: gateway.networking.k8s.io, kind: Gateway, namespace: team, name: a}
      conditions: [{type: Accepted, status: "True", observedGeneration: 7}, {type: ResolvedRefs, status: "True", observedGeneration: 7}]
    - parentRef: {name: b, sectionName: web}
      conditions: [{type: Accepted, status: "True", observedGeneration: 7}, {type: ResolvedRefs, status: "True", observedGeneration: 7}]`, "", true},
		"one has not answered": {`
    - parentRef: {name: a}
      conditions: [{type: Accepted, status: "True", observedGeneration: 7}, {type: ResolvedRefs, status: "True", observedGeneration: 7}]`,
			"Gateway b has not answered", false},
		"one is of an older generation": {`
    - parentRef: {name: a}
      conditions: [{type: Accepted, status: "True", observedGeneration: 7}, {type: ResolvedRefs, status: "True", observedGeneration: 6}]`,
			"Gateway a: ResolvedRefs is true for generation 6 and the route is at 7", false},
		"one refuses": {`
    - parentRef: {name: a}
      conditions: [{type: Accepted, status: "False", reason: NotAllowedByListeners, message: no listener takes it, observedGeneration: 7}]`,
			"Gateway a: Accepted is False (NotAllowedByListeners): no listener takes it", true},
		"one says half": {`
    - parentRef: {name: a}
      conditions: [{type: Accepted, status: "True", observedGeneration: 7}]`,
			"Gateway a: it says nothing of ResolvedRefs", false},
	} {
		t.Run(name, func(t *testing.T) {
			u := parsed(t, "kind: HTTPRoute\nmetadata: {name: shop, namespace: team, generation: 7}\nspec: {parentRefs: [{name: a}, {name: b, sectionName: web}]}\nstatus:\n  parents:"+c.status)
			got, settled := trouble(u)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) || settled != c.settled {
				t.Errorf("trouble is %q, settled %t, want %q, %t", got, settled, c.want, c.settled)
			}
		})
	}
}

// parsed reads an object as it comes from the API server, whose numbers are whole.
func parsed(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(manifest))
	if err == nil {
		err = u.UnmarshalJSON(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

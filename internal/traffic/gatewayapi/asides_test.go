package gatewayapi

import (
	"slices"
	"testing"

	"serin.dev/serin/internal/kube/arms"
)

func TestWhatGoesPastTheSplitIsFound(t *testing.T) {
	r := rules{services: arms.Services{Namespace: "web", Stable: "shop-stable", Canary: "shop-canary"}, namespace: "web"}
	for name, c := range map[string]struct {
		rules string
		want  []string // arm, requests; open and copies in brackets
	}{
		"a rule with both is Serin's": {`
  - matches: [{headers: [{name: a, value: b}]}]
    backendRefs: [{name: shop-stable, weight: 100}, {name: shop-canary, weight: 0}]`, nil},
		"testers by a header": {`
  - matches: [{path: {type: PathPrefix, value: /}, headers: [{name: x-tester, value: "yes"}]}]
    backendRefs: [{name: shop-canary}]`, []string{`canary: requests with header x-tester: yes`}},
		"testers by a cookie, a parameter and a path": {`
  - matches:
    - {headers: [{type: RegularExpression, name: cookie, value: "tester=1"}]}
    - {path: {type: Exact, value: /beta}, method: GET, queryParams: [{name: beta, value: "1"}]}
    backendRefs: [{name: shop-canary}]`, []string{`canary: requests with header cookie: tester=1, or with path /beta and method GET and parameter beta: 1`}},
		"testers of gRPC": {`
  - matches: [{method: {service: shop.Cart}, headers: [{name: x-tester, value: "yes"}]}]
    backendRefs: [{name: shop-canary}]`, []string{`canary: requests with method shop.Cart/* and header x-tester: yes`}},
		"a path that stays with stable": {`
  - matches: [{path: {type: PathPrefix, value: /admin}}]
    backendRefs: [{name: shop-stable}]`, []string{`stable (open): requests with path /admin`}},
		"a path that everybody may ask for": {`
  - matches: [{headers: [{name: x-tester, value: "yes"}]}, {path: {type: PathPrefix, value: /beta}}]
    backendRefs: [{name: shop-canary}]`, []string{`canary (open): requests with header x-tester: yes, or with path /beta`}},
		"everything": {`
  - matches: [{path: {type: PathPrefix, value: /}}]
    backendRefs: [{name: shop-canary}, {name: other}]`, []string{`canary (open): all requests`}},
		"a weight of 0 sends nothing": {`
  - backendRefs: [{name: shop-canary, weight: 0}, {name: other}]`, nil},
		"another Service of the same name": {`
  - backendRefs: [{name: shop-canary, namespace: other}]`, nil},
		"copies": {`
  - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shop-canary, port: 80}}}]
    backendRefs: [{name: shop-stable, weight: 100}, {name: shop-canary, weight: 0}]
  - matches: [{path: {type: Exact, value: /x}}]
    backendRefs: [{name: other, filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shop-stable}}}]}]`,
			[]string{`canary (open) (copies): all requests`, `stable (open) (copies): requests with path /x`}},
	} {
		t.Run(name, func(t *testing.T) {
			u := parsed(t, "kind: HTTPRoute\nmetadata: {name: shop, namespace: web}\nspec:\n  rules:"+c.rules)
			var got []string
			for _, a := range r.asides(u) {
				got = append(got, said(a))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func said(a arms.Aside) string {
	s := string(a.Arm)
	if a.Open() {
		s += " (open)"
	}
	if a.Copies {
		s += " (copies)"
	}
	return s + ": " + a.Requests()
}

package gatewayapi

import (
	"testing"

	"serin.dev/serin/internal/kube/arms"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/traffictest"
	"serin.dev/serin/internal/traffic/weighted"
)

func TestWhatGoesPastTheSplitIsFound(t *testing.T) {
	r := rules{services: arms.Services{Namespace: "web", Stable: traffictest.StableService, Canary: traffictest.CanaryService}, namespace: "web"}
	traffictest.FindsAsides(t, traffictest.Asides{
		Both: `
  - matches: [{headers: [{name: a, value: b}]}]
    backendRefs: [{name: shop-stable, weight: 100}, {name: shop-canary, weight: 0}]`,
		Testers: `
  - matches: [{path: {type: PathPrefix, value: /}, headers: [{name: x-tester, value: "yes"}]}]
    backendRefs: [{name: shop-canary}]`,
		Everybody: `
  - matches: [{path: {type: PathPrefix, value: /}}]
    backendRefs: [{name: shop-canary}, {name: other}]`,
		Nobody: `
  - backendRefs: [{name: shop-canary, weight: 0}, {name: other}]`,
		Copies: `
  - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shop-canary, port: 80}}}]
    backendRefs: [{name: shop-stable, weight: 100}, {name: shop-canary, weight: 0}]`,
		Others: map[string]traffictest.Found{
			"testers by a cookie, a parameter and a path": {Route: `
  - matches:
    - {headers: [{type: RegularExpression, name: cookie, value: "tester=1"}]}
    - {path: {type: Exact, value: /beta}, method: GET, queryParams: [{name: beta, value: "1"}]}
    backendRefs: [{name: shop-canary}]`, Want: []string{`canary: requests with header cookie: tester=1, or with path /beta and method GET and parameter beta: 1`}},
			"testers of gRPC": {Route: `
  - matches: [{method: {service: shop.Cart}, headers: [{name: x-tester, value: "yes"}]}]
    backendRefs: [{name: shop-canary}]`, Want: []string{`canary: requests with method shop.Cart/* and header x-tester: yes`}},
			"a path that stays with stable": {Route: `
  - matches: [{path: {type: PathPrefix, value: /admin}}]
    backendRefs: [{name: shop-stable}]`, Want: []string{`stable (open): requests with path /admin`}},
			"a path that everybody may ask for": {Route: `
  - matches: [{headers: [{name: x-tester, value: "yes"}]}, {path: {type: PathPrefix, value: /beta}}]
    backendRefs: [{name: shop-canary}]`, Want: []string{`canary (open): requests with header x-tester: yes, or with path /beta`}},
			"another Service of the same name": {Route: `
  - backendRefs: [{name: shop-canary, namespace: other}]`},
			"copies of one backend's requests": {Route: `
  - matches: [{path: {type: Exact, value: /x}}]
    backendRefs: [{name: other, filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shop-stable}}}]}]`,
				Want: []string{`stable (open) (copies): requests with path /x`}},
		},
	}, func(t *testing.T, rules string) (found []traffic.Aside) {
		t.Helper()
		for _, a := range r.asides(parsed(t, "kind: HTTPRoute\nmetadata: {name: shop, namespace: web}\nspec:\n  rules:"+rules)) {
			found = append(found, weighted.Aside(a))
		}
		return found
	})
}

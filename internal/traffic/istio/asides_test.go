package istio

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/traffictest"
	"serin.dev/serin/internal/traffic/weighted"
)

// byHosts finds routes between two Services.
func byHosts() routes {
	return routes{
		namespace: "web",
		stable:    destination{service: traffictest.StableService, namespace: "web"}, canary: destination{service: traffictest.CanaryService, namespace: "web"},
	}
}

// finder finds what goes past the split in the spec of a VirtualService.
func finder(r routes) func(*testing.T, string) []traffic.Aside {
	return func(t *testing.T, spec string) (found []traffic.Aside) {
		t.Helper()
		u := &unstructured.Unstructured{}
		data, err := yaml.YAMLToJSON([]byte("kind: VirtualService\nmetadata: {name: shop, namespace: web}\nspec:" + spec))
		if err == nil {
			err = u.UnmarshalJSON(data)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range r.asides(u) {
			found = append(found, weighted.Aside(a))
		}
		return found
	}
}

func TestWhatGoesPastTheSplitIsFound(t *testing.T) {
	traffictest.FindsAsides(t, traffictest.Asides{
		Both: `
  http:
  - match: [{headers: {a: {exact: b}}}]
    route: [{destination: {host: shop-stable}, weight: 100}, {destination: {host: shop-canary.web.svc.cluster.local}, weight: 0}]`,
		Testers: `
  http:
  - match: [{headers: {x-tester: {exact: "yes"}}}]
    route: [{destination: {host: shop-canary}}]
  - route: [{destination: {host: shop-stable}, weight: 100}, {destination: {host: shop-canary}, weight: 0}]`,
		Everybody: `
  tcp:
  - route: [{destination: {host: shop-canary}}]`,
		Nobody: `
  http:
  - route: [{destination: {host: shop-canary}, weight: 0}, {destination: {host: other}, weight: 100}]`,
		Copies: `
  http:
  - mirror: {host: shop-canary}
    mirrorPercentage: {value: 50}
    route: [{destination: {host: shop-stable}, weight: 100}, {destination: {host: shop-canary}, weight: 0}]`,
		Others: map[string]traffictest.Found{
			"several headers": {Route: `
  http:
  - match: [{headers: {x-tester: {exact: "yes"}, x-region: {}}}]
    route: [{destination: {host: shop-canary}}]`, Want: []string{`canary: requests with header x-region and header x-tester: yes`}},
			"testers by a cookie, or a parameter below a path": {Route: `
  http:
  - match:
    - {headers: {cookie: {regex: ".*tester=1.*"}}}
    - {uri: {prefix: /beta}, method: {exact: GET}, queryParams: {beta: {exact: "1"}}}
    route: [{destination: {host: shop-canary}}]`,
				Want: []string{`canary: requests with header cookie: .*tester=1.*, or with method GET and uri /beta and parameter beta: 1`}},
			"a path of stable, and a port": {Route: `
  http:
  - match: [{uri: {prefix: /admin}, port: 8080}]
    route: [{destination: {host: shop-stable}}]`, Want: []string{`stable (open): requests with port 8080 and uri /admin`}},
			"names of connections": {Route: `
  tls:
  - match: [{port: 443, sniHosts: [beta.shop]}]
    route: [{destination: {host: shop-canary}}]`, Want: []string{`canary (open): requests with port 443 and sniHosts [beta.shop]`}},
			"one of several mirrors": {Route: `
  http:
  - mirrors: [{destination: {host: shadow}}, {destination: {host: shop-stable}, percentage: {value: 1}}]
    route: [{destination: {host: other}}]`, Want: []string{`stable (open) (copies): all requests`}},
		},
	}, finder(byHosts()))
}

func TestARouteOfBothThatIsNotTheRolloutsGoesPastTheSplit(t *testing.T) {
	onlyMain := byHosts()
	onlyMain.only = []string{"main"}
	const both = "[{destination: {host: shop-stable}, weight: 30}, {destination: {host: shop-canary}, weight: 70}]"
	found := finder(onlyMain)(t, "\n  http:\n  - {name: main, route: "+both+"}\n  - {name: other, route: "+both+"}")
	if len(found) != 2 || !found[0].Open || !found[1].Open || found[0].Where != "VirtualService web/shop: spec.http[1]" {
		t.Errorf("found %+v, want what the second route sends to both", found)
	}
}

func TestSubsetsThatGoPastTheSplitAreThoseOfTheHost(t *testing.T) {
	bySubsets := routes{
		namespace: "web", stable: destination{subset: "stable"}, canary: destination{subset: "canary"},
		host: func() (string, string) { return "shop", "web" },
	}
	found := finder(bySubsets)(t, `
  http:
  - match: [{headers: {x-tester: {exact: "yes"}}}]
    mirror: {host: shop, subset: stable}
    route: [{destination: {host: shop, subset: canary}}]
  - route: [{destination: {host: another, subset: canary}}]`)
	if len(found) != 2 || found[0].Arm != "canary" || found[0].Copies || found[1].Arm != "stable" || !found[1].Copies {
		t.Errorf("found %+v, want testers to the canary and copies to stable", found)
	}
}

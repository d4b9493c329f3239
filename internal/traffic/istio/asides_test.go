package istio

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestWhatGoesPastTheSplitIsFound(t *testing.T) {
	bySubsets := routes{
		namespace: "web", stable: destination{subset: "stable"}, canary: destination{subset: "canary"},
		host: func() (string, string) { return "shop", "web" },
	}
	byHosts := routes{namespace: "web", stable: destination{service: "shop-stable", namespace: "web"}, canary: destination{service: "shop-canary", namespace: "web"}}
	onlyMain := byHosts
	onlyMain.only = []string{"main"}
	for name, c := range map[string]struct {
		routes routes
		spec   string
		want   []string // arm, requests; open and copies in brackets
	}{
		"testers by a header, and a route of both": {byHosts, `
  http:
  - match: [{headers: {x-tester: {exact: "yes"}, x-region: {}}}]
    route: [{destination: {host: shop-canary}}]
  - route: [{destination: {host: shop-stable}, weight: 100}, {destination: {host: shop-canary.web.svc.cluster.local}, weight: 0}]`,
			[]string{`canary: requests with header x-region and header x-tester: yes`}},
		"testers by a cookie, or a parameter below a path": {byHosts, `
  http:
  - match:
    - {headers: {cookie: {regex: ".*tester=1.*"}}}
    - {uri: {prefix: /beta}, method: {exact: GET}, queryParams: {beta: {exact: "1"}}}
    route: [{destination: {host: shop-canary}}]`,
			[]string{`canary: requests with header cookie: .*tester=1.*, or with method GET and uri /beta and parameter beta: 1`}},
		"a path of stable, and a port": {byHosts, `
  http:
  - match: [{uri: {prefix: /admin}, port: 8080}]
    route: [{destination: {host: shop-stable}}]`,
			[]string{`stable (open): requests with port 8080 and uri /admin`}},
		"names and connections without one": {byHosts, `
  tls:
  - match: [{port: 443, sniHosts: [beta.shop]}]
    route: [{destination: {host: shop-canary}}]
  tcp:
  - route: [{destination: {host: shop-canary}}]`,
			[]string{`canary (open): requests with port 443 and sniHosts [beta.shop]`, `canary (open): all requests`}},
		"a route of both that is not the rollout's": {onlyMain, `
  http:
  - {name: main, route: [{destination: {host: shop-stable}, weight: 100}, {destination: {host: shop-canary}, weight: 0}]}
  - {name: other, route: [{destination: {host: shop-stable}, weight: 30}, {destination: {host: shop-canary}, weight: 70}]}`,
			[]string{`stable (open): all requests`, `canary (open): all requests`}},
		"copies": {byHosts, `
  http:
  - mirror: {host: shop-canary}
    mirrorPercentage: {value: 50}
    route: [{destination: {host: shop-stable}, weight: 100}, {destination: {host: shop-canary}, weight: 0}]
  - mirrors: [{destination: {host: shadow}}, {destination: {host: shop-stable}, percentage: {value: 1}}]
    route: [{destination: {host: other}}]`,
			[]string{`canary (open) (copies): all requests`, `stable (open) (copies): all requests`}},
		"subsets, and those of another host": {bySubsets, `
  http:
  - match: [{headers: {x-tester: {exact: "yes"}}}]
    mirror: {host: shop, subset: stable}
    route: [{destination: {host: shop, subset: canary}}]
  - route: [{destination: {host: another, subset: canary}}]`,
			[]string{`canary: requests with header x-tester: yes`, `stable (copies): requests with header x-tester: yes`}},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			data, err := yaml.YAMLToJSON([]byte("kind: VirtualService\nmetadata: {name: shop, namespace: web}\nspec:" + c.spec))
			if err == nil {
				err = u.UnmarshalJSON(data)
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range c.routes.asides(u) {
				s := string(a.Arm)
				if a.Open() {
					s += " (open)"
				}
				if a.Copies {
					s += " (copies)"
				}
				got = append(got, s+": "+a.Requests())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

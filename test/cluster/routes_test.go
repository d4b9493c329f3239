//go:build plane

package cluster

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"serin.dev/serin/internal/engine"
)

const virtualService = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
  namespace: NS
  annotations: {note: "# keep: me\n  as I am"}
spec:
  hosts: [shop]
  http:
  - name: testers
    match: [{headers: {x-tester: {exact: "yes"}}}]
    route: [{destination: {host: shop-canary}}]
  - name: main
    timeout: 3s
    retries: {attempts: 2, perTryTimeout: 1s}
    mirrorPercentage: {value: 12.5}
    mirror: {host: shop-shadow}
    route:
    - destination: {host: shop-stable, port: {number: 80}}
      weight: 100
    - destination: {host: shop-canary, port: {number: 80}}
      weight: 0
  tcp:
  - match: [{port: 27017}]
    route:
    - {destination: {host: shop-stable}, weight: 100}
    - {destination: {host: shop-canary}, weight: 0}
`

const virtualServiceOfSubsets = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: NS}
spec:
  hosts: [shop]
  http:
  - timeout: 3s
    route:
    - destination: {host: shop, subset: stable}
      weight: 100
    - destination: {host: shop, subset: canary}
      weight: 0
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: NS}
spec:
  host: shop
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 100}}}
  subsets:
  - {name: stable, labels: {app: shop}}
  - {name: canary, labels: {app: shop}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: NS}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: http}]}
`

// object reads an object of Istio's.
func (s *shop) object(kind string) map[string]any {
	s.t.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("networking.istio.io/v1")
	u.SetKind(kind)
	s.get("shop", u)
	spec, _, _ := unstructured.NestedMap(u.Object, "spec")
	return map[string]any{"spec": spec, "annotations": u.GetAnnotations(), "labels": u.GetLabels()}
}

// withoutWeights is an object as it is but for the weights of routes.
func withoutWeights(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			if _, number := value.(int64); key == "weight" && number {
				continue
			}
			out[key] = withoutWeights(value)
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, value := range v {
			out = append(out, withoutWeights(value))
		}
		return out
	}
	return v
}

// weightsOf are all weights of a VirtualService, in their order.
func weightsOf(v any) []int64 {
	var out []int64
	switch v := v.(type) {
	case map[string]any:
		if w, ok := v["weight"].(int64); ok {
			return append(out, w)
		}
		for _, key := range []string{"spec", "http", "tls", "tcp", "route"} {
			out = append(out, weightsOf(v[key])...)
		}
	case []any:
		for _, value := range v {
			out = append(out, weightsOf(value)...)
		}
	}
	return out
}

// istioServes waits until a VirtualService has the weights.
func (s *shop) istioWeighs(want ...int64) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		if got := weightsOf(s.object("VirtualService")); !reflect.DeepEqual(got, want) {
			return fmt.Errorf("the weights are %v and not %v: %+v", got, want, s.rollout().Status)
		}
		return nil
	})
}

// There is no Istio here: what is tried is what the controller does to its
// objects on a real API server.
func TestIstioObjectsAreUntouchedButForTheirWeights(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, manifest, traffic, preset string
		rest, twenty                    []int64
	}{
		{"hosts", virtualService, "istio: {virtualService: shop}", "preset: istio", []int64{100, 0, 100, 0}, []int64{80, 20, 80, 20}},
		{"subsets", virtualServiceOfSubsets, "istio: {virtualService: shop, destinationRule: shop}", "preset: istioDestination", []int64{100, 0}, []int64{80, 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 2)
			s.apply(c.manifest)
			before, others := s.object("VirtualService"), map[string]map[string]any{}
			if strings.Contains(c.manifest, "kind: DestinationRule") {
				others["DestinationRule"] = s.object("DestinationRule")
			}
			s.roll(longPhases, "gatewayAPI: {httpRoute: shop}", c.traffic, "preset: traefik", c.preset)
			s.change("v2")
			s.istioWeighs(c.twenty...)
			if during := s.object("VirtualService"); !reflect.DeepEqual(withoutWeights(before), withoutWeights(during)) {
				t.Errorf("in the middle of a run more than weights has changed: %v", during)
			}
			s.says(2, "", "rollback", "shop", "--wait")
			s.istioWeighs(c.rest...)
			s.change("v3")
			s.istioWeighs(c.twenty...)
			s.says(0, "", "promote", "shop", "--full", "--wait")
			s.released(2, 2)
			s.istioWeighs(c.rest...)
			after := s.object("VirtualService")
			was, _ := json.Marshal(before)
			is, _ := json.Marshal(after)
			if string(was) != string(is) {
				t.Errorf("the VirtualService was\n%s\nand is\n%s", was, is)
			}
			for kind, was := range others {
				if is := s.object(kind); !reflect.DeepEqual(is, was) {
					t.Errorf("the %s was\n%v\nand is\n%v", kind, was, is)
				}
			}
		})
	}
}

// Who may not read a VirtualService, as with the cluster's own role edit, is told
// that instead of what it sends past the weights, and can do everything else.
func TestWhoMayNotReadAVirtualServiceIsToldSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, manifest, traffic, preset string
		twenty, fifty                   []int64
		aside                           string // that the route has
	}{
		{
			"hosts", virtualService, "istio: {virtualService: shop}", "preset: istio", []int64{80, 20, 80, 20}, []int64{50, 50, 50, 50},
			"requests with header x-tester: yes go to canary whatever the weight (VirtualService NS/shop: spec.http[0])",
		},
		{
			"subsets", virtualServiceOfSubsets, "istio: {virtualService: shop, destinationRule: shop}", "preset: istioDestination",
			[]int64{80, 20}, []int64{50, 50}, "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 2)
			s.apply(c.manifest)
			s.roll(longPhases, ownRoute, c.traffic, "preset: traefik", c.preset)
			s.change("v2")
			s.istioWeighs(c.twenty...)
			s.editor = cluster.Kubeconfig
			aside := strings.ReplaceAll(c.aside, "NS", s.namespace)
			s.says(0, aside, "describe", "shop")
			if out, _ := s.serin("describe", "shop"); strings.Contains(out, "may not be read") || (c.aside != "") != strings.Contains(out, "Besides:") {
				t.Errorf("who may read everything is told\n%s", out)
			}

			s.editor = s.person("edit")
			const unread = `may not be read: virtualservices.networking.istio.io "shop" is forbidden`
			s.says(0, "which requests go to a version whatever the weight "+unread, "describe", "shop")
			s.says(0, "v1, 2 of 2 instances ready", "describe", "shop")
			if out, _ := s.serin("describe", "shop"); strings.Contains(out, "go to canary") {
				t.Errorf("who may not read the route is told\n%s", out)
			}
			out, code := s.serin("describe", "shop", "-o", "json")
			var told struct {
				Rollout struct{ AsidesUnknown string }
			}
			if err := json.Unmarshal([]byte(out), &told); err != nil || code != 0 || !strings.HasPrefix(told.Rollout.AsidesUnknown, unread) {
				t.Errorf("serin describe -o json exits with %d and says (%v)\n%s", code, err, out)
			}
			s.says(0, "", "promote", "shop")
			s.istioWeighs(c.fifty...)
			s.says(2, "", "rollback", "shop", "--wait")
			if run := s.ends(1, limit); run.Status.Phase != string(engine.RolledBack) {
				t.Errorf("the run ended as %q: %s", run.Status.Phase, run.Status.Reason)
			}
		})
	}
}

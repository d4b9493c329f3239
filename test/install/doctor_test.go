//go:build plane

package install

import (
	"fmt"
	"strings"
	"testing"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/test/plane"
)

// What a rollout lacks is named with its mend, until it is there.
func TestDoctorOnARollout(t *testing.T) {
	installed(t)
	ns := namespace(t, "doctored")
	rollout := strings.NewReplacer("NS", ns, ", finalizers: [serin.dev/rollout]", "").Replace(midRun)
	rollout = rollout[strings.Index(rollout, "---\napiVersion: serin.dev"):strings.LastIndex(rollout, "---\n")]
	apply(t, rollout)
	serin(t, "doctor", "--cluster", "-n", ns).ends(t, 5).says(t,
		"doctored/shop: Deployment: there is no Deployment shop; create it",
		"there is no HTTPRoute shop in doctored",
		"there is no Service shop-stable",
	)
	apply(t, fmt.Sprintf(shop, ns, labelled, "v1"))
	serves(t, ns, "v1")
	services := strings.NewReplacer("NS", ns, ", pod-template-hash: STABLE", "", ", pod-template-hash: canary1", "").Replace(midRun)
	apply(t, services[:strings.Index(services, "---\napiVersion: serin.dev")])
	found := serin(t, "doctor", "--cluster", "-n", ns, "shop").ends(t, 5).says(t,
		"shop is there and belongs to this rollout", "HTTPRoute doctored/shop: Gateway gateway has not answered for it; see `kubectl describe httproute shop -n doctored`",
	)
	if strings.Contains(found.out, "there is no ") {
		t.Errorf("doctor misses what is there:\n%s", found.out)
	}
	kubectl(t, "-n", ns, "patch", "httproute", "shop", "--type=json", "-p", `[{"op":"replace","path":"/spec/rules/0/backendRefs/1/name","value":"other"}]`)
	serin(t, "doctor", "--cluster", "-n", ns, "shop").ends(t, 5).says(t, "has no rule that names both Service shop-stable and Service shop-canary", "  - name: shop-canary")
	// Such a route does not keep Serin from being taken out, nor does a mistake.
	apply(t, strings.NewReplacer("{name: shop, namespace", "{name: mistaken, namespace", "{deployment: {name: shop}}", "{deployment: {name: other}}",
		"{httpRoute: shop}}", "{httpRoute: shop, grpcRoute: shop}}").Replace(rollout))
	serin(t, "uninstall").ends(t, 0).says(t,
		"canaryrollout/shop in doctored configured: its route is left as it is",
		"canaryrollout/mistaken in doctored configured: its route is left as it is: its spec has a mistake: spec.traffic.gatewayAPI",
	)
	kubectl(t, "delete", "namespace", ns, "--wait=false")
}

// Each thing that would keep a run from beginning, or let a new template past
// Serin, is found and named with what mends it.
func TestDoctorFindsWhatKeepsARunFromBeginning(t *testing.T) {
	installed(t)
	ns := namespace(t, "examined")
	another := namespace(t, "another")
	apply(t, fmt.Sprintf(shop, ns, labelled, "v1"))
	serves(t, ns, "v1")
	manifest := strings.NewReplacer("NS", ns, ", pod-template-hash: STABLE", "", ", pod-template-hash: canary1", "", ", finalizers: [serin.dev/rollout]", "").Replace(midRun)
	manifest = manifest[:strings.Index(manifest, "---\napiVersion: serin.dev/v1alpha1\nkind: CanaryRun\n")]
	apply(t, manifest)
	patch := func(object, how, with string, more ...string) {
		t.Helper()
		kubectl(t, append([]string{"-n", ns, "patch", object, "--type=" + how, "-p", with}, more...)...)
	}
	generation := func() string {
		return kubectl(t, "-n", ns, "get", "httproute", "shop", "-o", "jsonpath={.metadata.generation}")
	}
	// accept answers for the route as its gateway does.
	accept := func() {
		t.Helper()
		conditions := ""
		for _, kind := range []string{"Accepted", "ResolvedRefs"} {
			conditions += fmt.Sprintf(`,{"type":%q,"status":"True","reason":%q,"message":"","observedGeneration":%s,"lastTransitionTime":"2026-01-01T00:00:00Z"}`, kind, kind, generation())
		}
		patch("httproute/shop", "merge", `{"status":{"parents":[{"parentRef":{"name":"gateway"},"controllerName":"example.test/gateway","conditions":[`+conditions[1:]+`]}]}}`, "--subresource=status")
	}
	doctor := func() told {
		t.Helper()
		return serin(t, "doctor", "--cluster", "-n", ns, "shop")
	}
	accept()
	for _, line := range strings.Split(doctor().says(t, "HTTPRoute shop can split between the arms", "the controller has not looked at it as it is written now").out, "\n") {
		// There is no Prometheus here; that is all.
		if strings.HasPrefix(line, "missing") && !strings.Contains(line, "nothing says which Prometheus to ask") {
			t.Errorf("at first doctor says %s", line)
		}
	}
	for _, c := range []struct {
		name     string
		spoil    func()
		says     []string
		restored func()
	}{
		{
			"the gateway has not seen the route as it is",
			func() { patch("httproute/shop", "merge", `{"spec":{"hostnames":["other.example"]}}`) },
			[]string{"Accepted is true for generation", "see `kubectl describe httproute shop -n examined`"},
			accept,
		},
		{
			"the arms are in two rules",
			func() {
				patch("httproute/shop", "merge", `{"spec":{"rules":[{"backendRefs":[{"name":"shop-stable","port":80}]},{"matches":[{"headers":[{"name":"x-tester","value":"yes"}]}],"backendRefs":[{"name":"shop-canary","port":80}]}]}}`)
				accept()
			},
			[]string{"has no rule that names both Service shop-stable and Service shop-canary", "  - name: shop-canary"},
			func() {
				patch("httproute/shop", "merge", `{"spec":{"rules":[{"backendRefs":[{"name":"shop-stable","port":80,"weight":100},{"name":"shop-canary","port":80,"weight":0}]}]}}`)
				accept()
			},
		},
		{
			"a baseline that the route does not name",
			func() { patch("canaryrollout/shop", "merge", `{"spec":{"plan":{"baseline":true}}}`) },
			[]string{"names both arms and no baseline", "add {name: shop-baseline"},
			func() { patch("canaryrollout/shop", "json", `[{"op":"remove","path":"/spec/plan"}]`) },
		},
		{
			"the policy is bound to nothing",
			func() { kubectl(t, "delete", "mutatingadmissionpolicybinding", "serin-hold") },
			[]string{"has no MutatingAdmissionPolicyBinding", "run `serin install`"},
			func() { installed(t) },
		},
		{
			"the namespace is carried no longer",
			func() { installed(t, "--namespaces", another) },
			[]string{
				"carries the rollouts of another alone, so nobody looks after this one; name it too: `serin install --namespaces another,examined`",
				"the policy is not bound to the namespace examined",
			},
			func() { installed(t) },
		},
		{
			"the controller says that it cannot",
			func() {
				patch("canaryrollout/shop", "merge", `{"status":{"weight":0,"observedGeneration":99,"conditions":[{"type":"Stalled","status":"True","reason":"Duplicate","message":"the CanaryRollout first is about the same Deployment","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, "--subresource=status")
			},
			[]string{"the controller says Duplicate: the CanaryRollout first is about the same Deployment"},
			func() {
				patch("canaryrollout/shop", "json", `[{"op":"remove","path":"/status"}]`, "--subresource=status")
			},
		},
		{
			"a weight that is just below what the pods make",
			func() {
				apply(t, "{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: "+ns+"}, spec: {selector: {app: shop}, ports: [{port: 80}]}}")
				patch("canaryrollout/shop", "merge", `{"spec":{"traffic":{"gatewayAPI":null,"service":{}}}}`)
				kubectl(t, "-n", ns, "scale", "deployment/shop", "--replicas=18")
			},
			[]string{"spec.plan.phases[0].weight 5 % cannot be made by the number of pods: one canary pod beside 18 of stable gets 5.3 %; write 6 or more, run 19 pods"},
			func() { kubectl(t, "-n", ns, "scale", "deployment/shop", "--replicas=2") },
		},
	} {
		c.spoil()
		found := doctor().ends(t, 5)
		for _, text := range c.says {
			if !strings.Contains(found.out, text) {
				t.Errorf("%s: doctor did not say %q but\n%s", c.name, text, found.out)
			}
		}
		c.restored()
	}
	if labels := deployment(t, ns).Labels; labels[serinv1.RolloutLabel] != "shop" {
		t.Errorf("doctor wrote: the labels are %v", labels)
	}
	kubectl(t, "-n", ns, "delete", "canaryrollout", "shop") // the tests after this one begin without any
	kubectl(t, "delete", "namespace", ns, another, "--wait=false")
}

// What a route through Istio, or one in another namespace, lacks is found and
// named, from the missing kinds on.
func TestDoctorFindsWhatIstioAndOtherNamespacesLack(t *testing.T) {
	installed(t)
	ns, infra := namespace(t, "meshed"), namespace(t, "infra")
	apply(t, fmt.Sprintf(shop, ns, labelled, "v1"))
	serves(t, ns, "v1")
	rollout := func(traffic string) {
		t.Helper()
		apply(t, "{apiVersion: serin.dev/v1alpha1, kind: CanaryRollout, metadata: {name: shop, namespace: "+ns+"}, spec: {workload: {deployment: {name: shop}}, traffic: "+traffic+"}}")
	}
	// finds runs doctor, which says every text, and none of those after "".
	finds := func(when string, texts ...string) {
		t.Helper()
		found, want := serin(t, "doctor", "--cluster", "-n", ns, "shop").ends(t, 5).out, true
		for _, text := range texts {
			if text == "" {
				want = false
			} else if strings.Contains(found, text) != want {
				t.Errorf("%s: that doctor says %q is %t, want %t:\n%s", when, text, !want, want, found)
			}
		}
	}
	const unknown = "Istio is not installed"
	rollout("{istio: {virtualService: shop, destinationRule: shop}}")
	finds("without Istio", "the API server does not know VirtualService: "+unknown, "install Istio", "the API server does not know DestinationRule")

	definitions, err := plane.Istio(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.ApplyObjects(t.Context(), definitions); err != nil {
		t.Fatal(err)
	}
	finds("without its objects", "there is no VirtualService shop in meshed", "there is no DestinationRule shop in meshed", "", unknown)

	const istio = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: NS}
spec: {hosts: [shop], http: [{route: [{destination: {host: shop, subset: stable}, weight: 100}, {destination: {host: shop, subset: canary}, weight: 0}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: NS}
spec: {selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: NS}
spec:
  host: shop
  subsets:
  - {name: stable, labels: {app: shop}}
`
	objects := strings.ReplaceAll(istio, "NS", ns)
	apply(t, objects)
	const lacks, usable = "DestinationRule meshed/shop has no subset named canary; add it", "VirtualService shop can split between the arms"
	finds("without a subset", lacks, "", usable, "there is no VirtualService", "there is no DestinationRule")
	apply(t, objects+"  - {name: canary, labels: {app: shop}}\n")
	finds("with both subsets", usable, "", lacks)
	kubectl(t, "delete", "crd/virtualservices.networking.istio.io", "crd/destinationrules.networking.istio.io")

	rollout("{gatewayAPI: {httpRoute: shop, namespace: " + infra + "}}")
	services := strings.NewReplacer("NS", ns, ", pod-template-hash: STABLE", "", ", pod-template-hash: canary1", "").Replace(midRun)
	apply(t, services[:strings.Index(services, "---\napiVersion: gateway")])
	apply(t, `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: shop, namespace: infra}, spec: {parentRefs: [{name: gateway}],
  rules: [{backendRefs: [{name: shop-stable, namespace: meshed, port: 80, weight: 100}, {name: shop-canary, namespace: meshed, port: 80, weight: 0}]}]}}`)
	const ungranted = "no ReferenceGrant allows it. Create one in meshed with from: {group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: infra}"
	finds("without a ReferenceGrant", "a HTTPRoute in namespace infra may not reach Service meshed/shop-stable", ungranted)
	apply(t, `{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: infra, namespace: meshed},
  spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: infra}], to: [{group: "", kind: Service}]}}`)
	finds("with it", "HTTPRoute infra/shop: Gateway gateway has not answered for it", "", "ReferenceGrant")

	kubectl(t, "-n", ns, "delete", "canaryrollout", "shop") // the tests after this one begin without any
	kubectl(t, "delete", "namespace", ns, infra, "--wait=false")
}

//go:build plane

package install

import (
	"fmt"
	"strings"
	"testing"

	serinv1 "serin.dev/serin/api/v1alpha1"
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

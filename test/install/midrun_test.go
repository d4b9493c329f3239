//go:build plane

package install

import (
	"fmt"
	"strings"
	"testing"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// midRun is a run at 25 %, as the controller left it when it died: the route,
// the Services held to the two groups of pods, the canary's ReplicaSet, and the
// objects of the run.
const midRun = `
apiVersion: v1
kind: Service
metadata: {name: shop-stable, namespace: NS}
spec: {selector: {app: shop, pod-template-hash: STABLE}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop-canary, namespace: NS}
spec: {selector: {app: shop, pod-template-hash: canary1}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: NS}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - backendRefs:
    - {name: shop-stable, port: 80, weight: 75}
    - {name: shop-canary, port: 80, weight: 25}
---
apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop, namespace: NS, finalizers: [serin.dev/rollout]}
spec:
  workload: {deployment: {name: shop}}
  traffic: {gatewayAPI: {httpRoute: shop}}
---
apiVersion: serin.dev/v1alpha1
kind: CanaryRun
metadata: {name: shop-1, namespace: NS, finalizers: [serin.dev/run], labels: {serin.dev/rollout: shop}}
spec:
  rollout: shop
  number: 1
  stable: {version: v1, hash: STABLE, replicaSet: shop-STABLE}
  canary: {version: v2, hash: canary1, replicaSet: shop-canary1}
  startedAt: "2026-01-01T00:00:00.000000Z"
  pinned:
    apiVersion: serin.dev/v1alpha1
    kind: CanaryRollout
    metadata: {name: shop, namespace: NS}
    spec:
      workload: {deployment: {name: shop}}
      traffic: {gatewayAPI: {httpRoute: shop}}
`

const canarySet = `
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: shop-canary1
  namespace: NS
  labels: {app: shop, pod-template-hash: canary1}
  ownerReferences: [{apiVersion: serin.dev/v1alpha1, kind: CanaryRun, name: shop-1, uid: UID, controller: true}]
spec:
  replicas: 1
  selector: {matchLabels: {app: shop, pod-template-hash: canary1}}
  template:
    metadata: {labels: {app: shop, pod-template-hash: canary1}}
    spec: {containers: [{name: shop, image: "IMAGE"}]}
`

// In the middle of a run, with a controller that does nothing, everything goes
// back to the version that serves and nothing is left that depends on Serin.
func TestUninstallInTheMiddleOfARun(t *testing.T) {
	installed(t)
	ns := namespace(t, "midrun")
	held(t, ns)
	get := func(args ...string) string {
		t.Helper()
		return kubectl(t, append([]string{"-n", ns, "get"}, args...)...)
	}
	serving, before := servingImage(t, ns), pods(t, ns)
	stable := strings.Fields(get("pods", "-o", `jsonpath={.items[*].metadata.labels.pod-template-hash}`))[0]
	fill := func(s, uid string) string {
		return strings.NewReplacer("NS", ns, "STABLE", stable, "UID", uid, "IMAGE", image(deployment(t, ns))).Replace(s)
	}
	apply(t, fill(midRun, ""))
	apply(t, fill(canarySet, get("canaryrun", "shop-1", "-o", "jsonpath={.metadata.uid}")))
	eventually(t, func() error {
		if n := strings.Count(pods(t, ns), "pod/"); n != 3 {
			return fmt.Errorf("%d pods, want the canary's too", n)
		}
		return nil
	})

	serin(t, "uninstall", "--dry-run", "--patience", "0").ends(t, 0).says(t, "canaryrun/shop-1 in midrun configured", "its route goes to weight 0")
	if w := get("httproute", "shop", "-o", "jsonpath={.spec.rules[0].backendRefs[*].weight}"); w != "75 25" {
		t.Fatalf("after a dry run the weights are %s", w)
	}

	serin(t, "uninstall", "--patience", "0", "--drain", "0s").ends(t, 0).says(t, "the run ended as rolledBack", "replicaset/shop-canary1 in midrun deleted")
	if w := get("httproute", "shop", "-o", "jsonpath={.spec.rules[0].backendRefs[*].weight}"); w != "100 0" {
		t.Errorf("the weights are %s, want everything to stable", w)
	}
	for _, s := range []string{"shop-stable", "shop-canary"} {
		if selector := get("service", s, "-o", "jsonpath={.spec.selector}"); strings.Contains(selector, serinv1.HashLabel) {
			t.Errorf("%s still selects %s", s, selector)
		}
	}
	if d := deployment(t, ns); d.Spec.Paused || image(d) != serving || d.Labels[serinv1.RolloutLabel] != "" {
		t.Errorf("the Deployment is paused %t with %s and labels %v", d.Spec.Paused, image(d), d.Labels)
	}
	eventually(t, func() error {
		if after := pods(t, ns); after != before {
			return fmt.Errorf("the pods are\n%s and were\n%s", after, before)
		}
		return nil
	})
	for _, o := range []string{"canaryrun/shop-1", "canaryrollout/shop"} {
		if f := get(o, "-o", "jsonpath={.metadata.finalizers}"); f != "" {
			t.Errorf("%s has the finalizers %s", o, f)
		}
	}
	if end := get("canaryrun", "shop-1", "-o", "jsonpath={.status.phase} {.status.endedAt}"); !strings.HasPrefix(end, "rolledBack 20") {
		t.Errorf("the run's end is %q", end)
	}
	// Again, there is nothing to do but to say that the kinds are kept.
	serin(t, "uninstall").ends(t, 0)
	kubectl(t, "delete", "namespace", ns, "--wait=false")
}

//go:build plane

package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/test/plane"
)

const (
	ownRoute = "gatewayAPI: {httpRoute: shop}"
	// ownToken has the controller send its own token to whoever answers at url.
	ownToken = `url: "` + plane.PrometheusURL + `", token: {file: /var/run/secrets/kubernetes.io/serviceaccount/token}`
)

// What cannot work is said with the object and the field, nothing begins, and the
// version that serves goes on serving.
func TestBadInputIsSaidAndStableServes(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	users := send(t, s.host, 20)
	for _, c := range []struct {
		name, reason string
		instead      []string
		says         []string
	}{
		{"no such Deployment", "Unreadable", []string{"deployment: {name: shop}", "deployment: {name: nobody}"}, []string{"spec.workload.deployment.name: there is no Deployment nobody"}},
		{"no such route", "Traffic", []string{ownRoute, "gatewayAPI: {httpRoute: nowhere}"}, []string{"HTTPRoute NS/nowhere does not exist", "spec.traffic"}},
		{
			"no such Service", "Traffic", []string{ownRoute, "gatewayAPI: {httpRoute: shop, stableService: a, canaryService: b, service: c}"},
			[]string{"Service NS/a does not exist, and neither does c", "in the field service"},
		},
		{
			"a route that names neither arm", "Traffic", []string{ownRoute, "gatewayAPI: {httpRoute: shop, stableService: a, canaryService: b, service: shop-stable}"},
			[]string{"HTTPRoute NS/shop has no rule that names both Service a and Service b"},
		},
		{
			"a secret of the controller's own", "Invalid", []string{`url: "` + plane.PrometheusURL + `"`, ownToken},
			[]string{"spec.analysis.metrics.prometheus", "/var/run/secrets/kubernetes.io/serviceaccount/token", "/etc/serin/credentials"},
		},
	} {
		s.apply(rolloutOf(longPhases, c.instead...))
		for _, part := range c.says {
			s.tells("shop", "Stalled", c.reason, strings.ReplaceAll(part, "NS", s.namespace))
		}
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
	s.kubectl("delete", "service", "a", "b") // made after shop-stable, and nobody's now
	s.roll(longPhases)

	// A field that there is not is refused before it is there.
	file := s.file(strings.Replace(rolloutOf(longPhases), "holdTimeout", "holdTimeouts", 1))
	if out, err := cluster.Kubectl(t.Context(), "apply", "-f", file); err == nil || !strings.Contains(err.Error(), "spec.plan.holdTimeouts") {
		t.Errorf("an unknown field: %v: %s", err, out)
	}

	// Somebody's own pause is left alone, and said.
	s.kubectl("rollout", "pause", "deployment/shop")
	s.tells("shop", "Stalled", "Paused", "Deployment shop: spec.paused was set by kubectl")
	s.change("v2")
	s.tells("shop", "Stalled", "Paused", "v1 serves and v2 waits")
	if n := len(s.runs()); n != 0 {
		t.Errorf("%d runs have begun", n)
	}
	if got := count(users.got(time.Time{})); got.versions["v1"] != got.all {
		t.Errorf("who answered: %v of %d", got.versions, got.all)
	}
	s.kubectl("rollout", "resume", "deployment/shop")
	s.weighs(20)
	s.says(2, "", "rollback", "shop", "--wait")
	s.unharmed(users)
}

// A mistake that is written into the rollout in the middle of a run neither moves
// the run, which goes by what it pinned, nor keeps anybody from rolling it back or
// from deleting the rollout: then everything is its owner's again.
func TestAMistakeInTheMiddleOfARunKeepsNobodyFromGoingBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, field string
		instead     []string
	}{
		{"in its metrics", "spec.analysis.metrics.prometheus", []string{`url: "` + plane.PrometheusURL + `"`, ownToken}},
		{"in its route", "grpcRoute", []string{ownRoute, "gatewayAPI: {httpRoute: shop, grpcRoute: shop}"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, users := inARun(t, 20)
			s.apply(rolloutOf(longPhases, c.instead...))
			time.Sleep(2 * tick)
			if run := s.runs()[0]; run.Status.EndedAt != nil || run.Status.Weight != 20 {
				t.Errorf("the run is at %q, weight %d: %s", run.Status.Phase, run.Status.Weight, run.Status.Reason)
			}
			s.says(0, "this is v2", "logs", "shop", "--arm", "canary")
			s.says(2, "", "rollback", "shop", "--wait")
			s.rolledBack(1, "")
			s.tells("shop", "Stalled", "Invalid", c.field)
			s.kubectl("delete", "canaryrollout", "shop", "--wait=true", "--timeout=60s")
			s.forgotten("shop")
			s.change("v1") // an ordinary Deployment goes where it is told to
			s.kubectl("rollout", "resume", "deployment/shop")
			s.unheld(2)
			s.unharmed(users)
		})
	}
}

// forgotten asks that nothing holds a Deployment or its Services any more.
func (s *shop) forgotten(deployment string) {
	s.t.Helper()
	out, err := cluster.Kubectl(s.t.Context(), "get", "deployment", deployment, "-n", s.namespace, "-o", "jsonpath={.metadata.labels}")
	if err != nil || strings.Contains(out, serinv1.RolloutLabel) {
		s.t.Errorf("the Deployment %s has the labels %s, %v", deployment, out, err)
	}
	out, err = cluster.Kubectl(s.t.Context(), "get", "service", "-n", s.namespace, "-o", "jsonpath={.items[*].spec.selector}")
	if err != nil || strings.Contains(out, serinv1.HashLabel) {
		s.t.Errorf("the Services select %s, %v", out, err)
	}
}

// A Deployment that the rollout does not name any more is its owner's alone, and
// so is one that somebody copied with the label.
func TestADeploymentThatIsNamedNoMoreIsLetGo(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	other := strings.NewReplacer("name: shop, namespace: NS, labels: {app: shop}", "name: other, namespace: NS, labels: {app: other, serin.dev/rollout: shop}", "app: shop", "app: other").Replace(s.manifest("v1", 1))
	if !strings.Contains(other, "serin.dev/rollout: shop") {
		t.Fatalf("the copy has no label: %s", other)
	}
	s.apply(other)
	s.apply(strings.Replace(rolloutOf(longPhases), "deployment: {name: shop}", "deployment: {name: other}", 1))
	eventually(t, limit, func() error {
		labels, err := cluster.Kubectl(t.Context(), "get", "deployment", "-n", s.namespace, "-o", `jsonpath={range .items[*]}{.metadata.name}={.metadata.labels.serin\.dev/rollout} {end}`)
		if err == nil && strings.TrimSpace(labels) != "other=shop shop=" {
			err = fmt.Errorf("the Deployments' labels are %s", labels)
		}
		return err
	})
	s.change("v2") // and nobody holds it
	s.unheld(2)
	s.apply(rolloutOf(longPhases))
	s.tells("shop", "Ready", "Serving", "v2 serves")
	eventually(t, limit, func() error {
		labels, err := cluster.Kubectl(t.Context(), "get", "deployment", "other", "-n", s.namespace, "-o", "jsonpath={.metadata.labels}")
		if err == nil && strings.Contains(labels, serinv1.RolloutLabel) {
			err = fmt.Errorf("the other's labels are %s", labels)
		}
		return err
	})
}

// forbid has the API server refuse Serin's writes to the routes of the shop's
// namespace.
const forbid = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NS}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [gateway.networking.k8s.io], apiVersions: ["*"], resources: [httproutes], operations: [UPDATE]}
  validations:
  - {expression: "request.userInfo.username != 'system:serviceaccount:serin-system:serin-controller'", message: not permitted here, reason: Forbidden}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NS}
spec:
  policyName: NS
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}}
`

// Without the permission to write the route nothing is released, which object it is
// about is said, and with the permission it goes on by itself.
func TestARouteThatSerinMayNotWrite(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	policy := s.file(forbid)
	s.kubectl("apply", "-f", policy)
	t.Cleanup(func() { _, _ = cluster.Kubectl(t.Context(), "delete", "--wait=false", "-f", policy) })
	// The API server follows a new policy a moment after it was made.
	route := `[{"op":"add","path":"/metadata/annotations","value":{"tried":"yes"}}]`
	eventually(t, limit, func() error {
		out, err := cluster.Kubectl(t.Context(), "patch", "httproute", "shop", "-n", s.namespace, "--type=json", "-p", route,
			"--as=system:serviceaccount:serin-system:serin-controller", "--dry-run=server")
		if err == nil || !strings.Contains(err.Error(), "not permitted here") {
			return fmt.Errorf("it may be written: %s, %s", out, fmt.Sprint(err))
		}
		return nil
	})
	users := send(t, s.host, 20)
	s.change("v2")
	s.tells("shop", "Stalled", "Trouble", "HTTPRoute "+s.namespace+"/shop")
	s.tells("shop", "Stalled", "Trouble", "not permitted here")
	if got := count(users.got(time.Time{})); got.versions["v1"] != got.all {
		t.Errorf("who answered: %v of %d", got.versions, got.all)
	}
	s.kubectl("delete", "-f", policy)
	s.weighs(20)
	s.says(2, "", "rollback", "shop", "--wait")
	s.unharmed(users)
}

// A VirtualService is edited in the middle of a run: what Serin does not write
// stays as it was edited, and one that sends nothing to the canary any more is
// said, with its name, until it is mended.
func TestAVirtualServiceIsEditedInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.apply(virtualService)
	s.roll(longPhases, ownRoute, "istio: {virtualService: shop}", "preset: traefik", "preset: istio")
	s.change("v2")
	s.istioWeighs(80, 20, 80, 20)
	edit := func(patch string) {
		t.Helper()
		s.kubectl("patch", "virtualservice", "shop", "--type=json", "-p", patch)
	}
	edit(`[{"op":"replace","path":"/spec/http/1/timeout","value":"7s"}]`)
	s.says(0, "", "promote", "shop")
	s.istioWeighs(50, 50, 50, 50)
	if out, err := cluster.Kubectl(t.Context(), "get", "virtualservice", "shop", "-n", s.namespace, "-o", "jsonpath={.spec.http[1].timeout}"); err != nil || out != "7s" {
		t.Errorf("the timeout is %s, %v", out, err)
	}
	edit(`[{"op":"replace","path":"/spec/http/1/route","value":[{"destination":{"host":"shop-stable","port":{"number":80}}}]},{"op":"remove","path":"/spec/tcp"}]`)
	s.tells("shop", "Stalled", "Trouble", "VirtualService "+s.namespace+"/shop")
	edit(`[{"op":"replace","path":"/spec/http/1/route","value":[{"destination":{"host":"shop-stable","port":{"number":80}},"weight":100},{"destination":{"host":"shop-canary","port":{"number":80}},"weight":0}]}]`)
	s.says(2, "", "rollback", "shop", "--wait")
	s.istioWeighs(100, 0)
	s.rolledBack(1, "")
}

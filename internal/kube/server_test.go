//go:build plane

package kube_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/test/plane"
)

var cluster *plane.Plane

func TestMain(m *testing.M) {
	os.Exit(plane.Run(m, plane.Options{Manifests: []string{"crds"}, NoControllers: true}, &cluster))
}

// good is the sample of the rollout's file, on a cluster.
const good = `apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: NAME}
spec:
  workload:
    deployment: {name: shop}
  traffic:
    istio: {virtualService: shop}
  plan:
    prepare: 10m
    phases:
    - {weight: 5, duration: 30m}
    - {weight: 10, duration: 30m}
    - {weight: 25, duration: 30m}
    - {weight: 50, duration: 30m}
    - {weight: 100, duration: 30m}
    early: null
    holdTimeout: 5m
  analysis:
    interval: 10s
    alpha: 0.01
    metrics: {}
    checks:
    - {name: errors,     type: errorRate,    rollback: {ratio: 2}}
    - {name: latency,    type: responseTime, rollback: {increase: 10%}}
    - {name: cpu,        type: cpu,          rollback: {increase: 20%}}
    - {name: memory,     type: memory,       rollback: {increase: 20%}}
    - {name: exceptions, type: exceptions}
  tests: []
  hooks:
  - {name: go, at: beforePromote, approval: {}}
  notify: []
  archive: {}
`

func apply(t *testing.T, document string, args ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rollout.yaml")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return cluster.Kubectl(t.Context(), append([]string{"apply", "-f", file}, args...)...)
}

func TestTheAPIServerTakesTheSample(t *testing.T) {
	for name, args := range map[string][]string{"client-side": nil, "server-side": {"--server-side"}} {
		if _, err := apply(t, strings.Replace(good, "NAME", name, 1), args...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Minimal, and with a name as long as it may be.
	if _, err := apply(t, "apiVersion: serin.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {name: "+strings.Repeat("a", 56)+"}\nspec: {workload: {deployment: {name: shop}}, traffic: {service: {}}}\n"); err != nil {
		t.Error(err)
	}
	for _, resource := range []string{"serin", "cro", "canaryrollouts"} {
		out, err := cluster.Kubectl(t.Context(), "get", resource)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"NAME", "PHASE", "WEIGHT", "VERDICT", "REASON", "AGE", "client-side", "server-side"} {
			if !strings.Contains(out, word) {
				t.Errorf("kubectl get %s has no %s:\n%s", resource, word, out)
			}
		}
	}
	out, err := cluster.Kubectl(t.Context(), "explain", "canaryrollout.spec.plan.holdTimeout")
	if err != nil || !strings.Contains(out, "Default: 5m") {
		t.Errorf("kubectl explain says %s, %v", out, err)
	}
}

func TestTheAPIServerRefusesWhatCannotBeRight(t *testing.T) {
	for _, c := range []struct{ name, old, new, message string }{
		{"an unknown field", "prepare: 10m", "prepares: 10m", `unknown field "spec.plan.prepares"`},
		{"an adapter of one machine", "deployment: {name: shop}", "process: {}", `unknown field "spec.workload.process"`},
		{"no workload", "\n    deployment: {name: shop}", " {}", "spec.workload: Invalid value: write exactly one of: deployment"},
		{"two routers", "istio: {virtualService: shop}", "istio: {virtualService: shop}\n    service: {}", "spec.traffic: Invalid value: write exactly one of: gatewayAPI, istio, service"},
		{"no router", "  traffic:\n    istio: {virtualService: shop}\n", "", "spec.traffic: Required value"},
		{"falling weights", "{weight: 25,", "{weight: 7,", "spec.plan.phases: Invalid value: weights must rise from phase to phase"},
		{"the same weight twice", "{weight: 25,", "{weight: 10,", "spec.plan.phases: Invalid value: weights must rise from phase to phase"},
		{"a weight above 100", "{weight: 100,", "{weight: 101,", "spec.plan.phases[4].weight"},
		{"a weight of 0", "{weight: 5,", "{weight: 0,", "spec.plan.phases[0].weight"},
		{"a duration without a unit", "holdTimeout: 5m", `holdTimeout: "5"`, "spec.plan.holdTimeout: Invalid value: \"5\": write a duration such as 30m"},
		{"a negative duration", "holdTimeout: 5m", "holdTimeout: -5m", "spec.plan.holdTimeout: Invalid value: \"-5m\": write a duration such as 30m"},
		{"an alpha that is none", "alpha: 0.01", "alpha: 0.9", "spec.analysis.alpha: Invalid value: 0.9"},
		{"an alpha of 0", "alpha: 0.01", "alpha: 0", "spec.analysis.alpha: Invalid value: 0"},
		{"two checks of one name", "name: latency, ", "name: errors,  ", "spec.analysis.checks: Invalid value: two of them have the same name"},
		{"two margins", "{ratio: 2}", "{ratio: 2, increase: 10%}", "spec.analysis.checks[0].rollback: Invalid value: write exactly one of: decrease, increase, ratio"},
		{"a margin without a percent sign", "{increase: 10%}", `{increase: "10"}`, "spec.analysis.checks[1].rollback.increase: Invalid value: \"10\": write a percentage such as 10%"},
		{"a check of no type", "type: errorRate, ", "type: errors, ", `Unsupported value: "errors"`},
		{"a hook that does nothing", ", approval: {}", "", "spec.hooks[0]: Invalid value: write exactly one of: approval, http"},
		{"a name that no Service can have", "NAME", "shop.v1", "metadata.name: up to 56 lower-case letters, digits and hyphens"},
		{"a name that is too long", "NAME", strings.Repeat("a", 57), "metadata.name: up to 56 lower-case letters, digits and hyphens"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(good, strings.TrimSuffix(c.old, " ")) {
				t.Fatalf("the sample has no %q", c.old)
			}
			document := strings.Replace(good, strings.TrimSuffix(c.old, " "), strings.TrimSuffix(c.new, " "), 1)
			_, err := apply(t, strings.Replace(document, "NAME", "bad", 1))
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("want %q, got %v", c.message, err)
			}
		})
	}
}

// What installers and tests get is what is applied.
func TestTheEmbeddedDefinitionsAreServed(t *testing.T) {
	crds, err := kube.CRDs()
	if err != nil || len(crds) != 3 {
		t.Fatalf("%d definitions, %v", len(crds), err)
	}
	for _, crd := range crds {
		deadline := time.Now().Add(30 * time.Second)
		for {
			_, err := cluster.Kubectl(t.Context(), "get", crd.Name)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

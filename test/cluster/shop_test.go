//go:build plane

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/test/plane"
)

// shop is a service in a namespace of its own, behind an HTTPRoute.
type shop struct {
	t         *testing.T
	namespace string
	host      string
	// editor is the kubeconfig of a person who works on the shop, once there is one.
	editor string
}

const shopManifest = `apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: NS, labels: {app: shop}}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels: {app: shop}
      annotations: {prometheus.io/scrape: "true", prometheus.io/port: "8080"}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: shop
        image: sample:v1
        args: [-listen=$(POD_IP):8080, -version=v1]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {periodSeconds: 1, httpGet: {path: /health, port: http}}
---
apiVersion: v1
kind: Service
metadata: {name: shop-stable, namespace: NS}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop-canary, namespace: NS}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: NS}
spec:
  parentRefs: [{name: gateway, namespace: gateway}]
  hostnames: [NS.example]
  rules:
  - backendRefs:
    - {name: shop-stable, port: 80, weight: 100}
    - {name: shop-canary, port: 80, weight: 0}
`

const rolloutManifest = `apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop, namespace: NS}
spec:
  workload: {deployment: {name: shop}}
  traffic: {gatewayAPI: {httpRoute: shop}}
  plan:
    prepare: 60s
    drain: 3s
    holdTimeout: 60s
    phases: PHASES
  analysis:
    interval: 2s
    metrics: {prometheus: {url: "` + plane.PrometheusURL + `", preset: traefik}}
    checks: [{name: errors, type: errorRate}, {name: latency, type: responseTime}]
`

// quickPhases are few and short: what they are judged by is the tests' own.
const quickPhases = "[{weight: 5, duration: 10s}, {weight: 50, duration: 10s}, {weight: 100, duration: 6s}]"

// open makes a shop whose first version serves. Pairs of what stands in the
// manifest and what is to stand there can be given.
func open(t *testing.T, replicas int, instead ...string) *shop {
	t.Helper()
	if err := install(); err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, namespace: fmt.Sprintf("shop-%d", time.Now().UnixNano()%1e9)}
	s.host = s.namespace + ".example"
	s.apply(strings.NewReplacer("REPLICAS", fmt.Sprint(replicas)).Replace(strings.NewReplacer(instead...).Replace(shopManifest)))
	t.Cleanup(func() {
		if t.Failed() {
			s.tell()
		}
		_ = admin(t).Delete(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
	})
	s.serves(replicas)
	return s
}

// serves waits until so many pods serve behind the gateway.
func (s *shop) serves(replicas int) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		d := s.deployment()
		if d.Status.AvailableReplicas != int32(replicas) {
			return fmt.Errorf("%d of %d pods are available", d.Status.AvailableReplicas, replicas)
		}
		return nil
	})
	eventually(s.t, limit, func() error {
		if got := count(askTimes(s.host, 10)); got.failed > 0 {
			return fmt.Errorf("the gateway does not answer yet: %v", got.why)
		}
		return nil
	})
}

// rolloutOf writes how the shop is released. Pairs of what stands in the manifest
// and what is to stand there can be given.
func rolloutOf(phases string, instead ...string) string {
	return strings.NewReplacer("PHASES", phases).Replace(strings.NewReplacer(instead...).Replace(rolloutManifest))
}

// roll describes how the shop is released, as rolloutOf writes it, and waits until
// that is known.
func (s *shop) roll(phases string, instead ...string) {
	s.t.Helper()
	s.apply(rolloutOf(phases, instead...))
	eventually(s.t, limit, func() error {
		r := s.rollout()
		if c := condition(r.Status.Conditions, "Ready"); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("the rollout is not ready: %+v", r.Status.Conditions)
		}
		if s.deployment().Labels[serinv1.RolloutLabel] != "shop" {
			return fmt.Errorf("the Deployment has no label")
		}
		return nil
	})
}

// apply does what kubectl apply does.
func (s *shop) apply(manifest string) {
	s.t.Helper()
	if err := cluster.KubectlApply(s.t.Context(), s.of(manifest)); err != nil {
		s.t.Fatal(err)
	}
}

// applyAs applies server side, in a tool's name.
func (s *shop) applyAs(tool, manifest string) {
	s.t.Helper()
	s.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager="+tool, "-f", s.file(manifest))
}

func (s *shop) file(manifest string) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(s.of(manifest)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// of puts the shop's namespace into a manifest.
func (s *shop) of(manifest string) string { return strings.ReplaceAll(manifest, "NS", s.namespace) }

// change asks for another version, as a person does.
func (s *shop) change(version string, args ...string) {
	s.t.Helper()
	s.changeImage("sample:"+version, version, args...)
}

func (s *shop) changeImage(image, version string, args ...string) {
	s.t.Helper()
	list := append([]string{"-listen=$(POD_IP):8080", "-version=" + version}, args...)
	quoted := `"` + strings.Join(list, `","`) + `"`
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"shop","image":"%s","args":[%s]}]}}}}`, image, quoted)
	if out, err := cluster.Kubectl(s.t.Context(), "patch", "deployment", "shop", "-n", s.namespace, "-p", patch); err != nil {
		s.t.Fatalf("kubectl patch: %v: %s", err, out)
	}
}

// read asks the API server as the administrator. One that is just back, or hard
// at work, is asked again: whether it answers a test is not what is tried.
func (s *shop) read(ask func(context.Context, client.Client) error) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		err := ask(s.t.Context(), admin(s.t))
		if apierrors.IsNotFound(err) {
			s.t.Fatal(err)
		}
		return err
	})
}

func (s *shop) get(name string, into client.Object) {
	s.t.Helper()
	s.read(func(ctx context.Context, c client.Client) error {
		return c.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, into)
	})
}

func (s *shop) deployment() *appsv1.Deployment {
	s.t.Helper()
	d := &appsv1.Deployment{}
	s.get("shop", d)
	return d
}

func (s *shop) rollout() *serinv1.CanaryRollout {
	s.t.Helper()
	r := &serinv1.CanaryRollout{}
	s.get("shop", r)
	return r
}

// runs returns the shop's runs, the first first.
func (s *shop) runs() []serinv1.CanaryRun {
	s.t.Helper()
	var list serinv1.CanaryRunList
	s.read(func(ctx context.Context, c client.Client) error {
		return c.List(ctx, &list, client.InNamespace(s.namespace))
	})
	slices.SortFunc(list.Items, func(a, b serinv1.CanaryRun) int { return int(a.Spec.Number - b.Spec.Number) })
	return list.Items
}

// ends waits for the end of the n-th run and returns it.
func (s *shop) ends(n int, within time.Duration) serinv1.CanaryRun {
	s.t.Helper()
	var run serinv1.CanaryRun
	eventually(s.t, within, func() error {
		all := s.runs()
		if len(all) < n {
			return fmt.Errorf("there are %d runs: %+v", len(all), s.rollout().Status)
		}
		run = all[n-1]
		if run.Status.EndedAt == nil {
			return fmt.Errorf("run %s is at %q, weight %d, %s: %s", run.Name, run.Status.Phase, run.Status.Weight, run.Status.Verdict, run.Status.Reason)
		}
		return nil
	})
	return run
}

// pods returns the names of the shop's pods that are not going.
func (s *shop) pods() []string {
	s.t.Helper()
	return s.podsWhere(func(*corev1.Pod) bool { return true })
}

func (s *shop) podsWhere(wanted func(*corev1.Pod) bool) []string {
	s.t.Helper()
	var list corev1.PodList
	s.read(func(ctx context.Context, c client.Client) error {
		return c.List(ctx, &list, client.InNamespace(s.namespace), client.MatchingLabels{"app": "shop"})
	})
	var names []string
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil && wanted(&list.Items[i]) {
			names = append(names, list.Items[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

// tell prints what a failed test leaves.
func (s *shop) tell() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, _ := cluster.Kubectl(ctx, "get", "canaryrollout,canaryrun,deploy,rs,pod,endpointslice,httproute", "-n", s.namespace, "-o", "wide")
	s.t.Log(out)
	out, _ = cluster.Kubectl(ctx, "get", "canaryrollout,httproute,service", "-n", s.namespace, "-o", "yaml")
	s.t.Log(out)
	s.t.Log(controllerLog(ctx))
}

func condition(all []metav1.Condition, kind string) *metav1.Condition {
	for i := range all {
		if all[i].Type == kind {
			return &all[i]
		}
	}
	return nil
}

// install installs Serin as a person does, once; its controller is a pod.
var install = sync.OnceValue(func() error { return apply() })

// apply installs Serin, or changes how it is installed.
func apply(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"install", "--kubeconfig", cluster.Kubeconfig, "--image", "serin:test", "--version", "v0.1.0",
		"--prometheus-url", plane.PrometheusURL}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("serin install: %w: %s", err, out)
	}
	return nil
}

// controllerLog is the end of what the controllers have said.
func controllerLog(ctx context.Context) string {
	out, err := cluster.Kubectl(ctx, "logs", "-n", "serin-system", "deployment/serin-controller", "--tail=80")
	if err != nil {
		return err.Error()
	}
	return out
}

func askTimes(host string, n int) []answer {
	client := newClient()
	defer client.CloseIdleConnections()
	var out []answer
	for range n {
		out = append(out, ask(client, host))
	}
	return out
}

// list reads all objects of a kind in the shop's namespace, once.
func (s *shop) list(into client.ObjectList) error {
	return admin(s.t).List(s.t.Context(), into, client.InNamespace(s.namespace))
}

//go:build plane

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/test/plane"
)

const shopManifest = `apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: NS, labels: {app: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: shop
        image: sample:v1
        args: ARGS
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

// The plan is one that people write down: the phases of a release that takes
// a few minutes. Nothing of the judging is set but the interval.
const rolloutManifest = `apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop, namespace: NS}
spec:
  workload: {deployment: {name: shop}}
  traffic: {gatewayAPI: {httpRoute: shop}}
  plan:
    phases: [{weight: 5, duration: 1m}, {weight: 20, duration: 1m}, {weight: 50, duration: 1m}, {weight: 100, duration: 30s}]
  analysis:
    interval: INTERVAL
    metrics: {prometheus: {url: "` + plane.PrometheusURL + `", preset: traefik}}
    checks: [{name: errors, type: errorRate}, {name: latency, type: responseTime}]
`

// outcome is what came of one release.
type outcome struct {
	requests, canary, failed, lost int
	exposed                        time.Duration
	rolledBack, promoted           bool
	reason                         string
	err                            error
}

// release makes a shop of its own, releases a version there and says what came
// of it.
func (b *bench) release(ctx context.Context, name string, k kind, interval time.Duration) (o outcome) {
	defer func() {
		if o.err != nil {
			fmt.Fprintf(os.Stderr, "%s, %s at %s: %v\n", name, k.what, interval, o.err)
		}
	}()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := b.admin.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			o.err = errors.Join(o.err, err)
		}
	}()
	if err := b.apply(ctx, name, strings.ReplaceAll(shopManifest, "ARGS", arguments("v1", k.stable))); err != nil {
		return outcome{err: err}
	}
	users := send(ctx, name+".example", b.rate)
	defer users.stop()
	if err := b.serves(ctx, name, users); err != nil {
		return outcome{err: err}
	}
	if err := b.apply(ctx, name, strings.ReplaceAll(rolloutManifest, "INTERVAL", interval.String())); err != nil {
		return outcome{err: err}
	}
	if err := b.ready(ctx, name); err != nil {
		return outcome{err: err}
	}
	// So that Prometheus has seen the version that serves.
	time.Sleep(2*b.scrape + time.Second)
	before := users.came()
	if err := b.change(ctx, name, k); err != nil {
		return outcome{err: err}
	}
	run, err := b.ends(ctx, name)
	if err == nil {
		time.Sleep(2 * time.Second) // for answers that are under way
	}
	o = users.came()
	o.lost -= before.lost // while the shop opened the gateway did not know it yet
	o.err = err
	o.rolledBack = run.Status.Phase == string(engine.RolledBack)
	o.promoted = run.Status.Phase == string(engine.Promoted)
	o.reason = run.Status.Reason
	fmt.Fprintf(os.Stderr, "%s, %s at %s: %s after %.1f s, %d of %d of the canary's answers were errors; %s\n",
		name, k.what, interval, run.Status.Phase, o.exposed.Seconds(), o.failed, o.canary, o.reason)
	return o
}

func arguments(version string, faults []string) string {
	list := append([]string{"-listen=$(POD_IP):8080", "-version=" + version}, faults...)
	return `["` + strings.Join(list, `","`) + `"]`
}

func (b *bench) apply(ctx context.Context, name, manifest string) error {
	file := filepath.Join(b.plane.Dir, name+".yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(manifest, "NS", name)), 0o600); err != nil {
		return err
	}
	_, err := b.plane.Kubectl(ctx, "apply", "-f", file)
	return err
}

// serves waits until the gateway leads to the version that serves, for a while.
func (b *bench) serves(ctx context.Context, name string, u *users) error {
	good := 0
	return eventually(ctx, 2*time.Minute, func() error {
		var d appsv1.Deployment
		if err := b.admin.Get(ctx, client.ObjectKey{Namespace: name, Name: "shop"}, &d); err != nil {
			return err
		}
		if d.Status.AvailableReplicas != 2 {
			return fmt.Errorf("%d of 2 pods are available", d.Status.AvailableReplicas)
		}
		if version, _ := u.request(ctx); version != "v1" {
			good = 0
			return errors.New("the gateway does not lead to the shop yet")
		}
		if good++; good < 20 {
			return errors.New("the gateway leads to the shop only since now")
		}
		return nil
	})
}

func (b *bench) ready(ctx context.Context, name string) error {
	return eventually(ctx, time.Minute, func() error {
		var r serinv1.CanaryRollout
		if err := b.admin.Get(ctx, client.ObjectKey{Namespace: name, Name: "shop"}, &r); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(r.Status.Conditions, "Ready") {
			return fmt.Errorf("the rollout is not ready: %+v", r.Status.Conditions)
		}
		return nil
	})
}

// change asks for another version, as a person does.
func (b *bench) change(ctx context.Context, name string, k kind) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"shop","image":"sample:v2","args":%s}]}}}}`, arguments("v2", k.canary))
	_, err := b.plane.Kubectl(ctx, "patch", "deployment", "shop", "-n", name, "-p", patch)
	return err
}

// ends waits for the end of the run, or as long as it is watched.
func (b *bench) ends(ctx context.Context, name string) (serinv1.CanaryRun, error) {
	var run serinv1.CanaryRun
	err := eventually(ctx, b.watch, func() error {
		var list serinv1.CanaryRunList
		if err := b.admin.List(ctx, &list, client.InNamespace(name)); err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return errors.New("there is no run yet")
		}
		run = list.Items[0]
		if run.Status.EndedAt == nil {
			return fmt.Errorf("the run is at %q, weight %d: %s", run.Status.Phase, run.Status.Weight, run.Status.Reason)
		}
		return nil
	})
	return run, err
}

// eventually asks again until there is no error.
func eventually(ctx context.Context, within time.Duration, ask func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %w", within, err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

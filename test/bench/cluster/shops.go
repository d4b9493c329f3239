//go:build plane

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// shop is one released service.
type shop struct{ namespace, name string }

func (s shop) key() string { return s.namespace + "/" + s.name }

// perNamespace is how many rollouts share a namespace.
const perNamespace = 20

func shopOf(kind string, i int) shop {
	return shop{namespace: fmt.Sprintf("%s-%d", kind, i/perNamespace), name: fmt.Sprintf("shop-%d", i)}
}

// parts are a service as people have it, with a rollout at the end.
const parts = `apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: NS, labels: {app: NAME}}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: shop
        image: shop:v1
        args: [--listen=:8080]
        env: [{name: MODE, value: production}]
        ports: [{name: http, containerPort: 8080}]
        resources: {requests: {cpu: 100m, memory: 64Mi}}
        readinessProbe: {httpGet: {path: /health, port: http}}
---
apiVersion: v1
kind: Service
metadata: {name: NAME-stable, namespace: NS}
spec: {selector: {app: NAME}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: NAME-canary, namespace: NS}
spec: {selector: {app: NAME}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME, namespace: NS}
spec:
  hosts: [NAME]
  http:
  - route:
    - {destination: {host: NAME-stable, port: {number: 80}}, weight: 100}
    - {destination: {host: NAME-canary, port: {number: 80}}, weight: 0}
---
apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: NAME, namespace: NS}
spec:
  workload: {deployment: {name: NAME}}
  traffic: {istio: {virtualService: NAME}}
  plan:
    phases: [{weight: WEIGHT, duration: 1h}, {weight: 100, duration: 1h}]
  analysis:
    interval: INTERVAL
    metrics:
      prometheus:
        url: PROMETHEUS
        containers: false
        queries:
          requests: 'bench_requests_total{namespace="$(namespace)",rollout="$(rollout)",arm="$(arm)"}'
          errors: 'bench_errors_total{namespace="$(namespace)",rollout="$(rollout)",arm="$(arm)"}'
          latency: {histogram: 'bench_latency_seconds{namespace="$(namespace)",rollout="$(rollout)",arm="$(arm)"}'}
    checks: [{name: errors, type: errorRate}, {name: latency, type: responseTime}]
`

func (w *world) create(ctx context.Context, s shop) error {
	text := strings.NewReplacer("NS", s.namespace, "NAME", s.name, "REPLICAS", fmt.Sprint(w.replicas), "WEIGHT", fmt.Sprint(w.weight),
		"INTERVAL", w.interval.String(), "PROMETHEUS", w.promURL).Replace(parts)
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := documents.Decode(&u.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := w.admin.Create(ctx, u); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create the %s of %s: %w", u.GetKind(), s.key(), err)
		}
	}
}

// hands is how many objects the bench writes at the same time.
const hands = 8

// each does something for the shops from one number to before another.
func each(kind string, from, to int, do func(shop) error) error {
	var wait sync.WaitGroup
	slots := make(chan struct{}, hands)
	errs := make(chan error, to-from)
	for i := from; i < to; i++ {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			errs <- do(shopOf(kind, i))
		})
	}
	wait.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// add makes shops and waits until their rollouts are ready.
func (w *world) add(ctx context.Context, kind string, from, to int) error {
	made := 0
	for made < to-from { // a line for each thousand
		next := min(made+1000, to-from)
		if err := each(kind, from+made, from+next, func(s shop) error { return w.create(ctx, s) }); err != nil {
			return err
		}
		made = next
		w.say("%d of %d services are made", from+made, to)
	}
	said := time.Now()
	return w.eventually(ctx, time.Hour, func() error {
		var list serinv1.CanaryRolloutList
		if err := w.admin.List(ctx, &list); err != nil {
			return err
		}
		n, why := 0, ""
		for i := range list.Items {
			r := &list.Items[i]
			if !strings.HasPrefix(r.Namespace, kind+"-") {
				continue
			}
			if meta.IsStatusConditionTrue(r.Status.Conditions, "Ready") {
				n++
			} else if c := meta.FindStatusCondition(r.Status.Conditions, "Ready"); c != nil {
				why = r.Name + ": " + c.Message
			}
		}
		if n < to {
			if time.Since(said) > time.Minute {
				said = time.Now()
				w.say("%d of %d rollouts are ready", n, to)
			}
			return fmt.Errorf("%d of %d rollouts are ready; %s", n, to, why)
		}
		return nil
	})
}

// release asks for another version, as a person does.
func (w *world) release(ctx context.Context, s shop) error {
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = s.namespace, s.name
	patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"shop","image":"shop:v2"}]}}}}`)
	return w.admin.Patch(ctx, d, client.RawPatch(types.StrategicMergePatchType, patch))
}

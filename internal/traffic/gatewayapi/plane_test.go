//go:build plane

package gatewayapi_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/gatewayapi"
	"serin.dev/serin/internal/traffic/traffictest"
	"serin.dev/serin/internal/traffic/weighted"
	"serin.dev/serin/test/plane"
	"serin.dev/serin/test/plane/groups"
	"serin.dev/serin/test/plane/kubelet"
)

// running is the cluster that the tests of this package share.
var running *plane.Plane

func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case podArg:
			os.Exit(pod(os.Args[2]))
		case grpcArg:
			os.Exit(grpcPod(os.Args[2]))
		}
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = flag.Set("test.parallel", "8") // what they do is mostly wait
	os.Exit(plane.Run(m, plane.Options{
		Kubelet: &kubelet.Options{Programs: map[string][]string{"pod": {self, podArg}, "grpc": {self, grpcArg}}},
		Gateway: true,
	}, &running))
}

// podArg makes the test program what pods of the image "pod" run.
const podArg = "pod-program"

// pod answers with the group that it belongs to.
func pod(group string) int {
	server := &http.Server{Addr: os.Getenv("POD_IP") + ":8080", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, group)
	})}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	return 1
}

const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: KIND
metadata:
  name: shop
  annotations: {note: "# as I am"}
spec:
  parentRefs:
  - {name: edge, namespace: gateway}
  - {name: inner, sectionName: web}
  rules:
  - backendRefs:
    - {name: shop-stable, port: 80, weight: 1}
    - {name: shop-canary, port: 80, weight: 0}
  - matches: [{headers: [{name: x-tester, value: "yes"}]}]
    backendRefs:
    - {name: shop-canary, port: 80}
  - backendRefs:
    - {name: shop-canary, port: 80, weight: 0}
    - {name: shop-stable, port: 80, weight: 100}
`

type fixture struct {
	*groups.Groups
	admin client.Client
	kind  string
	// silent stops the gateway: it answers for no new generation. answering is held
	// while it looks and answers.
	silent    bool
	answering sync.Mutex
}

func start(t *testing.T, kind string) *fixture {
	t.Helper()
	f := twoGroups(t, kind)
	f.create(t, f.Namespace, route)
	f.acceptRoutes(t)
	return f
}

// twoGroups is a namespace with the groups "old" and "new" and no route.
func twoGroups(t *testing.T, kind string) *fixture {
	t.Helper()
	return groupsOf(t, kind, corev1.Container{
		Name: "main", Image: "pod:1",
		ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(8080)}}},
	})
}

// groupsOf is twoGroups with pods of this container.
func groupsOf(t *testing.T, kind string, container corev1.Container) *fixture {
	t.Helper()
	f := &fixture{Groups: groups.New(t, running), kind: kind}
	f.Container = container
	var err error
	if f.admin, err = client.New(running.Admin, client.Options{Scheme: kube.Scheme()}); err != nil {
		t.Fatal(err)
	}
	f.Scale(t, "old", 2)
	f.Scale(t, "new", 2)
	f.Service(t, "shop")
	return f
}

// compared adds the group "fresh" and returns the router of a plan with a
// baseline.
func (f *fixture) compared(t *testing.T, c gatewayapi.Config) *weighted.Router {
	t.Helper()
	f.Scale(t, "fresh", 2)
	return f.open(t, c, true)
}

func (f *fixture) create(t *testing.T, namespace, manifest string) {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(manifest, "KIND", f.kind)), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetNamespace(namespace)
	if err := f.admin.Create(t.Context(), u, client.FieldOwner("kubectl-create")); err != nil {
		t.Fatal(err)
	}
}

// acceptRoutes answers for the route as a gateway's controller does, and is
// silent when it is told to be, which Traefik cannot be told.
func (f *fixture) acceptRoutes(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			f.answer(context.WithoutCancel(ctx))
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// answer answers once, unless there is nothing new.
func (f *fixture) answer(ctx context.Context) {
	f.answering.Lock()
	defer f.answering.Unlock()
	u, err := f.read(ctx)
	if err != nil || f.silent {
		return
	}
	if parents, _, _ := unstructured.NestedSlice(u.Object, "status", "parents"); len(parents) == 2 {
		c := parents[1].(map[string]any)["conditions"].([]any)[0].(map[string]any)
		if c["observedGeneration"] == u.GetGeneration() {
			return
		}
	}
	var told []any
	refs, _, _ := unstructured.NestedSlice(u.Object, "spec", "parentRefs")
	for _, ref := range refs {
		var conditions []any
		for _, condition := range []string{"Accepted", "ResolvedRefs"} {
			conditions = append(conditions, map[string]any{
				"type": condition, "status": "True", "reason": condition, "message": "", "observedGeneration": u.GetGeneration(),
				"lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
			})
		}
		told = append(told, map[string]any{"parentRef": ref, "controllerName": "example.test/gateway", "conditions": conditions})
	}
	status := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"parents": told}}}
	status.SetGroupVersionKind(u.GroupVersionKind())
	status.SetNamespace(u.GetNamespace())
	status.SetName(u.GetName())
	// What does not go through is tried again.
	_ = f.admin.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(status), client.FieldOwner("gateway"), client.ForceOwnership)
}

// silence has it answer no more, not even what it has begun, or again.
func (f *fixture) silence(on bool) {
	f.answering.Lock()
	defer f.answering.Unlock()
	f.silent = on
}

func (f *fixture) read(ctx context.Context) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: f.kind})
	return u, f.admin.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: "shop"}, u)
}

func (f *fixture) config() gatewayapi.Config {
	if f.kind == "GRPCRoute" {
		return gatewayapi.Config{GRPCRoute: "shop"}
	}
	return gatewayapi.Config{HTTPRoute: "shop"}
}

func (f *fixture) router(t *testing.T, c gatewayapi.Config) *weighted.Router {
	t.Helper()
	return f.open(t, c, false)
}

func (f *fixture) open(t *testing.T, c gatewayapi.Config, baseline bool) *weighted.Router {
	t.Helper()
	cached, live := groups.Cached(t, running.Admin, kube.Scheme())
	r, err := gatewayapi.New(c, kube.Env{Client: cached, Live: live, Namespace: f.Namespace, Rollout: "shop", Baseline: baseline})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// weights are those of a rule's backends, in their order.
func weights(u *unstructured.Unstructured, rule int) (int, int) {
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", "rules")
	refs := list[rule].(map[string]any)["backendRefs"].([]any)
	return int(refs[0].(map[string]any)["weight"].(int64)), int(refs[1].(map[string]any)["weight"].(int64))
}

func (f *fixture) count(n int) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), groups.Limit)
	defer cancel()
	u, err := f.read(ctx)
	if err != nil {
		return 0, err
	}
	stable, errStable := f.Reach(ctx, "shop-stable")
	canary, errCanary := f.Reach(ctx, "shop-canary")
	if err := errors.Join(errStable, errCanary); err != nil {
		return 0, err
	}
	ws, wc := weights(u, 0)
	first, err := groups.Count(n, "new", groups.Arm{Weight: ws, Reach: stable}, groups.Arm{Weight: wc, Reach: canary})
	if err != nil {
		return 0, err
	}
	wc, ws = weights(u, 2)
	third, err := groups.Count(n, "new", groups.Arm{Weight: ws, Reach: stable}, groups.Arm{Weight: wc, Reach: canary})
	if err == nil && first != third {
		err = fmt.Errorf("one rule gives the canary %d, another %d", first, third)
	}
	return first, err
}

func TestGatewayAPIConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Harness {
		t.Parallel()
		f := start(t, "HTTPRoute")
		r := f.router(t, f.config())
		if err := r.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		return traffictest.Harness{
			Router: r, StableID: "old", CanaryID: "new", FindsInstances: true, Exact: true, Waits: true,
			Count: f.count,
			Send: func() (rollout.Arm, error) {
				n, err := f.count(100)
				if n > 50 {
					return rollout.Canary, err
				}
				return rollout.Stable, err
			},
			Reopen:   func(t *testing.T) traffic.Router { return f.router(t, f.config()) },
			Patience: groups.Limit, Rounds: 9,
		}
	})
}

// TestRequestsThroughTraefikConform counts real requests, at the client.
func TestRequestsThroughTraefikConform(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Harness {
		t.Parallel()
		f := twoGroups(t, "HTTPRoute")
		host := f.Namespace + ".test"
		r := f.compared(t, f.config())
		// The Services are there before the route that names them.
		if err := r.Prepare(t.Context()); !errors.Is(err, traffic.ErrRefused) {
			t.Fatalf("Prepare without a route: %v, want ErrRefused", err)
		}
		f.create(t, f.Namespace, `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: gateway, namespace: gateway}]
  hostnames: [`+host+`]
  rules:
  - backendRefs:
    - {name: shop-stable, port: 80, weight: 100}
    - {name: shop-canary, port: 80, weight: 0}
    - {name: shop-baseline, port: 80, weight: 0}
  - matches:
    - headers: [{name: x-tester, value: "yes"}]
    - headers: [{name: cookie, type: RegularExpression, value: "(^|.*; )tester=yes(;.*|$)"}]
    backendRefs:
    - {name: shop-canary, port: 80}
`)
		users := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
		t.Cleanup(users.CloseIdleConnections)
		send := func(headers http.Header) (rollout.Arm, error) {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+plane.GatewayAddress+"/", nil)
			if err != nil {
				return "", err
			}
			req.Host = host
			maps.Copy(req.Header, headers)
			res, err := users.Do(req)
			if err != nil {
				return "", err
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			switch {
			case err != nil:
				return "", err
			case string(body) == "old":
				return rollout.Stable, nil
			case string(body) == "new":
				return rollout.Canary, nil
			case string(body) == "fresh":
				return rollout.Baseline, nil
			}
			return "", fmt.Errorf("answered %s: %s", res.Status, body)
		}
		groups.Eventually(t, func() error { _, err := send(nil); return err })
		var testers atomic.Int64
		return traffictest.Harness{
			Router: r, StableID: "old", CanaryID: "new", BaselineID: "fresh", FindsInstances: true, Waits: true,
			Send: func() (rollout.Arm, error) { return send(nil) },
			SendAs: func(rollout.Arm) (rollout.Arm, error) {
				if testers.Add(1)%2 == 0 {
					return send(http.Header{"X-Tester": {"yes"}})
				}
				return send(http.Header{"Cookie": {"session=1; tester=yes"}})
			},
			Reopen:   func(t *testing.T) traffic.Router { return f.open(t, f.config(), true) },
			Patience: groups.Limit, Requests: 400, Rounds: 9,
			// Traefik takes changes up, after the first, once in two seconds.
			Lag: 3 * time.Second,
		}
	})
}

func split(weight int) traffic.Split {
	return traffic.Split{Weight: weight, StableID: "old", CanaryID: "new"}
}

func apply(t *testing.T, r *weighted.Router, s traffic.Split) {
	t.Helper()
	groups.Eventually(t, func() error { return r.Apply(t.Context(), s) })
}

// becomes waits until what is observed is so.
func becomes(t *testing.T, r *weighted.Router, ok func(traffic.Observed) bool) {
	t.Helper()
	groups.Eventually(t, func() error {
		o, err := r.Observe(t.Context())
		if err == nil && !ok(o) {
			err = fmt.Errorf("observed %+v", o)
		}
		return err
	})
}

func TestAWeightIsInEffectWhenEveryParentFollows(t *testing.T) {
	t.Parallel()
	f := start(t, "GRPCRoute")
	r := f.router(t, f.config())
	apply(t, r, split(5))
	becomes(t, r, func(o traffic.Observed) bool { return o.Weight == 5 && o.InEffect })
	f.silence(true)
	apply(t, r, split(10))
	becomes(t, r, func(o traffic.Observed) bool { return o.Weight == 10 })
	for range 20 {
		if o, err := r.Observe(t.Context()); err != nil || o.InEffect {
			t.Fatalf("observed %+v (%v) while the gateway is silent, want it not in effect", o, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	f.silence(false)
	becomes(t, r, func(o traffic.Observed) bool { return o.Weight == 10 && o.InEffect })
}

func TestRoutesThatCannotBeSplitAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t, "HTTPRoute")
	u, err := f.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set := func(patch string) {
		t.Helper()
		if err := f.admin.Patch(t.Context(), u, client.RawPatch(types.JSONPatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	r := f.router(t, f.config())
	apply(t, r, split(0))
	refuses := func(words ...string) {
		t.Helper()
		groups.Eventually(t, func() error {
			err := r.Prepare(t.Context())
			if !errors.Is(err, traffic.ErrRefused) {
				return fmt.Errorf("Prepare: %s, want ErrRefused", fmt.Sprint(err))
			}
			for _, w := range words {
				if !strings.Contains(err.Error(), w) {
					return fmt.Errorf("%q does not say %q", err.Error(), w)
				}
			}
			return nil
		})
	}
	set(`[{"op":"add","path":"/spec/rules/0/backendRefs/-","value":{"name":"third","port":80}}]`)
	refuses("third", "spec.rules[0]")
	set(`[{"op":"replace","path":"/spec/rules","value":[{"backendRefs":[{"name":"shop","port":8080}]}]}]`)
	refuses("HTTPRoute "+f.Namespace+"/shop", "  - name: shop-stable\n    port: 8080\n    weight: 100", "  - name: shop-canary\n    port: 8080\n    weight: 0")
}

func TestARouteOfAnotherNamespaceNeedsAGrant(t *testing.T) {
	t.Parallel()
	f := start(t, "HTTPRoute")
	infra := f.Namespace + "-infra"
	if _, err := running.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: infra}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.create(t, infra, strings.NewReplacer("{name: shop-", "{namespace: "+f.Namespace+", name: shop-").Replace(route))
	c := f.config()
	c.Namespace = infra
	r := f.router(t, c)
	err := r.Prepare(t.Context())
	if !errors.Is(err, traffic.ErrRefused) || !strings.Contains(err.Error(), "ReferenceGrant") || !strings.Contains(err.Error(), infra) {
		t.Fatalf("Prepare without a grant: %v, want ErrRefused that names it", err)
	}
	groups.Eventually(t, func() error { return r.Apply(t.Context(), split(0)) })
	if err := r.Apply(t.Context(), split(5)); !errors.Is(err, traffic.ErrRefused) {
		t.Errorf("raising without a grant: %v, want ErrRefused", err)
	}
	f.create(t, f.Namespace, `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: infra}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: `+infra+`}]
  to: [{group: "", kind: Service}]
`)
	groups.Eventually(t, func() error { return r.Prepare(t.Context()) })
	apply(t, r, split(5))
}

// Lowering to 0 is one write, and waits for no endpoint and no gateway.
func TestGoingBackDependsOnNothing(t *testing.T) {
	t.Parallel()
	f := start(t, "HTTPRoute")
	r := f.router(t, f.config())
	apply(t, r, split(50))
	becomes(t, r, func(o traffic.Observed) bool { return o.InEffect })
	f.silence(true)
	f.Scale(t, "new", 0)
	for _, service := range []string{"shop-canary", "shop-stable"} {
		if err := running.Client.CoreV1().Services(f.Namespace).Delete(t.Context(), service, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Apply(t.Context(), traffic.Split{Weight: 0}); err != nil {
		t.Errorf("Apply(0): %v", err)
	}
	u, err := f.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s, c := weights(u, 0); s != 100 || c != 0 {
		t.Errorf("weights %d and %d, want all to stable", s, c)
	}
}

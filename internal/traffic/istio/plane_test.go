//go:build plane

package istio_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/istio"
	"serin.dev/serin/internal/traffic/traffictest"
	"serin.dev/serin/internal/traffic/weighted"
	"serin.dev/serin/test/plane"
	"serin.dev/serin/test/plane/groups"
	"serin.dev/serin/test/plane/kubelet"
)

// running is the cluster that the tests of this package share.
var running *plane.Plane

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "6") // what they do is mostly wait
	os.Exit(plane.Run(m, plane.Options{Kubelet: &kubelet.Options{FakeReady: true}, Istio: true}, &running))
}

// hosts is the form of two Services, as people write it, with much that is
// none of Serin's business.
const hosts = `
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata:
  name: myapp
  annotations:
    note: "# keep: me\n  as I am"
spec:
  hosts: [myapp]
  http:
  - name: testers
    match: [{headers: {x-tester: {exact: "yes"}}}]
    route:
    - destination: {host: shop-canary}
  - name: main
    match: [{uri: {prefix: /}}]
    timeout: 3s
    retries: {attempts: 2, perTryTimeout: 1s}
    mirror: {host: shop-shadow}
    mirrorPercentage: {value: 12.5}
    headers: {response: {set: {x-a/b~c: d}}}
    route:
    - destination: {host: shop-stable, port: {number: 80}}
      headers: {request: {add: {x-arm: stable}}}
      weight: 100
    - destination: {host: shop-canary.NAMESPACE.svc.cluster.local, port: {number: 80}}
      weight: 0
  - name: api
    route:
    - destination: {host: shop-canary}
      weight: 0
    - destination: {host: shop-stable.NAMESPACE.svc.cluster.local}
      weight: 100
  tls:
  - match: [{port: 443, sniHosts: [myapp]}]
    route:
    - destination: {host: shop-stable}
      weight: 100
    - destination: {host: shop-canary}
  tcp:
  - match: [{port: 27017}]
    route:
    - destination: {host: shop-stable}
      weight: 100
    - destination: {host: shop-canary}
`

const subsets = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: myapp}
spec:
  hosts: [shop]
  http:
  - route:
    - destination: {host: shop, subset: stable}
      weight: 100
    - destination: {host: shop, subset: canary}
      weight: 0
  - match: [{uri: {prefix: /other}}]
    route:
    - destination: {host: another, subset: stable}
      weight: 70
    - destination: {host: another, subset: canary}
      weight: 30
  tls:
  - match: [{port: 443, sniHosts: [shop]}]
    route:
    - destination: {host: shop, subset: canary, port: {number: 443}}
    - destination: {host: shop.NAMESPACE.svc.cluster.local, subset: stable, port: {number: 443}}
      weight: 100
  tcp:
  - match: [{port: 27017, sourceLabels: {app: client}}]
    route:
    - destination: {host: shop, subset: stable}
      weight: 100
    - destination: {host: shop, subset: canary}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 100}}}
  subsets:
  - {name: stable, labels: {app: shop}}
  - {name: extra, labels: {app: shop}}
  - {name: canary}
`

// connections is the form of two Services without HTTP.
const connections = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: myapp}
spec:
  hosts: [myapp]
  gateways: [mesh, istio-system/edge]
  tls:
  - match: [{port: 443, sniHosts: [myapp.example, "*.myapp.example"], destinationSubnets: [10.0.0.0/8]}]
    route:
    - destination: {host: shop-stable, port: {number: 443}}
      weight: 100
    - destination: {host: shop-canary, port: {number: 443}}
  tcp:
  - match: [{port: 27017}]
    route:
    - destination: {host: shop-canary.NAMESPACE.svc.cluster.local}
      weight: 0
    - destination: {host: shop-stable}
      weight: 100
  - match: [{port: 27018}]
    route:
    - destination: {host: shop-stable}
`

// fixture is a namespace with the groups "old" and "new", two pods each.
type fixture struct {
	*groups.Groups
	admin client.Client
}

func start(t *testing.T, manifest string) *fixture {
	t.Helper()
	f := &fixture{Groups: groups.New(t, running)}
	var err error
	if f.admin, err = client.New(running.Admin, client.Options{Scheme: kube.Scheme()}); err != nil {
		t.Fatal(err)
	}
	f.Scale(t, "old", 2)
	f.Scale(t, "new", 2)
	f.Service(t, "shop")
	for _, document := range strings.Split(manifest, "---\n") {
		u := f.object(t, document)
		if err := f.admin.Create(t.Context(), u, client.FieldOwner("kubectl-create")); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *fixture) object(t *testing.T, document string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(document, "NAMESPACE", f.Namespace)), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetNamespace(f.Namespace)
	return u
}

// router is one as a new controller has it.
func (f *fixture) router(t *testing.T, c istio.Config, as *rest.Config) *weighted.Router {
	t.Helper()
	return f.open(t, c, as, false)
}

func (f *fixture) open(t *testing.T, c istio.Config, as *rest.Config, baseline bool) *weighted.Router {
	t.Helper()
	cached, live := groups.Cached(t, as, kube.Scheme())
	r, err := istio.New(c, kube.Env{Client: cached, Live: live, Namespace: f.Namespace, Rollout: "shop", Baseline: baseline})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func config() istio.Config {
	c := *istio.NewConfig().(*istio.Config)
	c.VirtualService = "myapp"
	return c
}

func bySubsets() istio.Config {
	c := config()
	c.DestinationRule = "shop"
	return c
}

func (f *fixture) read(ctx context.Context, kind, name string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: kind})
	return u, f.admin.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: name}, u)
}

// weights are those of stable and canary in one list of routes.
func weights(u *unstructured.Unstructured, field string, i int) (stable, canary int) {
	by := armWeights(u, place{field, i})
	return by["stable"], by["canary"]
}

// armWeights are the weights of one route, by the arm that its destinations name.
func armWeights(u *unstructured.Unstructured, p place) map[string]int {
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", p.field)
	by := map[string]int{}
	for _, entry := range list[p.i].(map[string]any)["route"].([]any) {
		entry := entry.(map[string]any)
		n, _ := entry["weight"].(int64)
		d := entry["destination"].(map[string]any)
		for _, arm := range []string{"stable", "canary", "baseline"} {
			if strings.Contains(fmt.Sprint(d["host"], d["subset"]), arm) {
				by[arm] = int(n)
			}
		}
	}
	return by
}

// place is one route of a VirtualService.
type place struct {
	field string
	i     int
}

// both are the weights that every one of these routes has.
func both(u *unstructured.Unstructured, places ...place) (stable, canary int, err error) {
	stable, canary = weights(u, places[0].field, places[0].i)
	for _, p := range places[1:] {
		if s, c := weights(u, p.field, p.i); s != stable || c != canary {
			err = fmt.Errorf("%v says %d and %d, %v %d and %d", p, s, c, places[0], stable, canary)
		}
	}
	return stable, canary, err
}

// inHosts are the routes of both arms in the host form.
var inHosts = []place{{"http", 1}, {"http", 2}, {"tls", 0}, {"tcp", 0}}

// countHosts is what proxies would make of the objects in the host form.
func (f *fixture) countHosts(n int) (int, error) { return f.count(n, inHosts...) }

// hostsCompared is the host form with a baseline in every route of both arms,
// behind the others in some and first in others.
func hostsCompared() string {
	s := strings.NewReplacer(
		"    - destination: {host: shop-canary.NAMESPACE.svc.cluster.local, port: {number: 80}}\n      weight: 0\n",
		"    - destination: {host: shop-canary.NAMESPACE.svc.cluster.local, port: {number: 80}}\n      weight: 0\n    - destination: {host: shop-baseline, port: {number: 80}}\n      weight: 0\n",
		"    - destination: {host: shop-canary}\n      weight: 0\n",
		"    - destination: {host: shop-baseline.NAMESPACE.svc.cluster.local}\n      weight: 0\n    - destination: {host: shop-canary}\n      weight: 0\n",
	).Replace(hosts)
	// Those of connections, whose canary has no weight written.
	return strings.ReplaceAll(s, "      weight: 100\n    - destination: {host: shop-canary}\n", "      weight: 100\n    - destination: {host: shop-baseline}\n    - destination: {host: shop-canary}\n")
}

// countCompared says how many of n requests a group answers when proxies follow
// the host form with a baseline.
func (f *fixture) countCompared(group string) func(n int) (int, error) {
	return func(n int) (int, error) {
		ctx, cancel := context.WithTimeout(context.Background(), groups.Limit)
		defer cancel()
		u, err := f.read(ctx, "VirtualService", "myapp")
		if err != nil {
			return 0, err
		}
		first := armWeights(u, inHosts[0])
		for _, p := range inHosts[1:] {
			if other := armWeights(u, p); !maps.Equal(first, other) {
				return 0, fmt.Errorf("%v says %v, %v %v", inHosts[0], first, p, other)
			}
		}
		var all []groups.Arm
		for _, arm := range []string{"stable", "canary", "baseline"} {
			reach, err := f.Reach(ctx, "shop-"+arm)
			if err != nil {
				return 0, err
			}
			all = append(all, groups.Arm{Weight: first[arm], Reach: reach})
		}
		return groups.Count(n, group, all...)
	}
}

func (f *fixture) countConnections(n int) (int, error) {
	return f.count(n, place{"tls", 0}, place{"tcp", 0})
}

// count is what proxies would make of some routes, which must say the same.
func (f *fixture) count(n int, places ...place) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), groups.Limit)
	defer cancel()
	u, err := f.read(ctx, "VirtualService", "myapp")
	if err != nil {
		return 0, err
	}
	stable, errStable := f.Reach(ctx, "shop-stable")
	canary, errCanary := f.Reach(ctx, "shop-canary")
	ws, wc, errWeights := both(u, places...)
	if err := errors.Join(errStable, errCanary, errWeights); err != nil {
		return 0, err
	}
	return groups.Count(n, "new", groups.Arm{Weight: ws, Reach: stable}, groups.Arm{Weight: wc, Reach: canary})
}

func (f *fixture) countSubsets(n int) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), groups.Limit)
	defer cancel()
	u, err := f.read(ctx, "VirtualService", "myapp")
	if err != nil {
		return 0, err
	}
	rule, err := f.read(ctx, "DestinationRule", "shop")
	if err != nil {
		return 0, err
	}
	all, err := f.Reach(ctx, "shop")
	if err != nil {
		return 0, err
	}
	list, _, _ := unstructured.NestedSlice(rule.Object, "spec", "subsets")
	reach := func(i int) map[string]int {
		hash, ok, _ := unstructured.NestedString(list[i].(map[string]any), "labels", "pod-template-hash")
		if !ok {
			return all
		}
		return map[string]int{hash: all[hash]}
	}
	ws, wc, err := both(u, place{"http", 0}, place{"tls", 0}, place{"tcp", 0})
	if err != nil {
		return 0, err
	}
	return groups.Count(n, "new", groups.Arm{Weight: ws, Reach: reach(0)}, groups.Arm{Weight: wc, Reach: reach(2)})
}

func harness(t *testing.T, f *fixture, c istio.Config, count func(int) (int, error)) traffictest.Harness {
	r := f.router(t, c, running.Admin)
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return traffictest.Harness{
		Router: r, StableID: "old", CanaryID: "new", FindsInstances: true, Exact: true, Waits: true,
		Count: count,
		Send: func() (rollout.Arm, error) {
			n, err := count(100)
			if n > 50 {
				return rollout.Canary, err
			}
			return rollout.Stable, err
		},
		Reopen:   func(t *testing.T) traffic.Router { return f.router(t, c, running.Admin) },
		Patience: groups.Limit, Rounds: 9,
	}
}

func TestHostsConform(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Harness {
		t.Parallel()
		f := start(t, hosts)
		return harness(t, f, config(), f.countHosts)
	})
}

func TestHostsWithABaselineConform(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Harness {
		t.Parallel()
		f := start(t, hostsCompared())
		f.Scale(t, "fresh", 2)
		h := harness(t, f, config(), f.countCompared("new"))
		h.BaselineID, h.CountBaseline = "fresh", f.countCompared("fresh")
		open := func(t *testing.T) traffic.Router { return f.open(t, config(), running.Admin, true) }
		h.Router, h.Reopen = open(t), open
		if err := h.Router.(traffic.Preparer).Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		return h
	})
}

func TestConnectionsConform(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Harness {
		t.Parallel()
		f := start(t, connections)
		return harness(t, f, config(), f.countConnections)
	})
}

func TestSubsetsConform(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Harness {
		t.Parallel()
		f := start(t, subsets)
		return harness(t, f, bySubsets(), f.countSubsets)
	})
}

func split(weight int) traffic.Split {
	return traffic.Split{Weight: weight, StableID: "old", CanaryID: "new"}
}

// apply applies until the router has nothing to wait for.
func apply(t *testing.T, r *weighted.Router, s traffic.Split) {
	t.Helper()
	groups.Eventually(t, func() error { return r.Apply(t.Context(), s) })
}

func observe(t *testing.T, r *weighted.Router) traffic.Observed {
	t.Helper()
	o, err := r.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// raw is what the API server sends of an object that people write: its spec,
// labels and annotations, to the byte.
func (f *fixture) raw(t *testing.T, version, kind, name string) string {
	t.Helper()
	data, err := running.Client.CoreV1().RESTClient().Get().
		AbsPath("apis", "networking.istio.io", version, "namespaces", f.Namespace, strings.ToLower(kind)+"s", name).DoRaw(t.Context())
	var object struct {
		Metadata struct{ Labels, Annotations json.RawMessage }
		Spec     json.RawMessage
	}
	if err == nil {
		err = json.Unmarshal(data, &object)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("labels %s\nannotations %s\nspec %s", object.Metadata.Labels, object.Metadata.Annotations, object.Spec)
}

var (
	anyWeight = regexp.MustCompile(`,"weight":\d+`)
	noWeight  = regexp.MustCompile(`,"weight":0\b`)
	anyHash   = regexp.MustCompile(`,?"pod-template-hash":"\w+"`)
	noLabels  = regexp.MustCompile(`"labels":\{\},`)
)

// Of a user's object everything stays as it is to the byte: during a run but for
// the weights and the hash, and afterwards but for a weight of 0 that was not
// written and labels that are empty.
func TestOnlyWeightsAndHashesAreWritten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		manifest string
		config   istio.Config
		places   []place
		rule     bool
	}{
		"hosts":       {hosts, config(), []place{{"http", 1}, {"http", 2}, {"tls", 0}, {"tcp", 0}}, false},
		"connections": {connections, config(), []place{{"tls", 0}, {"tcp", 0}}, false},
		"subsets":     {subsets, bySubsets(), []place{{"http", 0}, {"tls", 0}, {"tcp", 0}}, true},
	} {
		for _, version := range []string{"v1", "v1beta1"} {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				f := start(t, regexp.MustCompile(`networking.istio.io/v1\w*`).ReplaceAllString(c.manifest, "networking.istio.io/"+version))
				r := f.router(t, c.config, running.Admin)
				route := func() string { return f.raw(t, version, "VirtualService", "myapp") }
				rule := func() string {
					if !c.rule {
						return ""
					}
					return f.raw(t, version, "DestinationRule", "shop")
				}
				// What Serin may write is left out of both sides.
				besides := func() string {
					return anyWeight.ReplaceAllString(route(), "") + "\n" + noLabels.ReplaceAllString(anyHash.ReplaceAllString(rule(), ""), "")
				}
				atRest := func() string {
					return noWeight.ReplaceAllString(route(), "") + "\n" + noLabels.ReplaceAllString(rule(), "")
				}
				rest, others := atRest(), besides()
				for _, weight := range []int{0, 5, 50, 100} {
					apply(t, r, split(weight))
					u, err := f.read(t.Context(), "VirtualService", "myapp")
					if err != nil {
						t.Fatal(err)
					}
					if s, c, err := both(u, c.places...); err != nil || s != 100-weight || c != weight {
						t.Errorf("weights %d and %d (%v), want %d and %d", s, c, err, 100-weight, weight)
					}
					if now := besides(); now != others {
						t.Errorf("at weight %d there was beside weights and hashes\n%s\nand is\n%s", weight, others, now)
					}
					if c.rule && strings.Count(rule(), `"pod-template-hash"`) != 2 {
						t.Errorf("the subsets are not held: %s", rule())
					}
					// The same split again writes nothing.
					apply(t, r, split(weight))
					if again, err := f.read(t.Context(), "VirtualService", "myapp"); err != nil || again.GetResourceVersion() != u.GetResourceVersion() {
						t.Errorf("the same split again wrote the VirtualService (%v)", err)
					}
				}
				if c.rule {
					u, err := f.read(t.Context(), "VirtualService", "myapp")
					if err != nil {
						t.Fatal(err)
					}
					if s, c := weights(u, "http", 1); s != 70 || c != 30 {
						t.Errorf("another host's weights became %d and %d", s, c)
					}
				}
				if err := r.Rest(t.Context()); err != nil {
					t.Fatal(err)
				}
				if now := atRest(); now != rest {
					t.Errorf("between runs there was\n%s\nand is\n%s", rest, now)
				}
			})
		}
	}
}

// What the user led past the split is told as it is now, and is not the weight.
func TestWhatGoesPastTheSplitIsTold(t *testing.T) {
	t.Parallel()
	f := start(t, hosts)
	r := f.router(t, config(), running.Admin)
	apply(t, r, split(5))
	tells := func(ask func(context.Context) ([]traffic.Aside, error), want ...string) {
		t.Helper()
		groups.Eventually(t, func() error {
			all, err := ask(t.Context())
			var got []string
			for _, a := range all {
				got = append(got, a.String())
			}
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("told %q, want %q", got, want)
			}
			return err
		})
	}
	where := "VirtualService " + f.Namespace + "/myapp: spec.http"
	tells(r.Matched, "requests with header x-tester: yes go to canary whatever the weight ("+where+"[0])")
	tells(r.Mirrored)
	if o := observe(t, r); o.Weight != 5 || !slices.Equal(o.Unsplit, []rollout.Arm{rollout.Canary}) {
		t.Errorf("observed %+v, want weight 5 and the canary to get more", o)
	}
	u, err := f.read(t.Context(), "VirtualService", "myapp")
	if err != nil {
		t.Fatal(err)
	}
	patch := []byte(`[{"op":"remove","path":"/spec/http/0"},{"op":"replace","path":"/spec/http/0/mirror/host","value":"shop-canary"}]`)
	if err := f.admin.Patch(t.Context(), u, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
	tells(r.Matched)
	tells(r.Mirrored, "copies of all requests go to canary ("+where+"[0])")
}

func TestAnotherWriterIsNamed(t *testing.T) {
	t.Parallel()
	f := start(t, hosts)
	r := f.router(t, config(), running.Admin)
	apply(t, r, split(5))
	u, err := f.read(t.Context(), "VirtualService", "myapp")
	if err != nil {
		t.Fatal(err)
	}
	patch := []byte(`[{"op":"replace","path":"/spec/http/1/route/0/weight","value":40},{"op":"replace","path":"/spec/http/1/route/1/weight","value":60}]`)
	if err := f.admin.Patch(t.Context(), u, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
	seen := func(r *weighted.Router, who string, weight int) {
		t.Helper()
		groups.Eventually(t, func() error {
			o, err := r.Observe(t.Context())
			if err == nil && (!strings.HasPrefix(o.ChangedBy, who) || o.Weight != weight) {
				err = fmt.Errorf("observed %+v, want weight %d changed by %s", o, weight, who)
			}
			return err
		})
	}
	seen(r, "kubectl-edit at 20", 60)
	// A controller that has just started knows it from the object.
	seen(f.router(t, config(), running.Admin), "kubectl-edit at 20", 60)

	// Taken back; then a Git tool applies its manifest.
	apply(t, r, split(5))
	if o := observe(t, r); o.ChangedBy != "" || o.Weight != 5 {
		t.Errorf("observed %+v, want weight 5 changed by nobody else", o)
	}
	u = f.object(t, hosts)
	if err := f.admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("argocd-controller"), client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
	seen(r, "argocd-controller at 20", 0)
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	f := start(t, strings.ReplaceAll(hosts, "shop-stable", "shop"))
	r := f.router(t, config(), running.Admin)
	err := r.Prepare(t.Context())
	if !errors.Is(err, traffic.ErrRefused) {
		t.Fatalf("a route without the stable arm: %v, want ErrRefused", err)
	}
	for _, want := range []string{"VirtualService " + f.Namespace + "/myapp", "host: shop-stable", "host: shop-canary", "weight: 100", "weight: 0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	// The Services are there all the same, and reach what the old one does.
	for _, service := range []string{"shop-stable", "shop-canary"} {
		groups.Eventually(t, func() error {
			reach, err := f.Reach(t.Context(), service)
			if err == nil && (reach["old"] != 2 || reach["new"] != 2) {
				err = fmt.Errorf("%s reaches %v", service, reach)
			}
			return err
		})
	}
	// A run cannot begin, and the canary's pods get nothing from the stable arm.
	if err := r.Apply(t.Context(), split(0)); !errors.Is(err, traffic.ErrRefused) {
		t.Errorf("Apply: %v, want ErrRefused", err)
	}
	groups.Eventually(t, func() error {
		reach, err := f.Reach(t.Context(), "shop-stable")
		if err == nil && (reach["old"] != 2 || reach["new"] != 0) {
			err = fmt.Errorf("the stable arm reaches %v", reach)
		}
		return err
	})
	u, err := f.read(t.Context(), "VirtualService", "myapp")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.admin.Delete(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	groups.Eventually(t, func() error {
		if _, err = r.Observe(t.Context()); err == nil || !strings.Contains(err.Error(), "does not exist") {
			return fmt.Errorf("observing a deleted route: %s", fmt.Sprint(err))
		}
		return nil
	})
	if !errors.Is(err, traffic.ErrRefused) || !strings.Contains(err.Error(), "VirtualService "+f.Namespace+"/myapp") {
		t.Errorf("observing a deleted route: %v, want ErrRefused with its name", err)
	}
}

// The adapter works with its rules and no more, and says which one is missing.
func TestRulesAreEnoughAndAMissingOneIsNamed(t *testing.T) {
	t.Parallel()
	f := start(t, hosts)
	grant := func(user string, rules []rbacv1.PolicyRule) *rest.Config {
		role := &rbacv1.Role{Rules: rules}
		role.Name, role.Namespace = user, f.Namespace
		binding := &rbacv1.RoleBinding{
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		}
		binding.Name, binding.Namespace = user, f.Namespace
		s := kube.Scheme()
		if err := rbacv1.AddToScheme(s); err != nil {
			t.Fatal(err)
		}
		admin, err := client.New(running.Admin, client.Options{Scheme: s})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []client.Object{role, binding} {
			if err := admin.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		return running.User(user)
	}
	open := func(as *rest.Config) *weighted.Router {
		c, err := client.New(as, client.Options{Scheme: kube.Scheme()})
		if err != nil {
			t.Fatal(err)
		}
		r, err := istio.New(config(), kube.Env{Client: c, Live: c, Namespace: f.Namespace, Rollout: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	enough := open(grant("enough", istio.Rules()))
	if err := enough.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, enough, split(5))

	var less []rbacv1.PolicyRule
	for _, rule := range istio.Rules() {
		if rule.APIGroups[0] == "networking.istio.io" {
			rule.Verbs = []string{"get", "list", "watch"}
		}
		less = append(less, rule)
	}
	err := open(grant("less", less)).Apply(t.Context(), split(0))
	if !errors.Is(err, traffic.ErrRefused) || !strings.Contains(err.Error(), `cannot patch resource "virtualservices"`) {
		t.Errorf("Apply without the right to patch: %v, want ErrRefused with verb and resource", err)
	}
}

func TestConflictsAndSilenceOfTheAPIServer(t *testing.T) {
	f := start(t, hosts)
	r := f.router(t, config(), running.Admin)
	apply(t, r, split(50))

	// Somebody writes the object all the time.
	ctx, stop := context.WithCancel(t.Context())
	wrote := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			u, err := f.read(ctx, "VirtualService", "myapp")
			if err == nil {
				patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"n":"%d"}}}`, n)
				_ = f.admin.Patch(ctx, u, client.RawPatch(types.MergePatchType, patch)) // the last is cut off
			}
			time.Sleep(10 * time.Millisecond)
		}
		wrote <- n
	}()
	for _, w := range []int{0, 25, 0, 50, 0} {
		apply(t, r, split(w))
		u, err := f.read(t.Context(), "VirtualService", "myapp")
		if err != nil {
			t.Fatal(err)
		}
		if s, c := weights(u, "http", 1); s != 100-w || c != w {
			t.Errorf("after Apply(%d) the weights are %d and %d", w, s, c)
		}
	}
	stop()
	if n := <-wrote; n < 2 {
		t.Errorf("the other wrote %d times", n)
	}

	apply(t, r, split(50))
	if err := running.APIServer.Freeze(); err != nil {
		t.Fatal(err)
	}
	// A process that is told to stop goes on for a moment.
	groups.Eventually(t, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := f.read(ctx, "VirtualService", "myapp"); err == nil {
			return errors.New("the API server still answers")
		}
		return nil
	})
	began := time.Now()
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	err := r.Apply(short, split(0))
	cancel()
	took := time.Since(began)
	if err := running.APIServer.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err == nil || errors.Is(err, traffic.ErrRefused) || took > 20*time.Second {
		t.Errorf("Apply to an API server that does not answer: %v after %v, want an error within the time given", err, took)
	}
	u, err := f.read(t.Context(), "VirtualService", "myapp")
	if err != nil {
		t.Fatal(err)
	}
	if s, c := weights(u, "http", 1); s+c != 100 || c != 0 && c != 50 {
		t.Errorf("weights %d and %d, want the old or the new ones", s, c)
	}
	apply(t, r, split(0))
	groups.Eventually(t, func() error {
		if o, err := r.Observe(t.Context()); err != nil || o.Weight != 0 || o.ChangedBy != "" || !o.InEffect {
			return fmt.Errorf("observed %+v (%s)", o, fmt.Sprint(err))
		}
		return nil
	})
}

// Nobody's request is without an endpoint while the tested pods become stable,
// nor when the run goes back from there.
func TestPromotionAndTheWayBackServeEveryRequest(t *testing.T) {
	t.Parallel()
	f := start(t, hosts)
	r := f.router(t, config(), running.Admin)
	apply(t, r, split(0))
	ctx, stop := context.WithCancel(t.Context())
	type tally struct {
		looks int
		err   error
	}
	told := make(chan tally)
	go func() {
		var all tally
		for ; ctx.Err() == nil; all.looks++ {
			if _, err := f.countHosts(100); err != nil && all.err == nil {
				all.err = err
			}
		}
		told <- all
	}()
	answers := func(s traffic.Split, want int) {
		t.Helper()
		apply(t, r, s)
		groups.Eventually(t, func() error {
			o, err := r.Observe(t.Context())
			if err == nil && (!o.InEffect || o.Weight != s.Weight || o.Promoted != s.Promoted) {
				err = fmt.Errorf("observed %+v after %+v", o, s)
			}
			return err
		})
		if n, err := f.countHosts(100); err != nil || n != want {
			t.Errorf("after %+v the new version answers %d %% (%v), want %d", s, n, err, want)
		}
	}
	promoted := func(weight int) traffic.Split {
		return traffic.Split{Weight: weight, StableID: "new", CanaryID: "new", Promoted: true}
	}
	for range 3 {
		answers(split(100), 100)
		answers(promoted(100), 100)
		answers(split(0), 0) // rolled back while it was becoming stable
		answers(split(100), 100)
		answers(promoted(100), 100)
		answers(promoted(0), 100)
		answers(split(0), 0) // and after the weight was back at stable
	}
	stop()
	if all := <-told; all.err != nil || all.looks < 20 {
		t.Errorf("of %d looks one found: %v", all.looks, all.err)
	}
}

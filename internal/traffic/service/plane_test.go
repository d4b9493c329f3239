//go:build plane

package service_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
	"serin.dev/serin/internal/traffic/service"
	"serin.dev/serin/internal/traffic/traffictest"
	"serin.dev/serin/test/plane"
	"serin.dev/serin/test/plane/groups"
	"serin.dev/serin/test/plane/kubelet"
)

// running is the cluster that the tests of this package share.
var running *plane.Plane

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // what they do is mostly wait
	os.Exit(plane.Run(m, plane.Options{Kubelet: &kubelet.Options{FakeReady: true}}, &running))
}

// stable is how many pods serve: the fewest that make 5 %.
const stable = 19

func start(t *testing.T) *groups.Groups {
	t.Helper()
	g := groups.New(t, running)
	g.Service(t, "shop")
	g.Scale(t, "old", stable)
	return g
}

func router(t *testing.T, g *groups.Groups) *service.Router {
	t.Helper()
	r, _ := routerOver(t, g)
	return r
}

// routerOver returns a router and the cache that it sees the cluster through.
func routerOver(t *testing.T, g *groups.Groups) (*service.Router, client.Reader) {
	t.Helper()
	cached, live := groups.Cached(t, running.Admin, kube.Scheme())
	r, err := service.New(service.Config{}, kube.Env{Client: cached, Live: live, Namespace: g.Namespace, Rollout: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return r, cached
}

// pods is how many the canary has at a weight; at 0 those of the phase before
// are still there.
func pods(weight int) int { return max(service.CanaryPods(stable, weight), 1) }

func TestServiceConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Harness {
		t.Parallel()
		g := start(t)
		g.Scale(t, "new", 1)
		r, seen := routerOver(t, g)
		if err := r.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		count := func(n int) (int, error) {
			ctx, cancel := context.WithTimeout(context.Background(), groups.Limit)
			defer cancel()
			reach, err := g.Reach(ctx, "shop")
			if err != nil {
				return 0, err
			}
			return groups.Count(n, "new", groups.Arm{Weight: 1, Reach: reach})
		}
		now := 1
		// settled waits until the endpoints are those that the selector makes: the
		// share that is in effect may be below the weight while they come.
		settled := func() error {
			s, err := running.Client.CoreV1().Services(g.Namespace).Get(t.Context(), "shop", metav1.GetOptions{})
			if err != nil {
				return err
			}
			want := map[string]int{"old": stable, "new": now}
			if hash := s.Spec.Selector["pod-template-hash"]; hash != "" {
				want = map[string]int{hash: want[hash]}
			}
			reach, err := g.Reach(t.Context(), "shop")
			if err == nil && !maps.Equal(reach, want) {
				err = fmt.Errorf("the Service reaches %v, want %v", reach, want)
			}
			return err
		}
		return traffictest.Harness{
			Router: r, StableID: "old", CanaryID: "new", FindsInstances: true, Exact: true, Waits: true,
			Count: func(n int) (int, error) {
				groups.Eventually(t, settled)
				return count(n)
			},
			Send: func() (rollout.Arm, error) {
				n, err := count(100)
				if n > 50 {
					return rollout.Canary, err
				}
				return rollout.Stable, err
			},
			Reopen: func(t *testing.T) (again traffic.Router) {
				again, seen = routerOver(t, g)
				return again
			},
			Arrange: func(t *testing.T, weight int) {
				if want := pods(weight); weight > 0 && want != now {
					g.Scale(t, "new", want)
					now = want
					// Pods that have gone may be in the router's cache for a moment
					// longer; it would count them, and refuse the weight.
					groups.Eventually(t, func() error { return g.Seen(t.Context(), seen, "new", want) })
				}
			},
			Share: func(weight int) float64 {
				if weight == 0 || weight == rollout.Full {
					return float64(weight)
				}
				return 100 * float64(pods(weight)) / float64(pods(weight)+stable)
			},
			Weights:  []int{0, 5, 50, 100, 25, 0},
			Patience: groups.Limit, Rounds: 3,
		}
	})
}

func split(weight int) traffic.Split {
	return traffic.Split{Weight: weight, StableID: "old", CanaryID: "new"}
}

func apply(t *testing.T, r *service.Router, s traffic.Split) {
	t.Helper()
	groups.Eventually(t, func() error { return r.Apply(t.Context(), s) })
}

func becomes(t *testing.T, r *service.Router, ok func(traffic.Observed) bool) {
	t.Helper()
	groups.Eventually(t, func() error {
		o, err := r.Observe(t.Context())
		if err == nil && !ok(o) {
			err = fmt.Errorf("observed %+v", o)
		}
		return err
	})
}

func TestTooManyPodsForTheWeightAreRefused(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.Scale(t, "old", 10)
	g.Scale(t, "new", 1)
	r := router(t, g)
	apply(t, r, split(0))
	var err error
	groups.Eventually(t, func() error {
		if err = r.Apply(t.Context(), split(5)); !errors.Is(err, traffic.ErrRefused) {
			return fmt.Errorf("Apply(5) with 1 of 11 pods: %s, want ErrRefused", fmt.Sprint(err))
		}
		return nil
	})
	for _, want := range []string{"weight 5 %", "1 of the canary beside 10", "9.1 %", "write 10 or more", "run 19 pods"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	apply(t, r, split(10))
	becomes(t, r, func(o traffic.Observed) bool { return o.Weight == 10 && o.InEffect && o.ChangedBy == "" })

	// More pods than the weight allows are seen, though nobody asked.
	g.Scale(t, "new", 3)
	becomes(t, r, func(o traffic.Observed) bool { return o.Weight == 10 && !o.InEffect })
	// Going back waits for nothing.
	if err := r.Apply(t.Context(), split(0)); err != nil {
		t.Fatal(err)
	}
	becomes(t, r, func(o traffic.Observed) bool { return o.Weight == 0 && o.InEffect })
}

func TestASelectorChangedBySomebodyIsNamed(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.Scale(t, "new", 1)
	r := router(t, g)
	apply(t, r, split(0))
	becomes(t, r, func(o traffic.Observed) bool { return o.Weight == 0 && o.InEffect })
	patch := []byte(`{"spec":{"selector":{"pod-template-hash":null}}}`)
	if _, err := running.Client.CoreV1().Services(g.Namespace).Patch(t.Context(), "shop", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-patch"}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*service.Router{r, router(t, g)} {
		becomes(t, r, func(o traffic.Observed) bool {
			return o.Weight == 5 && strings.HasPrefix(o.ChangedBy, "kubectl-patch at 20")
		})
	}
}

func TestRestLeavesTheServiceAsItWas(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.Scale(t, "new", 1)
	read := func() *corev1.Service {
		t.Helper()
		s, err := running.Client.CoreV1().Services(g.Namespace).Get(t.Context(), "shop", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := read()
	r := router(t, g)
	apply(t, r, split(5))
	if err := r.Rest(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := read()
	if len(after.Annotations) != 0 || !reflect.DeepEqual(after.Spec, before.Spec) {
		t.Errorf("was %+v and is %+v with %v", before.Spec, after.Spec, after.Annotations)
	}
	version := after.ResourceVersion
	if err := r.Rest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := read().ResourceVersion; again != version {
		t.Errorf("a Service at rest was written again")
	}
}

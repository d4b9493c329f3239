//go:build plane

package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/engine"
)

// weights returns the weights of the shop's route, stable's first.
func (s *shop) weights() []int64 {
	s.t.Helper()
	var out []int64
	s.read(func(ctx context.Context, c client.Client) (err error) {
		out, err = s.weightsBy(ctx, c)
		return err
	})
	return out
}

// canaryWeight is the canary's weight, for those that look on while a test goes
// on.
func (s *shop) canaryWeight(ctx context.Context, c client.Client) (int64, error) {
	all, err := s.weightsBy(ctx, c)
	if err != nil {
		return 0, err
	}
	return all[1], nil
}

func (s *shop) weightsBy(ctx context.Context, c client.Client) ([]int64, error) {
	route := &unstructured.Unstructured{}
	route.SetAPIVersion("gateway.networking.k8s.io/v1")
	route.SetKind("HTTPRoute")
	if err := c.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "shop"}, route); err != nil {
		return nil, err
	}
	return weightsIn(route), nil
}

func weightsIn(route *unstructured.Unstructured) (out []int64) {
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	for _, ref := range rules[0].(map[string]any)["backendRefs"].([]any) {
		out = append(out, ref.(map[string]any)["weight"].(int64))
	}
	return out
}

// history watches the route from now on and returns every weight that the
// canary's has had since, in their order, also one that had passed before
// anybody looked.
func (s *shop) history() func() []int64 {
	s.t.Helper()
	c, err := dynamic.NewForConfig(cluster.Admin)
	if err != nil {
		s.t.Fatal(err)
	}
	routes := schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}
	w, err := c.Resource(routes).Namespace(s.namespace).Watch(context.WithoutCancel(s.t.Context()), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var (
		mu   sync.Mutex
		seen []int64
		done sync.WaitGroup
	)
	done.Go(func() {
		for e := range w.ResultChan() {
			if route, ok := e.Object.(*unstructured.Unstructured); ok && route.GetName() == "shop" {
				mu.Lock()
				seen = append(seen, weightsIn(route)[1])
				mu.Unlock()
			}
		}
	})
	s.t.Cleanup(func() { w.Stop(); done.Wait() })
	return func() []int64 {
		mu.Lock()
		defer mu.Unlock()
		return slices.Compact(slices.Clone(seen))
	}
}

func TestAGoodVersionBecomesTheRelease(t *testing.T) {
	t.Parallel()
	s := open(t, 3)
	s.roll(quickPhases)
	old := s.pods()
	users := send(t, s.host, 50)
	time.Sleep(2 * time.Second)
	s.change("v2")
	eventually(t, limit, func() error {
		if got := s.weights(); got[1] == 0 {
			return fmt.Errorf("the canary has no weight yet: %+v", s.rollout().Status)
		}
		return nil
	})
	var tested []string
	for _, p := range s.pods() {
		if !slices.Contains(old, p) {
			tested = append(tested, p)
		}
	}
	run := s.ends(1, limit)
	if run.Status.Phase != string(engine.Promoted) {
		t.Fatalf("the run ended as %q: %s", run.Status.Phase, run.Status.Reason)
	}
	eventually(t, limit, func() error {
		if d := s.deployment(); d.Spec.Paused || d.Status.UpdatedReplicas != 3 || d.Status.Replicas != 3 {
			return fmt.Errorf("the Deployment is not an ordinary one of the new version: paused %v, %+v", d.Spec.Paused, d.Status)
		}
		return nil
	})
	users.stop()
	got := count(users.got(time.Time{}))
	if got.failed > 0 {
		t.Errorf("%d of %d requests failed: %v", got.failed, got.all, got.why)
	}
	if got.versions["v2"] == 0 || got.versions["v1"] == 0 {
		t.Errorf("who answered: %v", got.versions)
	}
	now := s.pods()
	for _, p := range tested {
		if !slices.Contains(now, p) {
			t.Errorf("pod %s was tested and does not serve; these do: %v", p, now)
		}
	}
	for _, p := range old {
		if slices.Contains(now, p) {
			t.Errorf("pod %s of the old version is still there", p)
		}
	}
	if got := s.weights(); got[0] != 100 || got[1] != 0 {
		t.Errorf("at rest the route's weights are %v", got)
	}
	history, err := cluster.Kubectl(t.Context(), "rollout", "history", "deployment/shop", "-n", s.namespace)
	if err != nil || !strings.Contains(history, "\n1 ") || !strings.Contains(history, "\n2 ") {
		t.Errorf("kubectl rollout history does not show both revisions: %v\n%s", err, history)
	}
}

func TestABadVersionIsRolledBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"errors", []string{"-errors=0.5"}, "errors"},
		// Traefik's own histogram begins at 100 ms.
		{"slow", []string{"-delay=250ms"}, "response time"},
		{"crashes", []string{"-crash=6s"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 2)
			s.roll("[{weight: 20, duration: 5m}, {weight: 100, duration: 5m}]")
			users := send(t, s.host, 50)
			s.change("v2", c.args...)
			run := s.ends(1, limit)
			ended := time.Now()
			if run.Status.Phase != string(engine.RolledBack) {
				t.Fatalf("the run ended as %q: %s", run.Status.Phase, run.Status.Reason)
			}
			if !strings.Contains(run.Status.Reason, c.says) {
				t.Errorf("the reason %q does not name %q", run.Status.Reason, c.says)
			}
			time.Sleep(2 * time.Second)
			users.stop()
			after := count(users.got(ended))
			if after.versions["v2"] > 0 || after.versions["v1"] == 0 || after.failed > 0 {
				t.Errorf("after the rollback: %v, %d failed: %v", after.versions, after.failed, after.why)
			}
			if got := s.weights(); got[0] != 100 || got[1] != 0 {
				t.Errorf("the route's weights are %v", got)
			}
			eventually(t, limit, func() error {
				if d := s.deployment(); !d.Spec.Paused {
					return fmt.Errorf("the Deployment is not held with the rejected template")
				}
				if r := s.rollout(); r.Status.Rejected == nil {
					return fmt.Errorf("the rollout does not say what was rejected: %+v", r.Status)
				}
				if len(s.pods()) != 2 {
					return fmt.Errorf("the pods are %v", s.pods())
				}
				return nil
			})
		})
	}
}

func TestAVersionThatNeverBecomesReadyGetsNoRequest(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll("[{weight: 20, duration: 5m}, {weight: 100, duration: 5m}]")
	users := send(t, s.host, 20)
	s.change("v2", "-unready")
	run := s.ends(1, limit)
	users.stop()
	if run.Status.Phase != string(engine.RolledBack) {
		t.Fatalf("the run ended as %q: %s", run.Status.Phase, run.Status.Reason)
	}
	if got := count(users.got(time.Time{})); got.versions["v2"] > 0 || got.failed > 0 {
		t.Errorf("who answered: %v, %d failed: %v", got.versions, got.failed, got.why)
	}
}

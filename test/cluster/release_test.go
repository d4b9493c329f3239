//go:build plane

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
	"serin.dev/serin/test/plane"
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
	timed := s.timedHistory()
	return func() (out []int64) {
		for _, w := range timed() {
			out = append(out, w.weight)
		}
		return out
	}
}

// weighed is a weight and when it was seen first.
type weighed struct {
	weight int64
	at     time.Time
}

// timedHistory is history with times.
func (s *shop) timedHistory() func() []weighed {
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
		seen []weighed
		done sync.WaitGroup
	)
	done.Go(func() {
		for e := range w.ResultChan() {
			if route, ok := e.Object.(*unstructured.Unstructured); ok && route.GetName() == "shop" {
				mu.Lock()
				if w := weightsIn(route)[1]; len(seen) == 0 || seen[len(seen)-1].weight != w {
					seen = append(seen, weighed{w, time.Now()})
				}
				mu.Unlock()
			}
		}
	})
	s.t.Cleanup(func() { w.Stop(); done.Wait() })
	return func() []weighed {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// podsOf returns the names of a version's pods that are not going.
func (s *shop) podsOf(version string) []string {
	s.t.Helper()
	return s.podsWhere(func(p *corev1.Pod) bool {
		return slices.Contains(p.Spec.Containers[0].Args, "-version="+version)
	})
}

func TestAGoodVersionBecomesTheRelease(t *testing.T) {
	t.Parallel()
	s := open(t, 3)
	s.roll(quickPhases)
	old := s.pods()
	weights := s.timedHistory()
	users := send(t, s.host, 50)
	time.Sleep(2 * time.Second)
	s.change("v2")
	s.weighs(5)
	first := s.podsOf("v2")
	s.weighs(100)
	tested := s.podsOf("v2")
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
	// The pods that were tested are the pods that serve, and no other.
	if now := s.pods(); !slices.Equal(now, tested) || len(first) != 1 || !slices.Contains(now, first[0]) {
		t.Errorf("%v serve; in the first phase %v were tested, in the last %v, and before there were %v", now, first, tested, old)
	}
	phases := weights()
	if got := fmt.Sprint(weightsOnly(phases)); got != "[0 5 50 100 0]" {
		t.Fatalf("the canary's weights were %s", got)
	}
	for i, p := range phases {
		if next := i + 1; p.weight == 5 || p.weight == 50 {
			// What was sent while the next weight was being written may have got it.
			checkShare(t, users.got(time.Time{}), p.at, phases[next].at.Add(-oneWrite), float64(p.weight)/100)
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

func weightsOnly(all []weighed) (out []int64) {
	for _, w := range all {
		out = append(out, w.weight)
	}
	return out
}

const (
	// tick is that of the tests' rollouts.
	tick = 2 * time.Second
	// oneWrite is as long as one write to the API server is to take at most.
	oneWrite = time.Second
	// gatewayPause is Traefik's own: it takes a change up that long after the one
	// before at the soonest.
	gatewayPause = 2 * time.Second
)

// writes are writes to the API server, and how long they took.
type writes struct {
	mu   sync.Mutex
	took map[time.Time]time.Duration
}

// measure writes something small again and again until the test ends: what a write
// to the API server takes on a machine that is busy with other tests too.
func (s *shop) measure() *writes {
	s.t.Helper()
	w := &writes{took: map[time.Time]time.Duration{}}
	c := admin(s.t)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	s.t.Cleanup(func() { cancel(); done.Wait() })
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "measure"}}
	if err := c.Create(ctx, object); err != nil {
		s.t.Fatal(err)
	}
	done.Go(func() {
		s.annotate(ctx, c, "measure", object, 200*time.Millisecond, func(begun time.Time) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.took[begun] = time.Since(begun)
		})
	})
	return w
}

// slowest is what a write took at most that was under way within a time.
func (w *writes) slowest(from, until time.Time) (most time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for begun, took := range w.took {
		if begun.Before(until) && begun.Add(took).After(from) {
			most = max(most, took)
		}
	}
	return most
}

// wentBackAtOnce checks of a run that was rolled back that the weight was written
// with the verdict, and that within one tick and one write stable served alone.
func (s *shop) wentBackAtOnce(run string, u *users, w *writes) {
	s.t.Helper()
	var verdict, written time.Time
	for line := range bytes.Lines(s.record(run)) {
		var d record.Decision
		if verdict.IsZero() && json.Unmarshal(line, &d) == nil && d.Decision == engine.Rollback {
			verdict = d.At
		}
		var e record.Effect
		if json.Unmarshal(line, &e) == nil && e.Effect == "weight" && strings.HasSuffix(e.Detail, "-> 0") && e.Error == "" {
			written = e.At
		}
	}
	if verdict.IsZero() {
		s.t.Fatalf("the record of %s has no verdict", run)
	}
	last := count(u.got(time.Time{})).lastOf["v2"]
	until := verdict.Add(tick + oneWrite)
	for _, at := range []time.Time{written, last} {
		if at.After(until) {
			until = at
		}
	}
	if took := w.slowest(verdict, until); took > oneWrite {
		s.t.Logf("a write took the test itself %s, so how quick the way back is cannot be told here", took)
		return
	}
	if took := written.Sub(verdict); took > oneWrite {
		s.t.Errorf("the weight was written %s after the verdict", took)
	}
	if took := last.Sub(verdict); took > tick+oneWrite+gatewayPause {
		s.t.Errorf("the canary still got a request %s after the verdict", took)
	}
}

// meddle writes what a run is about again and again until the test ends, as other
// controllers do. Who goes by an older reading is refused.
func (s *shop) meddle() {
	s.t.Helper()
	c := admin(s.t)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	s.t.Cleanup(func() { cancel(); done.Wait() })
	route := &unstructured.Unstructured{}
	route.SetAPIVersion("gateway.networking.k8s.io/v1")
	route.SetKind("HTTPRoute")
	for name, object := range map[string]client.Object{
		"shop-stable": &corev1.Service{}, "shop-canary": &corev1.Service{}, "shop": &appsv1.Deployment{}, "shop-1": &serinv1.CanaryRun{},
	} {
		done.Go(func() { s.annotate(ctx, c, name, object, meddlePause, func(time.Time) {}) })
	}
	done.Go(func() { s.annotate(ctx, c, "shop", route, meddlePause, func(time.Time) {}) })
}

// meddlePause is between two writes of one object.
const meddlePause = 200 * time.Millisecond

// annotate writes an object, once it is there, again and again, and tells of each
// write when it was begun.
func (s *shop) annotate(ctx context.Context, c client.Client, name string, object client.Object, pause time.Duration, wrote func(begun time.Time)) {
	object.SetNamespace(s.namespace)
	object.SetName(name)
	for n := 0; ctx.Err() == nil; n++ {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"meddled":"%d"}}}`, n)
		begun := time.Now()
		if err := c.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner("meddler")); err == nil {
			wrote(begun)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func TestABadVersionIsRolledBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		args   []string
		says   string
		others bool // write the objects too
	}{
		{"errors", []string{"-errors=0.5"}, "errors", false},
		{"errors while others write", []string{"-errors=0.5"}, "errors", true},
		// Traefik's own histogram begins at 100 ms.
		{"slow", []string{"-delay=250ms"}, "response time", false},
		{"crashes", []string{"-crash=6s"}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 2)
			s.roll("[{weight: 20, duration: 5m}, {weight: 100, duration: 5m}]")
			users := send(t, s.host, 50)
			writes := s.measure()
			if c.others {
				s.meddle()
			}
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
			s.wentBackAtOnce("shop-1", users, writes)
			s.tells("shop", "Ready", "RolledBack", run.Status.Reason)
			s.says(0, run.Status.Reason, "report", "shop")
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
	s.tells("shop", "Ready", "RolledBack", run.Status.Reason)
	// The rest of it has brackets, which Markdown writes otherwise.
	why, _, _ := strings.Cut(run.Status.Reason, " (")
	s.says(0, why, "report", "shop")
}

// When no canary pod is ready any more, stable serves alone before anything is
// judged, and the way back needs no canary.
func TestEveryCanaryPodBecomesUnready(t *testing.T) {
	t.Parallel()
	s := open(t, 4)
	s.roll("[{weight: 50, duration: 5m}]", "holdTimeout: 60s", "holdTimeout: 10s")
	users := send(t, s.host, 50)
	file := filepath.Join(t.TempDir(), "unready")
	s.change("v2", "-unready-when="+file)
	s.weighs(50)
	weights := s.timedHistory()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := s.rolledBack(1, "capacity")
	if err := os.Remove(file); err != nil { // ready again, and too late
		t.Fatal(err)
	}
	time.Sleep(tick + 5*time.Second)
	users.stop()
	phases := weights()
	if got := fmt.Sprint(weightsOnly(phases)); got != "[50 0]" {
		t.Fatalf("the canary's weights were %s", got)
	}
	alone := phases[1].at.Add(tick + 5*time.Second) // in which the gateway follows the route
	if got := count(users.got(alone)); got.versions["v2"] > 0 || got.versions["v1"] == 0 || got.failed > 0 {
		t.Errorf("after the weight was taken away: %v, %d of %d failed: %v", got.versions, got.failed, got.all, got.why)
	}
	s.tells("shop", "Ready", "RolledBack", run.Status.Reason)
}

// A version that crashes in its first phase goes back on that alone: no figures
// are waited for, here there are none.
func TestACrashLoopIsNotWaitedForMetrics(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	prometheus := newLink(t, "10.88.250.4:9090")
	s.roll("[{weight: 5, duration: 5m}, {weight: 100, duration: 5m}]", plane.PrometheusURL, "http://"+prometheus.address)
	users := send(t, s.host, 50)
	file := filepath.Join(t.TempDir(), "crash")
	writes := s.measure()
	s.change("v2", "-crash-when="+file)
	s.weighs(5)
	prometheus.Cut()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := s.rolledBack(1, "end")
	ended := time.Now()
	if strings.Contains(run.Status.Reason, "figures") {
		t.Errorf("it went back for want of figures: %s", run.Status.Reason)
	}
	time.Sleep(tick)
	users.stop()
	if got := count(users.got(ended)); got.versions["v2"] > 0 || got.versions["v1"] == 0 || got.failed > 0 {
		t.Errorf("after the rollback: %v, %d failed: %v", got.versions, got.failed, got.why)
	}
	s.wentBackAtOnce("shop-1", users, writes)
	s.tells("shop", "Ready", "RolledBack", run.Status.Reason)
}

//go:build plane

package cluster

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
)

const plainService = `apiVersion: v1
kind: Service
metadata: {name: shop, namespace: NS}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: http}]}
`

// direct asks the ready pods behind a Service, as kube-proxy leads requests to
// them.
type direct struct {
	mu        sync.Mutex
	addresses []string
	// weights holds when each weight was last seen written on the Service.
	weights map[string]time.Time
}

// RoundTrip implements http.RoundTripper.
func (d *direct) RoundTrip(req *http.Request) (*http.Response, error) {
	d.mu.Lock()
	n := len(d.addresses)
	if n == 0 {
		d.mu.Unlock()
		return nil, fmt.Errorf("the Service has no endpoint")
	}
	to := d.addresses[rand.IntN(n)]
	d.mu.Unlock()
	req = req.Clone(req.Context())
	req.URL.Host = to
	return http.DefaultTransport.RoundTrip(req)
}

// look reads the endpoints and the weight.
func (d *direct) look(ctx context.Context, s *shop) error {
	var list discoveryv1.EndpointSliceList
	if err := admin(s.t).List(ctx, &list, client.InNamespace(s.namespace), client.MatchingLabels{discoveryv1.LabelServiceName: "shop"}); err != nil {
		return err
	}
	var all []string
	for i := range list.Items {
		for _, e := range list.Items[i].Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				for _, p := range list.Items[i].Ports {
					all = append(all, e.Addresses[0]+":"+strconv.Itoa(int(*p.Port)))
				}
			}
		}
	}
	asked := time.Now()
	service, err := s.service(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addresses = all
	d.weights[service.Annotations[serinv1.WeightAnnotation]] = asked
	return nil
}

func (d *direct) endpoints() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.addresses)
}

func (s *shop) service(ctx context.Context) (*corev1.Service, error) {
	service := &corev1.Service{}
	err := admin(s.t).Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "shop"}, service)
	return service, err
}

// behindAService makes a shop whose users reach it through a plain Service.
func behindAService(t *testing.T, phases string) (*shop, *direct) {
	t.Helper()
	s := open(t, 4)
	s.apply(plainService)
	s.roll(phases, "gatewayAPI: {httpRoute: shop}", "service: {name: shop}", "preset: traefik", "preset: otel")
	d := &direct{weights: map[string]time.Time{}}
	var looking sync.WaitGroup
	t.Cleanup(looking.Wait)
	ctx := context.WithoutCancel(t.Context()) // the last look is finished
	looking.Go(func() {
		for t.Context().Err() == nil {
			_ = d.look(ctx, s) // the next look has it
			time.Sleep(100 * time.Millisecond)
		}
	})
	eventually(t, limit, func() error {
		if n := d.endpoints(); n != 4 {
			return fmt.Errorf("the Service has %d endpoints", n)
		}
		return nil
	})
	return s, d
}

// atRest checks that the Service is as its owner wrote it.
func (s *shop) atRest() {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		service, err := s.service(s.t.Context())
		if err == nil && !reflect.DeepEqual(service.Spec.Selector, map[string]string{"app": "shop"}) {
			err = fmt.Errorf("at rest the Service selects %v", service.Spec.Selector)
		}
		return err
	})
}

func TestAGoodVersionIsReleasedBehindAPlainService(t *testing.T) {
	t.Parallel()
	s, d := behindAService(t, "[{weight: 20, duration: 12s}, {weight: 50, duration: 10s}, {weight: 100, duration: 6s}]")
	old := s.pods()
	users := sendBy(t, &http.Client{Timeout: 10 * time.Second, Transport: d}, s.host, 50)
	s.change("v2")
	seen := map[string]bool{} // every pod that there was
	eventually(t, limit, func() error {
		for _, p := range s.pods() {
			seen[p] = true
		}
		if runs := s.runs(); len(runs) == 0 || runs[0].Status.EndedAt == nil {
			return fmt.Errorf("the run goes on: %+v", s.rollout().Status)
		}
		return nil
	})
	if run := s.ends(1, limit); run.Status.Phase != string(engine.Promoted) {
		t.Fatalf("the run ended as %s: %s", run.Status.Phase, run.Status.Reason)
	}
	s.released(1, 4)
	s.unharmed(users)
	s.atRest()
	s.recorded("shop-1")
	if got := slices.Collect(maps.Keys(seen)); len(got) != 8 {
		t.Errorf("there were %d pods, want 4 of each version and none made anew: %v, at first %v", len(got), got, old)
	}
	// S1, at the users: until a weight was last seen, the canary's part of the
	// requests was at most that weight's, but for chance of one in a thousand
	// million.
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range []struct {
		weight string
		share  float64
	}{{"20", 0.2}, {"50", 0.5}} {
		until, ok := d.weights[c.weight]
		if !ok {
			t.Fatalf("weight %s was never written: %v", c.weight, d.weights)
		}
		checkShare(t, users.got(time.Time{}), time.Time{}, until, c.share)
	}
}

// checkShare checks that v2 answered no larger part of the requests that were sent
// within a time than the share, but for chance of one in a thousand million (S1).
func checkShare(t *testing.T, answers []answer, from, until time.Time, share float64) {
	t.Helper()
	var n, canary int
	for _, a := range answers {
		if !a.at.Before(from) && a.at.Before(until) {
			if n++; a.version == "v2" {
				canary++
			}
		}
	}
	if p := atLeast(canary, n, share); canary == 0 || p < 1e-9 {
		t.Errorf("while it was to have %g of them the canary answered %d of %d requests (p = %g)", share, canary, n, p)
	}
}

// atLeast is the probability of k or more successes in n tries of probability p.
func atLeast(k, n int, p float64) float64 {
	choose := func(n, k int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return a - b - c
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(choose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}

func TestABadVersionBehindAPlainServiceGoesBack(t *testing.T) {
	t.Parallel()
	s, d := behindAService(t, "[{weight: 20, duration: 5m}, {weight: 100, duration: 5m}]")
	users := sendBy(t, &http.Client{Timeout: 10 * time.Second, Transport: d}, s.host, 50)
	s.change("v2", "-errors=0.5")
	s.rolledBack(1, "errors")
	back := time.Now()
	time.Sleep(2 * time.Second)
	users.stop()
	if got := count(users.got(back)); got.versions["v2"] > 0 || got.versions["v1"] == 0 || got.failed > 0 {
		t.Errorf("after the rollback: %v, %d failed: %v", got.versions, got.failed, got.why)
	}
	s.atRest()
}

func TestAWeightThatThePodsCannotMakeIsSaid(t *testing.T) {
	t.Parallel()
	s := open(t, 4)
	s.apply(plainService)
	s.apply(rolloutOf("[{weight: 5, duration: 10s}, {weight: 50, duration: 10s}]", ownRoute, "service: {name: shop}", "preset: traefik", "preset: otel"))
	says := func(want bool) {
		t.Helper()
		eventually(t, limit, func() error {
			c := condition(s.rollout().Status.Conditions, "Stalled")
			if got := c != nil && strings.Contains(c.Message, "spec.plan.phases[0].weight: 5 % cannot be made") && strings.Contains(c.Message, "write 20 or more, run 19 pods"); got != want {
				return fmt.Errorf("the condition is %+v", c)
			}
			return nil
		})
	}
	says(true)
	s.change("v2")
	time.Sleep(2 * time.Second)
	if runs := s.runs(); len(runs) > 0 {
		t.Errorf("a run has begun: %+v", runs[0].Status)
	}
	s.kubectl("scale", "deployment/shop", "--replicas=19")
	says(false)
}

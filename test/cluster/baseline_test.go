//go:build plane

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"serin.dev/serin/internal/engine"
)

// withBaseline is what a plan with a baseline has in its rollout.
var withBaseline = []string{"drain: 3s", "drain: 3s\n    baseline: true"}

// cold opens a shop of whose versions pods that start from the second return on
// are slower than those that serve already, and whose route names a baseline.
func cold(t *testing.T, replicas int) (s *shop, args string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cold")
	args = "-cold-when=" + file
	s = open(t, replicas, "-version=v1]", "-version=v1, "+args+"]",
		"weight: 0}", "weight: 0}\n    - {name: shop-baseline, port: 80, weight: 0}")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, args
}

// baselines are the pods of the shop's baseline that are not going.
func (s *shop) baselines() []string {
	s.t.Helper()
	return slices.DeleteFunc(s.pods(), func(name string) bool { return !strings.Contains(name, "-baseline-") })
}

// noBaseline asks that nothing of a baseline is left.
func (s *shop) noBaseline() {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		var sets appsv1.ReplicaSetList
		if err := admin(s.t).List(s.t.Context(), &sets, client.InNamespace(s.namespace)); err != nil {
			return err
		}
		for i := range sets.Items {
			if name := sets.Items[i].Name; strings.HasSuffix(name, "-baseline") {
				return fmt.Errorf("ReplicaSet %s is still there", name)
			}
		}
		if got := s.weights(); !slices.Equal(got, []int64{100, 0, 0}) {
			return fmt.Errorf("the route's weights are %v", got)
		}
		service := &corev1.Service{}
		if err := admin(s.t).Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "shop-baseline"}, service); err != nil {
			return err
		}
		if len(service.Spec.Selector) != 1 {
			return fmt.Errorf("the baseline's Service is held to %v", service.Spec.Selector)
		}
		return nil
	})
}

// recordTells says whether a run's record has a text.
func (s *shop) recordTells(text string) bool {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(archive, s.namespace, "shop", "shop-1", "record.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Contains(string(data), text)
}

func TestAColdCanaryNeedsABaseline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		baseline bool
		args     []string
		want     engine.Status
	}{
		{"without one it is taken for a slow version", false, nil, engine.RolledBack},
		{"with one it is promoted", true, nil, engine.Promoted},
		{"with one a slow version is rolled back", true, []string{"-delay=600ms"}, engine.RolledBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, cold := cold(t, 3)
			var instead []string
			if c.baseline {
				instead = withBaseline
			}
			s.roll("[{weight: 20, duration: 40s}, {weight: 33, duration: 8s}]", instead...)
			users := send(t, s.host, 50)
			s.change("v2", append(c.args, cold)...)
			if c.baseline && c.want == engine.Promoted { // a rollback may be quicker than the look
				eventually(t, limit, func() error {
					if got, pods := s.weights(), s.baselines(); got[1] != 20 || got[2] != 20 || len(pods) != 1 {
						return fmt.Errorf("the weights are %v, the baseline's pods %v: %+v", got, pods, s.rollout().Status)
					}
					return nil
				})
			}
			run := s.ends(1, 2*limit)
			if run.Status.Phase != string(c.want) {
				t.Fatalf("the run ended as %q, want %q: %s", run.Status.Phase, c.want, run.Status.Reason)
			}
			if c.baseline {
				s.noBaseline()
			}
			s.unharmed(users)
			s.recorded("shop-1")
			if with := s.recordTells(`"baseline":{"instances":1,"requests":`); with != c.baseline {
				t.Errorf("the record has a baseline's figures: %v", with)
			}
			logs, err := filepath.Glob(filepath.Join(archive, s.namespace, "shop", "shop-1", "logs", "*-baseline-*"))
			if err != nil || len(logs) > 0 != c.baseline {
				t.Errorf("the baseline's logs in the archive: %v (%v)", logs, err)
			}
			eventually(t, limit, func() error {
				if got, pods := s.deployment().Status.Replicas, s.pods(); got != 3 || len(pods) != 3 {
					return fmt.Errorf("the Deployment counts %d pods, and there are %v", got, pods)
				}
				return nil
			})
		})
	}
}

// A baseline that loses a pod is given up: its share goes back to stable, the
// run goes on, and no user notices.
func TestABaselineThatLosesAPodIsGivenUp(t *testing.T) {
	t.Parallel()
	s, _ := cold(t, 6)
	s.roll("[{weight: 33, duration: 20s}, {weight: 50, duration: 6s}]", withBaseline...)
	users := send(t, s.host, 50)
	s.change("v2")
	eventually(t, limit, func() error {
		if got, pods := s.weights(), s.baselines(); got[2] != 33 || len(pods) != 2 {
			return fmt.Errorf("the weights are %v, the baseline's pods %v: %+v", got, pods, s.rollout().Status)
		}
		return nil
	})
	time.Sleep(3 * time.Second)
	s.kubectl("delete", "pod", s.baselines()[0], "--wait=false")
	eventually(t, limit, func() error {
		// The run goes on, and may be a phase further by then.
		if got := s.weights(); got[1] < 33 || got[2] != 0 {
			return fmt.Errorf("the weights are %v", got)
		}
		return nil
	})
	s.says(0, "given up, so the canary is compared with stable: ", "describe", "shop")
	s.released(1, 6)
	s.says(0, "The baseline is given up: ", "report", "shop")
	s.noBaseline()
	s.unharmed(users)
	s.recorded("shop-1")
	if !s.recordTells(`"reason":"noBaseline"`) {
		t.Error("the record does not say that the baseline was given up")
	}
}

// A controller that is killed finds the baseline again, and a rollout that is
// deleted in the middle leaves none.
func TestABaselineOutlivesItsControllerAndNotItsRollout(t *testing.T) {
	s, args := cold(t, 3)
	s.roll("[{weight: 20, duration: 10m}]", withBaseline...)
	users := send(t, s.host, 50)
	s.change("v2", args)
	var before []string
	eventually(t, limit, func() error {
		if before = s.baselines(); len(before) != 1 || s.weights()[2] != 20 {
			return fmt.Errorf("the weights are %v, the baseline's pods %v: %+v", s.weights(), before, s.rollout().Status)
		}
		return nil
	})
	killAll(t)
	time.Sleep(15 * time.Second) // it is back and has looked
	if now := s.baselines(); !slices.Equal(now, before) || s.weights()[2] != 20 {
		t.Errorf("the baseline's pods are %v, before the controller was killed %v; the weights %v", now, before, s.weights())
	}
	s.kubectl("delete", "canaryrollout", "shop", "--wait=false")
	s.noBaseline()
	eventually(t, limit, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		out, err := cluster.Kubectl(ctx, "get", "canaryrollout", "-n", s.namespace, "-o", "name")
		if err != nil || out != "" {
			return fmt.Errorf("the rollout is still there: %s %w", out, err)
		}
		return nil
	})
	s.unharmed(users)
}

// Whether the route names the baseline first or the plan does, the Service is
// there, without which the gateway would refuse the route.
func TestARouteMayNameTheBaselineBeforeThePlanDoes(t *testing.T) {
	t.Parallel()
	s, _ := cold(t, 3)
	s.roll(longPhases)
	s.roll(longPhases, withBaseline...)
	eventually(t, limit, func() error {
		if c := condition(s.rollout().Status.Conditions, "Stalled"); c != nil {
			return fmt.Errorf("%s", c.Message)
		}
		return nil
	})
	s.change("v2")
	eventually(t, limit, func() error {
		if got := s.weights(); got[1] != 20 || got[2] != 20 {
			return fmt.Errorf("the weights are %v: %+v", got, s.rollout().Status)
		}
		return nil
	})
	s.says(2, "", "rollback", "shop", "--wait")
}

// A route that names no baseline is said before a run begins.
func TestARouteWithoutTheBaselineIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.apply(rolloutOf(quickPhases, withBaseline...))
	eventually(t, limit, func() error {
		c := condition(s.rollout().Status.Conditions, "Stalled")
		if c == nil || !strings.Contains(c.Message, "shop-baseline") || !strings.Contains(c.Message, "weight: 0") {
			return fmt.Errorf("the conditions are %+v", s.rollout().Status.Conditions)
		}
		return nil
	})
}

//go:build plane

package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// autoscaler counts pods by the whole Deployment. There is no metrics API on this
// plane, so it is its own bounds that move it.
const autoscaler = `apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: shop, namespace: NS}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}
  minReplicas: 2
  maxReplicas: 6
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
`

// floor watches how many pods of a ReplicaSet are available, while its version
// has traffic.
type floor struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu   sync.Mutex
	seen []string // what was below
	need int32
	most int32
}

// mind begins to look after the ReplicaSet that serves. It is to have the pods
// that were asked for last and have once been there, until the canary has all of
// the traffic.
func (s *shop) mind(set string, need int32) *floor {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &floor{cancel: cancel, need: need}
	s.t.Cleanup(f.stop)
	c := admin(s.t)
	f.done.Go(func() {
		look := context.WithoutCancel(ctx) // the last one is finished
		all := false                       // the canary has had all of it, and stable is what was the canary
		for ctx.Err() == nil {
			var rs appsv1.ReplicaSet
			err := c.Get(look, client.ObjectKey{Namespace: s.namespace, Name: set}, &rs)
			route, errRoute := s.canaryWeight(look, c)
			f.mu.Lock()
			all = all || errRoute == nil && route == 100
			if err == nil && errRoute == nil && !all {
				n := rs.Status.AvailableReplicas
				f.most = max(f.most, n)
				if n < min(f.need, f.most) {
					f.seen = append(f.seen, fmt.Sprintf("%d of %d at weight %d", n, f.need, route))
				}
			}
			f.mu.Unlock()
			time.Sleep(50 * time.Millisecond)
		}
	})
	return f
}

func (f *floor) raise(need int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.need = need
}

func (f *floor) stop() {
	f.cancel()
	f.done.Wait()
}

// An autoscaler that raises the Deployment in the middle of a run has both
// versions grow, and stable never has fewer pods than were asked for and there
// until the canary has all of the traffic.
func TestAnAutoscalerRaisesTheDeploymentInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.apply(autoscaler)
	s.roll(longPhases)
	users := send(t, s.host, 20)
	stable := s.rollout().Status.Stable
	if stable == nil {
		t.Fatal("the rollout does not say what serves")
	}
	var sets appsv1.ReplicaSetList
	if err := admin(t).List(t.Context(), &sets, client.InNamespace(s.namespace)); err != nil || len(sets.Items) != 1 {
		t.Fatalf("there are %d ReplicaSets: %v", len(sets.Items), err)
	}
	old := sets.Items[0].Name
	kept := s.mind(old, 2)
	s.change("v2")
	s.weighs(20)
	s.kubectl("patch", "hpa", "shop", "--type=merge", "-p", `{"spec":{"minReplicas":4}}`)
	eventually(t, limit, func() error {
		var rs appsv1.ReplicaSet
		if err := admin(t).Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: old}, &rs); err != nil {
			return err
		}
		if rs.Status.AvailableReplicas != 4 {
			return fmt.Errorf("stable has %d pods, the Deployment asks for %d", rs.Status.AvailableReplicas, *s.deployment().Spec.Replicas)
		}
		return nil
	})
	kept.raise(4)
	if got := s.weights(); got[1] != 20 {
		t.Errorf("the autoscaler moved the weights: %v", got)
	}
	s.says(0, "", "promote", "shop")
	s.weighs(50)
	time.Sleep(3 * time.Second)
	s.says(0, "", "promote", "shop", "--full", "--wait")
	s.released(1, 4)
	kept.stop()
	if len(kept.seen) > 0 {
		t.Errorf("stable was below what it needs %d times: %v", len(kept.seen), kept.seen[:min(len(kept.seen), 10)])
	}
	s.unharmed(users)
}

//go:build plane

package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
)

// What a Deployment asks for, and what becomes of it.

// manifest is the shop's Deployment as its owner keeps it, of a version.
func (s *shop) manifest(version string, replicas int) string {
	parts := strings.Split(shopManifest, "---\n")
	return strings.NewReplacer("REPLICAS", fmt.Sprint(replicas), "image: sample:v1", "image: sample:"+version, "-version=v1", "-version="+version).Replace(parts[1])
}

// unheld waits until the Deployment waits for nobody and is complete.
func (s *shop) unheld(replicas int32) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		d := s.deployment()
		if d.Spec.Paused || d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas != replicas || d.Status.AvailableReplicas != replicas || d.Status.Replicas != replicas {
			return fmt.Errorf("the Deployment is held or not complete: paused %v, %+v", d.Spec.Paused, d.Status)
		}
		return nil
	})
}

// Who applies the manifest of the version that serves, in the middle of a run,
// takes the canary back: no run, no hold, the same pods. That has rejected
// nothing, so the new version can be asked for again.
func TestTheServingVersionIsAppliedInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	before := s.pods()
	users := send(t, s.host, 20)
	v2 := s.manifest("v2", 2)
	s.apply(v2)
	s.weighs(20)
	s.apply(s.manifest("v1", 2))
	s.rolledBack(1, "put back")
	back := time.Now()
	s.tells("shop", "Ready", "Serving", "v1 serves")
	s.unheld(2)
	if after := s.pods(); !slices.Equal(before, after) {
		t.Errorf("the pods were %v and are %v", before, after)
	}
	if n := len(s.runs()); n != 1 {
		t.Errorf("there are %d runs", n)
	}
	if got := count(users.got(back)); got.versions["v2"] > 0 {
		t.Errorf("after the way back: %v", got.versions)
	}
	s.apply(v2)
	s.weighs(20)
	s.says(2, "", "rollback", "shop", "--wait")
	s.rolledBack(2, "")
	// Now it is rejected, however often it is applied.
	s.apply(v2)
	s.tells("shop", "Ready", "RolledBack", "v2 was rolled back by shop-2")
	s.unharmed(users)
	if n := len(s.runs()); n != 2 {
		t.Errorf("there are %d runs", n)
	}
}

// What kubectl asks for is released as any version is: the pods that were tested
// serve, also where the Deployment has an older ReplicaSet of the same template.
func TestUndoAndRestartAreReleased(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	users := send(t, s.host, 20)
	release := func(n int, ask func()) {
		t.Helper()
		old := s.pods()
		ask()
		s.weighs(20)
		var tested []string
		for _, p := range s.pods() {
			if !slices.Contains(old, p) {
				tested = append(tested, p)
			}
		}
		s.says(0, "", "promote", "shop", "--full", "--wait")
		s.released(n, 2)
		now := s.pods()
		for _, p := range old {
			if slices.Contains(now, p) {
				t.Errorf("release %d: the old pod %s is still there", n, p)
			}
		}
		if len(tested) != 1 || !slices.Contains(now, tested[0]) {
			t.Errorf("release %d: %v were tested and %v serve", n, tested, now)
		}
	}
	release(1, func() { s.change("v2") })
	release(2, func() { s.kubectl("rollout", "undo", "deployment/shop") })
	if runs := s.runs(); runs[1].Spec.Canary.Version != "v1" || runs[1].Spec.Stable.Version != "v2" {
		t.Errorf("run 2 was to release v1 after v2: %+v", runs[1].Spec)
	}
	release(3, func() { s.kubectl("rollout", "restart", "deployment/shop") })
	s.unharmed(users)
}

// Without the Deployment there is nothing to release: the run ends, the rollout
// says which object of which field is missing, and goes on when it is there again.
func TestADeploymentIsDeletedInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	s.change("v2")
	s.weighs(20)
	s.kubectl("delete", "deployment", "shop")
	s.rolledBack(1, "the Deployment shop was deleted")
	s.tells("shop", "Stalled", "Unreadable", "spec.workload.deployment.name: there is no Deployment shop in namespace "+s.namespace)
	eventually(t, limit, func() error {
		var sets appsv1.ReplicaSetList
		if err := s.list(&sets); err != nil || len(sets.Items) > 0 || len(s.pods()) > 0 {
			return fmt.Errorf("%d ReplicaSets and the pods %v are left: %s", len(sets.Items), s.pods(), fmt.Sprint(err))
		}
		return nil
	})
	s.apply(s.manifest("v3", 2)) // nobody's canary
	s.serves(2)
	s.tells("shop", "Ready", "Serving", "v3 serves")
	eventually(t, limit, func() error {
		if s.deployment().Labels[serinv1.RolloutLabel] != "shop" {
			return fmt.Errorf("the new Deployment has no label")
		}
		return nil
	})
	users := send(t, s.host, 20)
	s.change("v4")
	s.weighs(20)
	s.says(0, "", "promote", "shop", "--full", "--wait")
	s.released(2, 2)
	s.unharmed(users)
}

// A template that no pod can be made of gets no request, whether that is final or
// could still be mended.
func TestATemplateThatIsNotAdmitted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, why string
		before    func(s *shop)
		patch     string
	}{
		{
			"by the namespace's security level", "violates PodSecurity",
			func(s *shop) {
				s.kubectl("label", "namespace", s.namespace, "pod-security.kubernetes.io/enforce=baseline")
			},
			`[{"op":"add","path":"/spec/template/spec/hostNetwork","value":true}]`,
		},
		{
			"by a quota", "exceeded quota: few",
			func(s *shop) {
				s.kubectl("create", "quota", "few", "--hard=pods=2")
				eventually(s.t, limit, func() error {
					out, err := cluster.Kubectl(s.t.Context(), "get", "quota", "few", "-n", s.namespace, "-o", "jsonpath={.status.used.pods}")
					if err != nil || out != "2" {
						return fmt.Errorf("the quota counts %q: %s", out, fmt.Sprint(err))
					}
					return nil
				})
			},
			`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"sample:v2"}]`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 2)
			c.before(s)
			s.roll(longPhases, "prepare: 60s", "prepare: 8s")
			before := s.pods()
			weights := s.history()
			users := send(t, s.host, 20)
			s.kubectl("patch", "deployment", "shop", "--type=json", "-p", c.patch)
			run := s.rolledBack(1, c.why)
			s.tells("shop", "Ready", "RolledBack", c.why)
			if got := s.unharmed(users); got.versions["v1"] != got.all {
				t.Errorf("who answered: %v of %d", got.versions, got.all)
			}
			if got := fmt.Sprint(weights()); got != "[0]" {
				t.Errorf("the canary's weights were %s", got)
			}
			if after := s.pods(); !slices.Equal(before, after) {
				t.Errorf("the pods were %v and are %v", before, after)
			}
			if run.Status.Phase != string(engine.RolledBack) {
				t.Errorf("the run ended as %s", run.Status.Phase)
			}
		})
	}
}

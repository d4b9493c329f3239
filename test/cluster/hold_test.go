//go:build plane

package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube/policy"
)

// withoutPolicy has a controller that holds the Deployments itself, always, in the
// place of the installed one and its policy: as where the API server knows no such
// policy.
func (s *shop) withoutPolicy() {
	t := s.t
	t.Helper()
	s.carriedThrough(way(t, asItIs), "--hold-always")
	for _, kind := range []string{"mutatingadmissionpolicybinding", "mutatingadmissionpolicy"} {
		if out, err := cluster.Kubectl(t.Context(), "delete", kind, policy.Name); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	// The API server goes on by a policy for a moment after it was deleted.
	held := fmt.Sprintf(`{"metadata":{"labels":{%q:"shop"}},"spec":{"template":{"metadata":{"annotations":{"tried":"yes"}}}}}`, serinv1.RolloutLabel)
	eventually(t, limit, func() error {
		out, err := cluster.Kubectl(t.Context(), "patch", "deployment", "shop", "-n", s.namespace, "-p", held, "--dry-run=server", "-o", "jsonpath={.spec.paused}")
		if err != nil || out == "true" {
			return fmt.Errorf("a changed template is held: %s, %s", out, fmt.Sprint(err))
		}
		return nil
	})
}

// Without the policy a Deployment is held always, and what serves can be restarted
// all the same: the new pods are released like any version, and are those that
// were tested.
func TestADeploymentThatIsAlwaysHeldIsRestarted(t *testing.T) {
	s := open(t, 2)
	s.withoutPolicy()
	s.roll(longPhases)
	held := func() {
		t.Helper()
		eventually(t, limit, func() error {
			d := s.deployment()
			if !d.Spec.Paused || d.Status.UpdatedReplicas != 2 || d.Status.Replicas != 2 || len(s.pods()) != 2 {
				return fmt.Errorf("the Deployment is not held, or not complete: paused %v, %+v", d.Spec.Paused, d.Status)
			}
			return nil
		})
	}
	s.tells("shop", "Ready", "Serving", "v1 serves")
	held()
	users := send(t, s.host, 20)
	old := s.pods()
	s.says(0, "run 1 (shop-1) releases new pods of v1", "restart", "shop")
	s.weighs(20)
	first := s.podsBut(old)
	s.says(4, "has the run shop-1", "restart", "shop")
	s.says(0, "", "promote", "shop", "--full", "--wait")
	if run := s.ends(1, limit); run.Status.Phase != string(engine.Promoted) {
		t.Fatalf("run 1 ended as %q: %s", run.Status.Phase, run.Status.Reason)
	}
	held()
	if now := s.podsBut(old); len(now) != 2 || len(first) != 1 || !slices.Contains(now, first[0]) {
		t.Errorf("%v were tested and %v serve; before there were %v", first, s.pods(), old)
	}

	serve := s.pods()
	s.says(0, "run 2", "restart", "shop")
	s.weighs(20)
	s.takesTheRestartBack()
	held()
	if now := s.pods(); !slices.Equal(now, serve) {
		t.Errorf("after the way back %v serve, and before it %v", now, serve)
	}
	s.unharmed(users)
}

// podsBut are the shop's pods but for those.
func (s *shop) podsBut(those []string) []string {
	s.t.Helper()
	return slices.DeleteFunc(s.pods(), func(p string) bool { return slices.Contains(those, p) })
}

// A Deployment that its user has paused waits for its user: it is not restarted, and
// who asks for that is told whose pause it is and how it ends.
func TestADeploymentThatItsUserHasPausedIsNotRestarted(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.apply(strings.Replace(s.manifest("v1", 2), "spec:\n", "spec:\n  paused: true\n", 1))
	s.apply(rolloutOf(longPhases))
	s.tells("shop", "Stalled", "Paused", "Deployment shop: spec.paused was set by kubectl")
	users := send(t, s.host, 20)
	before, pods := s.deployment(), s.pods()
	s.says(4, "the Deployment of shop is paused by kubectl", "restart", "shop")
	s.says(4, "kubectl rollout resume", "restart", "shop")
	if now := s.deployment(); !now.Spec.Paused || !equality.Semantic.DeepEqual(before.Spec, now.Spec) {
		t.Errorf("the Deployment was changed from %+v to %+v", before.Spec, now.Spec)
	}
	if n := len(s.runs()); n != 0 {
		t.Errorf("%d runs have begun", n)
	}

	s.kubectl("rollout", "resume", "deployment/shop")
	s.tells("shop", "Ready", "Serving", "v1 serves")
	s.says(0, "run 1 (shop-1) releases new pods of v1", "restart", "shop")
	s.weighs(20)
	s.says(2, "", "rollback", "shop", "--wait")
	if now := s.pods(); !slices.Equal(now, pods) {
		t.Errorf("the pods were %v and are %v", pods, now)
	}
	s.unharmed(users)
}

//go:build plane

package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// uninstall takes Serin out of the cluster and puts it back after the test, which
// must not run beside others.
func uninstall(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	t.Cleanup(func() {
		if err := apply(); err != nil {
			t.Error(err)
		}
	})
	out, err := exec.CommandContext(ctx, program, "uninstall", "--kubeconfig", cluster.Kubeconfig).CombinedOutput()
	if err != nil {
		t.Fatalf("serin uninstall: %v: %s", err, out)
	}
	return string(out)
}

// ordinary asks for what a person has without Serin: a Deployment that nobody
// holds, Services that select every pod, a route to stable.
func (s *shop) ordinary(image string, replicas int) {
	s.t.Helper()
	if got := s.weights(); got[0] != 100 || got[1] != 0 {
		s.t.Errorf("the weights are %v", got)
	}
	d := s.deployment()
	if _, there := d.Labels[serinv1.RolloutLabel]; there || d.Spec.Paused || d.Spec.Template.Spec.Containers[0].Image != image {
		s.t.Errorf("the Deployment has labels %v, paused %v, image %s", d.Labels, d.Spec.Paused, d.Spec.Template.Spec.Containers[0].Image)
	}
	eventually(s.t, limit, func() error {
		if n := len(s.pods()); n != replicas {
			return fmt.Errorf("the pods are %v", s.pods())
		}
		return nil
	})
	out, err := cluster.Kubectl(s.t.Context(), "get", "service", "-n", s.namespace, "-o", "jsonpath={.items[*].spec.selector}")
	if err != nil || strings.Contains(out, serinv1.HashLabel) {
		s.t.Errorf("the Services select %s, %v", out, err)
	}
}

func TestSerinIsUninstalledInTheMiddleOfARun(t *testing.T) {
	s := open(t, 2)
	s.roll(longPhases)
	users := send(t, s.host, 20)
	s.change("v2")
	s.weighs(20)
	uninstall(t)
	s.ordinary("sample:v1", 2)
	s.unharmed(users)
}

// A controller that does nothing any more cannot roll its runs back. The run is
// over all the same, also for a Serin that is installed later.
func TestSerinIsUninstalledWhileItsControllerHangs(t *testing.T) {
	s := open(t, 2)
	s.roll(longPhases)
	users := send(t, s.host, 20)
	s.change("v2")
	s.weighs(20)
	s.kubectlIn("serin-system", "scale", "deployment/serin-controller", "--replicas=0")
	eventually(t, limit, func() error {
		if n := len(controllers(t)); n > 0 {
			return fmt.Errorf("%d controllers run", n)
		}
		return nil
	})
	t.Run("out", func(t *testing.T) {
		s := *s
		s.t = t
		uninstall(t)
		s.ordinary("sample:v1", 2)
	})
	// It is back.
	if run := s.runs()[0]; run.Status.EndedAt == nil {
		t.Errorf("the run goes on: %+v", run.Status)
	}
	s.tells("shop", "Ready", "Serving", "v1 serves")
	s.says(4, "", "promote", "shop")
	s.says(0, "", "history", "shop")
	s.change("v3")
	s.weighs(20)
	s.says(0, "", "promote", "shop", "--full", "--wait")
	s.released(2, 2)
	s.unharmed(users)
	time.Sleep(time.Second)
	if n := len(s.runs()); n != 2 {
		t.Errorf("there are %d runs", n)
	}
}

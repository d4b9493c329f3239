//go:build plane

package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"
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
	if d.Spec.Paused || d.Spec.Template.Spec.Containers[0].Image != image {
		s.t.Errorf("the Deployment is paused %v, with image %s", d.Spec.Paused, d.Spec.Template.Spec.Containers[0].Image)
	}
	s.forgotten("shop")
	eventually(s.t, limit, func() error {
		if n := len(s.pods()); n != replicas {
			return fmt.Errorf("the pods are %v", s.pods())
		}
		return nil
	})
}

func TestSerinIsUninstalledInTheMiddleOfARun(t *testing.T) {
	s, users := inARun(t, 20)
	uninstall(t)
	s.ordinary("sample:v1", 2)
	s.unharmed(users)
}

// A controller that does nothing any more cannot roll its runs back. The run is
// over all the same, also for a Serin that is installed later.
func TestSerinIsUninstalledWhileItsControllerHangs(t *testing.T) {
	s, users := inARun(t, 20)
	s.away()
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

//go:build plane

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
)

// longPhases are left by a person, not by time.
const longPhases = "[{weight: 20, duration: 5m}, {weight: 50, duration: 5m}, {weight: 100, duration: 5m}]"

// serin runs the program about the shop's namespace, as somebody who may edit what
// is there. What is missing in the cluster only its administrator can see.
func (s *shop) serin(args ...string) (out string, code int) {
	s.t.Helper()
	kubeconfig := cluster.Kubeconfig
	if args[0] != "doctor" {
		if s.editor == "" {
			s.editor = s.person("edit")
		}
		kubeconfig = s.editor
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, "--kubeconfig", kubeconfig, "-n", s.namespace)...)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		s.t.Fatalf("serin %v: %v", args, err)
	}
	return both.String(), cmd.ProcessState.ExitCode()
}

// says runs the program and checks its exit code and what it says.
func (s *shop) says(code int, want string, args ...string) {
	s.t.Helper()
	out, got := s.serin(args...)
	if got != code || !strings.Contains(out, want) {
		s.t.Errorf("serin %s exits with %d and says %q; want %d and %q", strings.Join(args, " "), got, out, code, want)
	}
}

// weighs waits until the canary has so much of the traffic.
func (s *shop) weighs(want int64) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		if got := s.weights(); got[1] != want {
			return fmt.Errorf("the canary's weight is %d and not %d: %+v", got[1], want, s.rollout().Status)
		}
		return nil
	})
}

// tells waits until a condition of the rollout says so.
func (s *shop) tells(name, kind, reason, part string) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		var r serinv1.CanaryRollout
		if err := admin(s.t).Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, &r); err != nil {
			return err
		}
		c := condition(r.Status.Conditions, kind)
		if c == nil || c.Reason != reason || !strings.Contains(c.Message, part) {
			return fmt.Errorf("%s does not tell %s %q: %+v", kind, reason, part, r.Status.Conditions)
		}
		return nil
	})
}

// inARun opens a shop in the middle of a run that nobody but a person moves on: v2
// has 20 % of the requests, of which there are so many a second.
func inARun(t *testing.T, rate int) (*shop, *users) {
	t.Helper()
	s := open(t, 2)
	s.roll(longPhases)
	users := send(t, s.host, rate)
	s.change("v2")
	s.weighs(20)
	return s, users
}

// unharmed stops the users: none of their requests has failed.
func (s *shop) unharmed(u *users) tally {
	s.t.Helper()
	u.stop()
	got := count(u.got(time.Time{}))
	if got.failed > 0 {
		s.t.Errorf("%d of %d requests failed: %v", got.failed, got.all, got.why)
	}
	return got
}

// rolledBack waits until a run has gone back and stable serves alone.
func (s *shop) rolledBack(n int, why string) serinv1.CanaryRun {
	s.t.Helper()
	run := s.ends(n, limit)
	if run.Status.Phase != string(engine.RolledBack) || !strings.Contains(run.Status.Reason, why) {
		s.t.Errorf("run %d ended as %q: %s; want it rolled back with %q", n, run.Status.Phase, run.Status.Reason, why)
	}
	if got := s.weights(); got[0] != 100 || got[1] != 0 {
		s.t.Errorf("after a rollback the weights are %v", got)
	}
	return run
}

// released waits until a run is promoted and the Deployment an ordinary one.
func (s *shop) released(n, replicas int) {
	s.t.Helper()
	run := s.ends(n, limit)
	if run.Status.Phase != string(engine.Promoted) {
		s.t.Fatalf("run %d ended as %q: %s", n, run.Status.Phase, run.Status.Reason)
	}
	eventually(s.t, limit, func() error {
		d := s.deployment()
		if d.Spec.Paused || d.Status.UpdatedReplicas != int32(replicas) || d.Status.Replicas != int32(replicas) || len(s.pods()) != replicas {
			return fmt.Errorf("the Deployment is not an ordinary one of %d pods: paused %v, %+v", replicas, d.Spec.Paused, d.Status)
		}
		return nil
	})
}

func TestAPersonCarriesAReleaseWithCommands(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	users := send(t, s.host, 20)
	s.says(4, "", "promote", "shop") // there is no run
	s.change("v2")
	s.weighs(20)
	s.says(0, "v2", "get", "shop")
	s.says(0, "20", "describe", "shop")
	s.says(0, "", "pause", "shop", "--reason", "a look at the logs")
	s.tells("shop", "Stalled", "WaitingForPerson", "serin resume shop")
	s.says(0, "", "resume", "shop")
	s.says(0, "", "promote", "shop")
	s.weighs(50)
	s.says(0, "this is v2", "logs", "shop", "--arm", "canary")
	s.says(2, "", "rollback", "shop", "--reason", "support calls", "--wait")
	s.rolledBack(1, "support calls")
	s.tells("shop", "Ready", "RolledBack", "serin revert shop")
	s.says(0, "support calls", "history", "shop")
	s.says(0, "support calls", "report", "shop")

	// Back to what serves: nothing is released and nothing is held.
	s.says(0, "", "revert", "shop")
	s.tells("shop", "Ready", "Serving", "v1 serves")
	s.unheld(2)
	if n := len(s.runs()); n != 1 {
		t.Errorf("there are %d runs after the revert", n)
	}
	s.change("v3")
	s.weighs(20)
	s.says(0, "", "promote", "shop", "--full", "--wait")
	s.released(2, 2)
	s.unharmed(users)
}

// New pods of the version that serves are released like any version, and never
// in place of a version that is asked for.
func TestAPersonRestartsWhatServes(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	users := send(t, s.host, 20)
	s.tells("shop", "Ready", "Serving", "v1 serves")
	before := s.pods()
	s.says(0, "run 1 (shop-1) releases new pods of v1", "restart", "shop")
	s.weighs(20)
	s.says(4, "has the run shop-1", "restart", "shop")
	// kubectl refuses, and what it advises does not let the hold go.
	s.kubectl("rollout", "resume", "deployment/shop")
	if _, err := cluster.Kubectl(t.Context(), "rollout", "restart", "deployment/shop", "-n", s.namespace); err == nil || !strings.Contains(err.Error(), "paused") {
		t.Errorf("kubectl rollout restart in the middle of a run: %v; want it refused", err)
	}
	s.says(0, "", "promote", "shop", "--full", "--wait")
	s.released(1, 2)
	for _, p := range s.pods() {
		if slices.Contains(before, p) {
			t.Errorf("%s was there before the restart", p)
		}
	}

	// kubectl does the same between runs.
	s.kubectl("rollout", "restart", "deployment/shop")
	s.weighs(20)
	s.takesTheRestartBack()
	s.says(0, "run 3", "restart", "shop")
	s.says(2, "", "rollback", "shop", "--wait")
	s.unharmed(users)
}

// takesTheRestartBack rolls back the shop's second run, a restart: until it is
// reverted there is no other.
func (s *shop) takesTheRestartBack() {
	s.t.Helper()
	s.says(2, "", "rollback", "shop", "--wait")
	s.rolledBack(2, "")
	s.says(4, "serin revert shop", "restart", "shop")
	s.says(0, "", "revert", "shop")
	s.tells("shop", "Ready", "Serving", "v1")
}

func TestARunThatWasAskedForALotIsRolledBackByAPerson(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	s.change("v2")
	s.weighs(20)
	var asked []string
	for i := range 100 {
		asked = append(asked, fmt.Sprintf(`{"id":"%d","intent":"pause"}`, i))
	}
	s.kubectl("patch", "canaryrun", "shop-1", "--type=merge", "-p", `{"spec":{"intents":[`+strings.Join(asked, ",")+`]}}`)
	s.says(5, "only a rollback is taken now", "resume", "shop")
	s.says(2, "", "rollback", "shop", "--reason", "enough", "--wait")
	s.rolledBack(1, "enough")
}

func TestAThirdVersionReplacesTheCanary(t *testing.T) {
	t.Parallel()
	s, users := inARun(t, 20)
	s.change("v3")
	// Not rolledBack: the next run may have given v3 its weight by the time that
	// this is looked at.
	if run := s.ends(1, limit); run.Status.Phase != string(engine.RolledBack) {
		t.Fatalf("run 1 ended as %q: %s", run.Status.Phase, run.Status.Reason)
	}
	back := time.Now()
	s.weighs(20)
	s.says(0, "", "promote", "shop", "--full", "--wait")
	s.released(2, 2)
	s.unharmed(users)
	if got := count(users.got(back)); got.versions["v2"] > 0 || got.versions["v3"] == 0 {
		t.Errorf("after the third version came: %v", got.versions)
	}
}

func TestADeploymentIsScaledInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	s, users := inARun(t, 20)
	s.kubectl("scale", "deployment/shop", "--replicas=4")
	eventually(t, limit, func() error {
		if n := len(s.pods()); n < 5 {
			return fmt.Errorf("there are %d pods of both versions", n)
		}
		return nil
	})
	s.says(0, "", "promote", "shop", "--full", "--wait")
	s.released(1, 4)
	s.unharmed(users)
}

func (s *shop) kubectl(args ...string) {
	s.t.Helper()
	s.kubectlIn(s.namespace, args...)
}

func (s *shop) kubectlIn(namespace string, args ...string) {
	s.t.Helper()
	if out, err := cluster.Kubectl(s.t.Context(), append(args, "-n", namespace)...); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
}

func TestAWeightThatSomebodyElseSetIsExplained(t *testing.T) {
	t.Parallel()
	s, users := inARun(t, 20)
	s.kubectl("patch", "httproute", "shop", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":90},{"op":"replace","path":"/spec/rules/0/backendRefs/1/weight","value":10}]`)
	s.tells("shop", "Stalled", "WaitingForPerson", "kubectl")
	time.Sleep(6 * time.Second) // some looks later it still stays there, and is said so
	if got := s.weights(); got[1] != 10 {
		t.Errorf("the weight is fought over: %v", got)
	}
	s.tells("shop", "Stalled", "WaitingForPerson", "kubectl")
	s.says(0, "", "resume", "shop")
	s.weighs(20)

	// A Git tool applies the whole route, as it is in Git.
	route := shopManifest[strings.LastIndex(shopManifest, "---")+4:]
	s.applyAs("gitops", route)
	s.tells("shop", "Stalled", "WaitingForPerson", "gitops")
	s.says(2, "", "rollback", "shop", "--wait")
	s.rolledBack(1, "")
	s.unharmed(users)
}

func TestARolloutIsDeletedInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	s, users := inARun(t, 20)
	s.kubectl("delete", "canaryrollout", "shop", "--wait=true", "--timeout=60s")
	deleted := time.Now()
	if got := s.weights(); got[0] != 100 || got[1] != 0 {
		t.Errorf("the weights are %v", got)
	}
	d := s.deployment()
	if _, there := d.Labels[serinv1.RolloutLabel]; there || !d.Spec.Paused {
		t.Errorf("the Deployment has labels %v, paused %v; it asks for v2 and must stay paused, with no label", d.Labels, d.Spec.Paused)
	}
	s.kubectl("rollout", "resume", "deployment/shop") // an ordinary Deployment
	s.unheld(2)
	time.Sleep(time.Second)
	s.unharmed(users)
	if got := count(users.got(deleted)); got.versions["v2"] == 0 {
		t.Errorf("nobody was answered by the version that the Deployment rolled out: %v", got.versions)
	}
}

func TestARunIsDeletedInTheMiddle(t *testing.T) {
	t.Parallel()
	s, users := inARun(t, 20)
	weights := s.history()
	s.kubectl("delete", "canaryrun", "shop-1", "--wait=true", "--timeout=60s")
	// What is asked for is still not what serves, so that another run may have
	// begun by now.
	eventually(t, limit, func() error {
		if got := weights(); !slices.Contains(got, 0) {
			return fmt.Errorf("the weights were %v", got)
		}
		return nil
	})
	s.unharmed(users)
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	s := open(t, 2)
	s.roll(longPhases)
	users := send(t, s.host, 20)
	other := func(name string, instead ...string) {
		s.apply(rolloutOf(longPhases, append([]string{"{name: shop, namespace", "{name: " + name + ", namespace"}, instead...)...))
	}
	other("second")
	s.tells("second", "Stalled", "Duplicate", "shop")
	other("nobody", "deployment: {name: shop}", "deployment: {name: nobody}")
	s.tells("nobody", "Stalled", "Unreadable", "nobody")

	// A second rollout that goes does not touch the run of the first.
	s.change("v2")
	s.weighs(20)
	s.kubectl("delete", "canaryrollout", "second", "nobody", "--wait=true", "--timeout=60s")
	time.Sleep(2 * time.Second)
	if got := s.weights(); got[1] != 20 || s.deployment().Labels[serinv1.RolloutLabel] != "shop" {
		t.Errorf("the weights are %v, the labels %v", got, s.deployment().Labels)
	}
	s.says(2, "", "rollback", "shop", "--wait")
	s.unharmed(users)

	s.kubectl("delete", "httproute", "shop")
	s.kubectl("annotate", "canaryrollout", "shop", "look=again")
	s.tells("shop", "Stalled", "Traffic", "HTTPRoute")

	// A namespace goes with everything in it.
	if err := admin(t).Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, limit, func() error {
		var n corev1.Namespace
		err := admin(t).Get(t.Context(), client.ObjectKey{Name: s.namespace}, &n)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("the namespace is still there: %+v, %s", n.Status, fmt.Sprint(err))
	})
}

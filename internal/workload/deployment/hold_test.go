//go:build plane

package deployment_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/deployment"
)

// asUser is the Deployment as its user keeps it, with another image.
func asUser(image string) *appsv1.Deployment {
	d := sampleDeployment("shop", 3)
	d.Labels = map[string]string{serinv1.RolloutLabel: "shop"}
	d.Spec.Template.Spec.Containers[0].Image = image
	return d
}

func TestANewTemplateIsHeldHoweverItComes(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"kubectl set image": func(w *world) { w.image("sample:v2") },
		"kubectl apply":     func(w *world) { w.kubectl("apply", "-f", w.manifest(asUser("sample:v2"))) },
		"kubectl apply --server-side": func(w *world) {
			w.kubectl("apply", "--server-side", "--force-conflicts", "-f", w.manifest(asUser("sample:v2")))
		},
		"kubectl replace": func(w *world) { w.kubectl("replace", "-f", w.manifest(asUser("sample:v2"))) },
		"kubectl patch": func(w *world) {
			w.kubectl("patch", "deployment", "shop", "--type=json", "-p", `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"sample:v2"}]`)
		},
		"kubectl rollout restart": func(w *world) { w.kubectl("rollout", "restart", "deployment/shop") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3)
			before := w.podNames()
			change(w)
			if !w.deployment().Spec.Paused {
				t.Fatal("the new template is not held")
			}
			s := w.inspect("Serin sees the new version", deployment.Situation.Changed)
			if !s.Held || s.PausedBy != "" || s.Why != "" || !strings.HasPrefix(s.ChangedBy, "kubectl") {
				t.Errorf("it is %+v, want it held by nobody else, and the change by kubectl", s)
			}
			if sets := w.sets(); len(sets) != 1 {
				t.Errorf("there are %d ReplicaSets, want the one that serves", len(sets))
			}
			if after := w.podNames(); !slices.Equal(before, after) {
				t.Errorf("pods were %v and are %v", before, after)
			}
		})
	}
}

func (w *world) podNames() []string {
	w.Helper()
	var pods corev1.PodList
	if err := w.admin.List(w.Context(), &pods, client.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, p := range pods.Items {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return out
}

func TestAHoldStaysUntilSerinOrTheOwnerEndsIt(t *testing.T) {
	w := newWorld(t, 3)
	w.kubectl("apply", "-f", w.manifest(asUser("sample:v2")))
	for name, again := range map[string]func(){
		"client-side apply": func() { w.kubectl("apply", "-f", w.manifest(asUser("sample:v2"))) },
		"server-side apply": func() {
			w.kubectl("apply", "--server-side", "--force-conflicts", "-f", w.manifest(asUser("sample:v2")))
		},
		"replace":                func() { w.kubectl("replace", "-f", w.manifest(asUser("sample:v2"))) },
		"rollout resume":         func() { w.kubectl("rollout", "resume", "deployment/shop") },
		"another template":       func() { w.image("sample:v3") },
		"the first one, applied": func() { w.kubectl("apply", "-f", w.manifest(asUser("sample:v1"))) },
		"scale":                  func() { w.kubectl("scale", "deployment/shop", "--replicas=4") },
	} {
		if again(); !w.deployment().Spec.Paused {
			t.Errorf("%s drops the hold", name)
		}
	}
	w.image("sample:v2")
	if err := w.target.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !w.deployment().Spec.Paused {
		t.Error("Release released a version that does not serve")
	}
	// The owner takes the Deployment away from Serin.
	w.kubectl("patch", "deployment", "shop", "--type=merge", "-p", fmt.Sprintf(`{"metadata":{"labels":{%q:null}},"spec":{"paused":null}}`, serinv1.RolloutLabel))
	if w.deployment().Spec.Paused {
		t.Error("who takes the label away cannot release the Deployment")
	}
	w.serves()
}

func TestWhatDoesNotChangeTheTemplateIsNotHeld(t *testing.T) {
	w := newWorld(t, 2)
	w.kubectl("scale", "deployment/shop", "--replicas=4")
	w.kubectl("annotate", "deployment", "shop", "team=shop")
	w.kubectl("patch", "deployment", "shop", "--type=merge", "-p", `{"spec":{"minReadySeconds":1,"revisionHistoryLimit":3}}`)
	w.serves()
	if d := w.deployment(); d.Spec.Paused {
		t.Error("a scale, an annotation or another field is held")
	}
	if s := w.inspect("Serin sees no new version", func(s deployment.Situation) bool { return !s.Held }); s.Changed() {
		t.Errorf("it is %+v, want nothing new", s)
	}
}

func TestARevertReleasesWithoutARun(t *testing.T) {
	w := newWorld(t, 2)
	before := w.podNames()
	w.image("sample:v2")
	w.inspect("the new version is held", func(s deployment.Situation) bool { return s.Changed() && s.Held })
	w.image("sample:v1")
	w.inspect("the old version is asked for again", func(s deployment.Situation) bool { return !s.Changed() && s.Held })
	if err := w.target.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.deployment().Spec.Paused {
		t.Fatal("a revert stays held")
	}
	w.serves()
	if after := w.podNames(); !slices.Equal(before, after) {
		t.Errorf("pods were %v and are %v", before, after)
	}
}

func TestAHeldDeploymentCanBeRevertedAndRestarted(t *testing.T) {
	w := newWorld(t, 2)
	before := w.podNames()
	w.image("sample:v2")
	w.inspect("the new version is held", func(s deployment.Situation) bool { return s.Changed() && s.Held })
	env := w.env
	env.Client, env.Events = w.admin, nil // a person, with rights of their own
	person, err := deployment.NewTarget(config, env)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := person.Revert(t.Context()); err != nil || back.Version != "v1" {
		t.Fatalf("reverted to %+v, %v; want v1", back, err)
	}
	w.inspect("the old version is asked for again", func(s deployment.Situation) bool { return !s.Changed() && s.Held })
	if err := w.target.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.serves()
	if after := w.podNames(); !slices.Equal(before, after) {
		t.Errorf("pods were %v and are %v", before, after)
	}
	if err := person.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := w.inspect("a restart is held", func(s deployment.Situation) bool { return s.Changed() && s.Held })
	// What does not serve yet is not restarted in place of what does.
	w.image("sample:v2")
	asked = w.inspect("a third template is held", func(s deployment.Situation) bool { return s.Canary.Hash != asked.Canary.Hash })
	if err := person.Restart(t.Context()); !errors.Is(err, workload.ErrRefused) || !contains(err.Error(), "v2", "v1 serves") {
		t.Errorf("restarted with v2 asked for and v1 serving: %v; want it refused", err)
	}
	if s := w.inspect("it asks for v2 still", deployment.Situation.Changed); s.Canary != asked.Canary {
		t.Errorf("it asks for %+v, want %+v", s.Canary, asked.Canary)
	}
}

// Where Serin holds Deployments itself, it may not have come to it yet when somebody
// asks for new pods, or for a version. Without its label no policy holds this one.
func TestWhatNobodyHoldsIsHeldByWhoAsks(t *testing.T) {
	for name, ask := range map[string]func(*world, *deployment.Target) error{
		"for new pods": func(w *world, person *deployment.Target) error { return person.Restart(w.Context()) },
		"for a version": func(w *world, _ *deployment.Target) error {
			return kube.SetTag(w.Context(), w.admin, client.ObjectKeyFromObject(w.deployment()), "v2")
		},
	} {
		t.Run(name, func(t *testing.T) { heldByWhoAsks(t, ask) })
	}
}

func heldByWhoAsks(t *testing.T, ask func(*world, *deployment.Target) error) {
	w := newWorld(t, 2)
	if _, err := w.target.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := w.podNames()
	env := w.env
	env.Client, env.Live, env.Events = w.admin, nil, nil // a person, with rights of their own
	person, err := deployment.NewTarget(config, env)
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(w, person); err != nil {
		t.Fatal(err)
	}
	w.inspect("what is asked for is held", func(s deployment.Situation) bool { return s.Changed() && s.Held })
	eventually(t, "the Deployment controller has seen it", func() error {
		if d := w.deployment(); d.Status.ObservedGeneration < d.Generation {
			return fmt.Errorf("status %+v", d.Status)
		}
		return nil
	})
	if after := w.podNames(); !slices.Equal(before, after) || len(w.sets()) != 1 {
		t.Errorf("pods were %v and are %v, of %d ReplicaSets", before, after, len(w.sets()))
	}
}

func TestAPersonsPauseIsLeftAlone(t *testing.T) {
	w := newWorld(t, 2)
	w.kubectl("rollout", "pause", "deployment/shop")
	w.inspect("Serin sees who paused it", func(s deployment.Situation) bool { return s.PausedBy != "" })
	if err := w.target.Restart(t.Context()); !errors.Is(err, workload.ErrRefused) || !contains(err.Error(), "paused by kubectl") {
		t.Errorf("restarted with a person's pause: %v; want it refused", err)
	}
	w.image("sample:v2")
	s := w.inspect("Serin sees who paused it", func(s deployment.Situation) bool { return s.Changed() && s.PausedBy != "" })
	if s.Held || !strings.HasPrefix(s.PausedBy, "kubectl") {
		t.Errorf("it is %+v, want it paused by kubectl and not held", s)
	}
	if err := w.target.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !w.deployment().Spec.Paused {
		t.Error("Release ended a person's pause")
	}
	// From now on it waits for Serin instead of the person.
	w.kubectl("rollout", "resume", "deployment/shop")
	w.inspect("the resumed Deployment is held", func(s deployment.Situation) bool { return s.Changed() && s.Held })
}

func TestAFirstVersionIsNobodysCanary(t *testing.T) {
	w := newWorld(t, 2)
	w.kubectl("delete", "deployment", "shop")
	d := asUser("sample:v1")
	d.Namespace, d.Spec.Paused = w.ns, false
	if err := w.admin.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.serves()
	if s := w.inspect("it serves", func(s deployment.Situation) bool { return s.Stable.Version == "v1" && s.Why == "" }); s.Changed() || s.Held {
		t.Errorf("it is %+v, want the first version to serve and nothing held", s)
	}
}

func TestATemplateThatChangedBeforeItWasAttachedIsHeldOrFinished(t *testing.T) {
	w := newWorld(t, 3)
	if _, err := w.target.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.image("sample:v2")
	eventually(t, "Serin attaches it whenever it can, and it ends in order", func() error {
		if err := w.target.Attach(t.Context()); err != nil {
			return err
		}
		s, err := w.target.Inspect(t.Context())
		if err != nil {
			return err
		}
		if s.Held && !s.Changed() { // too late: most pods run it already
			err = w.target.Release(t.Context())
		}
		if err != nil || s.Rollout != "shop" || s.Why != "" || s.Changed() != s.Held {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
}

func TestOneDeploymentHasOneRollout(t *testing.T) {
	w := newWorld(t, 1)
	env := w.env
	env.Rollout = "other"
	other, err := deployment.NewTarget(config, env)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Attach(t.Context()); err == nil || !contains(err.Error(), "belongs to the CanaryRollout shop", serinv1.RolloutLabel) {
		t.Errorf("attached to a second rollout: %v; want an error that names the first and its label", err)
	}
}

func TestDetachingLeavesAnOrdinaryDeployment(t *testing.T) {
	w := newWorld(t, 2)
	w.image("sample:v2")
	w.inspect("the new version is held", func(s deployment.Situation) bool { return s.Changed() && s.Held })
	held, err := w.target.Detach(t.Context())
	if err != nil || !held {
		t.Fatalf("held %v, %v; want a version that does not serve to stay held", held, err)
	}
	if d := w.deployment(); d.Labels[serinv1.RolloutLabel] != "" || !d.Spec.Paused {
		t.Errorf("labels %v, paused %v; want no label, and paused", d.Labels, d.Spec.Paused)
	}
	if err := w.target.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.image("sample:v1")
	w.inspect("the old version is asked for again", func(s deployment.Situation) bool { return !s.Changed() && s.Held })
	if held, err = w.target.Detach(t.Context()); err != nil || held {
		t.Fatalf("held %v, %v; want it released", held, err)
	}
	w.image("sample:v3")
	w.serves()
}

func TestWithoutThePolicyADeploymentIsAlwaysHeld(t *testing.T) {
	w := newWorld(t, 2)
	w.env.HoldAlways = true
	var err error
	if w.target, err = deployment.NewTarget(config, w.env); err != nil {
		t.Fatal(err)
	}
	if err := w.target.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.inspect("it is held between runs", func(s deployment.Situation) bool { return !s.Changed() && s.Held })
	if err := w.target.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !w.deployment().Spec.Paused {
		t.Error("Release ended a hold that is to stay")
	}
	w.image("sample:v2")
	w.begin()
	w.until(at(100, 100), "the canary is complete", is(100, 100, 2))
	w.until(promoted, "the old version is gone", is(0, 100, 2))
	if d := w.deployment(); !d.Spec.Paused {
		t.Error("a promotion ended a hold that is to stay")
	}
	w.inspect("the new version serves", func(s deployment.Situation) bool { return !s.Changed() && s.Stable.Version == "v2" })
}

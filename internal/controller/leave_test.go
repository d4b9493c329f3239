package controller

import (
	"context"
	"log/slog"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

// lettingGo notes what is let go of.
type lettingGo struct {
	Program
	routes    []string
	workloads []types.NamespacedName
}

func (l *lettingGo) LetGo(_ context.Context, r rollout.Rollout) error {
	l.routes = append(l.routes, r.Spec.Traffic.Kind)
	return nil
}

func (l *lettingGo) Detach(_ context.Context, name types.NamespacedName) error {
	l.workloads = append(l.workloads, name)
	return nil
}

func ended(number int32, pinned string) *serinv1.CanaryRun {
	r := &serinv1.CanaryRun{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "shop-1", Labels: map[string]string{serinv1.RolloutLabel: "shop"}}}
	r.Spec.Rollout, r.Spec.Number, r.Spec.Pinned = "shop", number, runtime.RawExtension{Raw: []byte(pinned)}
	r.Status.Phase, r.Status.EndedAt, r.Status.Archived = string(engine.RolledBack), new(metav1.NowMicro()), true
	return r
}

const onIstio = `{"apiVersion": "serin.dev/v1alpha1", "kind": "CanaryRollout", "metadata": {"name": "shop", "namespace": "web"}, "spec": {"workload": {"deployment": {"name": "shop"}}, "traffic": {"istio": {"virtualService": "shop"}}}}`

// controllerOf returns a controller over objects, by whose parser the rollout has
// the mistakes.
func controllerOf(program Program, mistakes []rollout.Problem, objects ...client.Object) *Controller {
	opts := Options{
		Client: fake.NewClientBuilder().WithScheme(kube.Scheme()).WithObjects(objects...).WithStatusSubresource(&serinv1.CanaryRollout{}).
			WithIndex(&serinv1.CanaryRollout{}, workloadIndex, func(o client.Object) []string { return []string{workloadOf(o)} }).Build(),
		Program: program, Logger: slog.New(slog.DiscardHandler),
		Parse: func(*serinv1.CanaryRollout) (r rollout.Rollout, _ []rollout.Problem, _ error) {
			r.Spec.Traffic.Kind = "gatewayAPI"
			return r, mistakes, nil
		},
	}
	c := &Controller{Options: opts, runs: newRuns(opts)}
	c.runs.ended = func(types.NamespacedName) {}
	return c
}

// A mistake in a rollout keeps it from being released by, not from being deleted:
// its workload is its owner's again, and so are the routes that its latest run was
// on.
func TestARolloutWithAMistakeLetsGoOfEverything(t *testing.T) {
	object := &serinv1.CanaryRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "shop", Finalizers: []string{rolloutFinalizer}}}
	program := &lettingGo{}
	c := controllerOf(program, []rollout.Problem{{Field: "spec.plan", Message: "is odd"}}, object, ended(1, onIstio))
	if err := c.Client.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	if err := c.look(t.Context(), &view{object: object}); err != nil {
		t.Fatal(err)
	}
	if len(program.routes) != 1 || program.routes[0] != "istio" || len(program.workloads) != 1 || program.workloads[0].Name != "shop" {
		t.Errorf("let go of the routes %v and the workloads of %v", program.routes, program.workloads)
	}
	if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the rollout is still there: %v", err)
	}
}

// Routes that the rollout does not name any more are let go of when the run that
// was on them has ended; its own are not.
func TestRoutesOfBeforeAreLetGoOf(t *testing.T) {
	for pinned, want := range map[string]int{onIstio: 1, `{"apiVersion": "serin.dev/v1alpha1", "kind": "CanaryRollout", "metadata": {"name": "shop"}, "spec": {"traffic": {"gatewayAPI": {}}}}`: 0} {
		run := ended(1, pinned)
		run.Finalizers = []string{serinv1.Finalizer}
		object := &serinv1.CanaryRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "shop"}}
		program := &lettingGo{}
		c := controllerOf(program, nil, object, run)
		v := &view{object: object, valid: true}
		v.rollout.Spec.Traffic = rollout.Adapter{Kind: "gatewayAPI", Config: []byte("{}")}
		if err := c.findRuns(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		if err := c.finishRuns(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		if len(program.routes) != want {
			t.Errorf("let go of the routes %v, want %d of them", program.routes, want)
		}
	}
}

// A controller that has just become the leader may look before it can carry runs;
// then it looks again, as nothing else would bring it back.
func TestARunThatNobodyCarriesYetIsLookedAtAgain(t *testing.T) {
	run := ended(1, onIstio)
	run.Status.EndedAt = nil
	object := &serinv1.CanaryRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "shop", Finalizers: []string{rolloutFinalizer}}}
	c := controllerOf(&lettingGo{}, nil, object, run)
	again, err := c.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)})
	if err != nil || again.RequeueAfter <= 0 {
		t.Errorf("it is looked at again after %s, %v", again.RequeueAfter, err)
	}
}

// Who asked for something else in the middle of a run has not rejected what the
// run was about.
func TestWhatWasTakenBackIsNotRejected(t *testing.T) {
	c := &Controller{}
	for reason, want := range map[string]bool{"RolledBack": true, serinv1.Superseded: false} {
		run := ended(1, onIstio)
		run.Spec.Canary.Hash = "bbb"
		run.Status.Conditions = []metav1.Condition{{Type: condReady, Status: metav1.ConditionFalse, Reason: reason}}
		v := serves()
		v.latest, v.asked.Canary = run, Revision{Version: "v2", Hash: "bbb"}
		if got := c.wasRejected(&v); got != want {
			t.Errorf("after a run that ended as %s it is rejected: %t", reason, got)
		}
	}
}

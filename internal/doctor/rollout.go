package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/rollout"
)

// rollout looks at what one rollout needs.
func (c *cluster) rollout(ctx context.Context, obj *serinv1.CanaryRollout) {
	r, problems, err := c.Parse(obj)
	if err != nil {
		c.add(Unknown, "spec", "", "%v", err)
		return
	}
	for _, p := range problems {
		c.add(Missing, "spec", p.Mend, "%s %s", p.Field, p.Message)
	}
	if len(problems) > 0 {
		return
	}
	c.ok("spec", "is well-formed")
	c.carries(ctx, r)
	if d := c.deployment(ctx, r); d != nil {
		c.capacity(ctx, d)
	}
	c.traffic(ctx, r)
	c.metrics(ctx, r)
	c.status(obj)
}

// carries looks at whether anybody carries the rollouts of a namespace, and
// whether the policy holds the Deployments there.
func (c *cluster) carries(ctx context.Context, r rollout.Rollout) {
	namespace := r.Metadata.Namespace
	if len(c.carried) > 0 && !slices.Contains(c.carried, namespace) {
		c.add(Missing, "controller", fmt.Sprintf("name it too: `serin install --namespaces %s,%s`", strings.Join(c.carried, ","), namespace),
			"the controller in %s carries the rollouts of %s alone, so nobody looks after this one", c.Namespace, strings.Join(c.carried, ", "))
	}
	if c.bound == nil {
		return
	}
	of := labels.Set{corev1.LabelMetadataName: namespace}
	var n corev1.Namespace
	if c.Client.Get(ctx, client.ObjectKey{Name: namespace}, &n) == nil { // a person may not read it; its name is in its labels
		of = n.Labels
	}
	if !c.bound.Matches(of) {
		c.add(Missing, "admission policy", "run `serin install` again, with every namespace of rollouts where it names some",
			"the policy is not bound to the namespace %s: a new template would be rolled out to everybody at once", namespace)
	}
}

// status says what the controller itself says of the rollout.
func (c *cluster) status(obj *serinv1.CanaryRollout) {
	const check = "status"
	if obj.Status.ObservedGeneration < obj.Generation {
		c.add(Warning, check, fmt.Sprintf("see `kubectl -n %s logs deployment/%s` if that stays so", c.Namespace, install.Controller), "the controller has not looked at it as it is written now")
		return
	}
	stalled := meta.FindStatusCondition(obj.Status.Conditions, "Stalled")
	ready := meta.FindStatusCondition(obj.Status.Conditions, "Ready")
	switch {
	case stalled != nil && stalled.Reason == "WaitingForPerson":
		c.add(Warning, check, "do one of these", "a run waits for a person: %s", stalled.Message)
	case stalled != nil && stalled.Status == metav1.ConditionTrue:
		c.add(Missing, check, "mend that; the controller looks again by itself", "the controller says %s: %s", stalled.Reason, stalled.Message)
	case ready == nil:
	case ready.Status != metav1.ConditionTrue && slices.Contains([]string{"NotHeld", "RolledBack", "Trouble"}, ready.Reason):
		c.add(Warning, check, "`serin describe "+obj.Name+"` says more", "the controller says %s: %s", ready.Reason, ready.Message)
	default:
		c.ok(check, "%s: %s", ready.Reason, ready.Message)
	}
}

// named is what the blocks of adapters say of the objects they are about, as
// far as it is the same for all.
type named struct {
	Name            string `json:"name"`
	VirtualService  string `json:"virtualService"`
	HTTPRoute       string `json:"httpRoute"`
	GRPCRoute       string `json:"grpcRoute"`
	Namespace       string `json:"namespace"`
	StableService   string `json:"stableService"`
	CanaryService   string `json:"canaryService"`
	BaselineService string `json:"baselineService"`
	Service         string `json:"service"`
	DestinationRule string `json:"destinationRule"`
}

func namesIn(a rollout.Adapter) named {
	var n named
	_ = json.Unmarshal(a.Config, &n) // what is not there stays empty
	return n
}

// deployment looks at the workload.
func (c *cluster) deployment(ctx context.Context, r rollout.Rollout) *appsv1.Deployment {
	const check = "Deployment"
	name := namesIn(r.Spec.Workload).Name
	if r.Spec.Workload.Kind != "deployment" || name == "" {
		return nil
	}
	var d appsv1.Deployment
	switch err := c.Client.Get(ctx, client.ObjectKey{Namespace: r.Metadata.Namespace, Name: name}, &d); {
	case apierrors.IsNotFound(err):
		c.add(Missing, check, "create it, or correct spec.workload.deployment.name", "there is no Deployment %s", name)
		return nil
	case err != nil:
		c.add(Unknown, check, "", "read the Deployment %s: %v", name, err)
		return nil
	}
	switch label := d.Labels[serinv1.RolloutLabel]; label {
	case r.Metadata.Name:
		c.ok(check, "%s is there and belongs to this rollout", name)
	case "":
		c.add(Warning, check, "see that the controller is ready and carries this namespace; it labels the Deployment", "%s has no label %s: a change of its template is rolled out to everybody at once", name, serinv1.RolloutLabel)
	default:
		c.add(Missing, check, "let one rollout name the Deployment", "%s belongs to the rollout %s", name, label)
	}
	if d.Spec.Paused {
		c.add(Warning, "hold", "`serin describe "+r.Metadata.Name+"` says whether a run goes on, was rejected, or a person paused it", "%s is paused: what it asks for is not what serves, or not released yet", name)
	}
	return &d
}

// capacity looks at the number of pods; which weights they make is the route's to
// say.
func (c *cluster) capacity(ctx context.Context, d *appsv1.Deployment) {
	const check = "replicas"
	replicas := 1
	if d.Spec.Replicas != nil {
		replicas = int(*d.Spec.Replicas)
	}
	switch replicas {
	case 0:
		c.add(Missing, check, "scale it up", "%s is scaled to 0: nothing serves that a new version could be compared with", d.Name)
	case 1:
		c.add(Warning, check, "run two or more, so that one can be missing, and so that the spread between pods can be learnt", "%s has a single replica", d.Name)
	default:
		c.ok(check, "%s has %d", d.Name, replicas)
	}
	if d.Status.AvailableReplicas < int32(replicas) {
		c.add(Warning, check, "see `kubectl describe pod`", "%d of %d are available", d.Status.AvailableReplicas, replicas)
	}
	c.autoscaler(ctx, d)
	c.budget(ctx, d)
}

func (c *cluster) list(ctx context.Context, gvk schema.GroupVersionKind, namespace string) []unstructured.Unstructured {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk)
	if err := c.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil // a hint less
	}
	return list.Items
}

// autoscaler says what an autoscaler means for a run.
func (c *cluster) autoscaler(ctx context.Context, d *appsv1.Deployment) {
	for _, h := range c.list(ctx, schema.GroupVersionKind{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscalerList"}, d.Namespace) {
		kind, _, _ := unstructured.NestedString(h.Object, "spec", "scaleTargetRef", "kind")
		name, _, _ := unstructured.NestedString(h.Object, "spec", "scaleTargetRef", "name")
		if kind == "Deployment" && name == d.Name {
			c.ok("autoscaler", "%s scales %s; it counts the canary's pods too, so stable stays large enough for all of the traffic", h.GetName(), d.Name)
		}
	}
}

// budget warns of a disruption budget that no pod may leave.
func (c *cluster) budget(ctx context.Context, d *appsv1.Deployment) {
	for _, b := range c.list(ctx, schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "PodDisruptionBudgetList"}, d.Namespace) {
		labels, _, _ := unstructured.NestedStringMap(b.Object, "spec", "selector", "matchLabels")
		if len(labels) == 0 || !subset(labels, d.Spec.Template.Labels) {
			continue
		}
		if allowed, found, _ := unstructured.NestedInt64(b.Object, "status", "disruptionsAllowed"); found && allowed == 0 {
			c.add(Warning, "disruption budget", "allow one pod to be missing", "%s allows no pod to leave, so nodes cannot be drained during a run either", b.GetName())
		}
	}
}

func subset(part, whole map[string]string) bool {
	for k, v := range part {
		if whole[k] != v {
			return false
		}
	}
	return true
}

// services looks at the Services of the arms, stable's first.
func (c *cluster) services(ctx context.Context, r rollout.Rollout, names ...string) {
	for i, name := range names {
		var s corev1.Service
		err := c.Client.Get(ctx, client.ObjectKey{Namespace: r.Metadata.Namespace, Name: name}, &s)
		switch {
		case apierrors.IsNotFound(err):
			origin := namesIn(r.Spec.Traffic).Service
			if origin == "" {
				origin = r.Metadata.Name
			}
			if c.Client.Get(ctx, client.ObjectKey{Namespace: r.Metadata.Namespace, Name: origin}, &s) == nil {
				c.add(Warning, "Services", "nothing needs to be done", "%s is not there yet; Serin makes it after %s", name, origin)
			} else {
				c.add(Missing, "Services", fmt.Sprintf("create it, or the Service %s after which Serin makes it", origin), "there is no Service %s", name)
			}
			continue
		case err != nil:
			c.add(Unknown, "Services", "", "read the Service %s: %v", name, err)
			continue
		}
		c.reaches(ctx, s, i == 0)
	}
}

// reaches looks at a Service's endpoints; serving: users are to find some.
func (c *cluster) reaches(ctx context.Context, s corev1.Service, serving bool) {
	ready, err := c.endpoints(ctx, s)
	switch {
	case err != nil:
		c.add(Unknown, "Services", "", "read the endpoints of %s: %v", s.Name, err)
	case ready == 0 && serving:
		c.add(Missing, "Services", "compare its selector with the labels of the pods", "%s, which is to reach the version that serves, has no ready endpoint", s.Name)
	default:
		c.ok("Services", "%s has %d ready endpoints", s.Name, ready)
	}
}

func (c *cluster) endpoints(ctx context.Context, s corev1.Service) (int, error) {
	var slices discoveryv1.EndpointSliceList
	err := c.Client.List(ctx, &slices, client.InNamespace(s.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: s.Name})
	ready := 0
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				ready++
			}
		}
	}
	return ready, err
}

// arms are the names of the Services of the two arms.
func arms(r rollout.Rollout) (stable, canary string) {
	n := namesIn(r.Spec.Traffic)
	stable, canary = kube.StableService(r.Metadata.Name), kube.CanaryService(r.Metadata.Name)
	if n.StableService != "" {
		stable = n.StableService
	}
	if n.CanaryService != "" {
		canary = n.CanaryService
	}
	return stable, canary
}

// metrics asks whether there is anything to judge by.
func (c *cluster) metrics(ctx context.Context, r rollout.Rollout) {
	const check = "metrics"
	if c.Metrics == nil {
		return
	}
	found, err := c.Metrics(ctx, r)
	if err != nil {
		c.add(Missing, check, "correct the address (analysis.metrics, or --prometheus-url of the controller); from here it is asked as the controller would ask it, which needs a way into the cluster's network", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	for _, f := range found {
		f.About, f.Check = c.about, check
		c.all = append(c.all, f)
	}
}

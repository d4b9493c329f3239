package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/install"
	"serin.dev/serin/internal/kube"
	"serin.dev/serin/internal/kube/policy"
	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/traffic"
)

// ClusterOptions say what is looked at in a cluster.
type ClusterOptions struct {
	// Connection is how the person reaches the cluster.
	Connection *kube.Connection
	Client     client.Client
	// Namespace is the controller's.
	Namespace string
	// Rollouts bounds the rollouts to one namespace; empty: all that the person
	// may list. Name bounds them to one.
	Rollouts, Name string
	// Version is this program's.
	Version string
	// Rules are the permissions that the controller needs.
	Rules []rbacv1.PolicyRule
	// Parse reads a rollout with the adapters of a cluster.
	Parse func(*serinv1.CanaryRollout) (rollout.Rollout, []rollout.Problem, error)
	// Metrics says whether a rollout's figures can be had; nil: not looked at.
	Metrics func(context.Context, rollout.Rollout) ([]Finding, error)
	// Asides says which requests reach an arm of a rollout whatever the weight is;
	// nil: not looked at.
	Asides Asides
	// Refusals says what would keep a run of a rollout from beginning.
	Refusals Refusals
}

// Refusals says what of a rollout's plan cannot be made, and in the error what its
// route lacks.
type Refusals func(context.Context, rollout.Rollout) ([]rollout.Problem, error)

// Asides says which requests reach an arm of a rollout whatever the weight is.
type Asides func(context.Context, rollout.Rollout) ([]traffic.Aside, error)

// Cluster looks at a cluster. What it may not read is a finding too.
func Cluster(ctx context.Context, o ClusterOptions) []Finding {
	c := &cluster{ClusterOptions: o}
	if !c.server() {
		return c.all
	}
	known := c.definitions(ctx)
	c.controller(ctx)
	c.policy(ctx)
	c.controllerRights(ctx)
	if known {
		c.personRights(ctx)
		c.rollouts(ctx)
	}
	return c.all
}

type cluster struct {
	ClusterOptions
	findings
	// args are those of the controller; nil where it could not be read.
	args []string
	// carried are the namespaces that the controller carries; empty: all.
	carried []string
	// bound holds the labels of the namespaces that the policy is bound to; nil
	// where that is not known.
	bound labels.Selector
}

// server asks whether anybody is there.
func (c *cluster) server() bool {
	const check = "API server"
	d, err := discovery.NewDiscoveryClientForConfig(c.Connection.Config)
	if err == nil {
		var version fmt.Stringer
		if version, err = d.ServerVersion(); err == nil {
			c.ok(check, "%s answers, version %s", c.Connection.Server, version)
			return true
		}
	}
	err = c.Connection.Explain(err)
	c.add(Missing, check, "start the cluster, or name another one with --context or --kubeconfig", "%v", err)
	return false
}

// definitions looks at Serin's own kinds.
func (c *cluster) definitions(ctx context.Context) (known bool) {
	const check = "kinds"
	crds, err := kube.CRDs()
	if err != nil {
		c.add(Unknown, check, "", "%v", err)
		return false
	}
	known = true
	for _, crd := range crds {
		if _, err := c.Client.RESTMapper().RESTMapping(schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind}, serinv1.GroupVersion.Version); err != nil {
			c.add(Missing, check, "run `serin install`", "the API server does not know %s", crd.Spec.Names.Kind)
			known = false
			continue
		}
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		switch err := c.Client.Get(ctx, client.ObjectKey{Name: crd.Name}, live); {
		case apierrors.IsForbidden(err):
			c.ok(check, "%s is known (its definition may not be read, so its version is not)", crd.Spec.Names.Kind)
		case err != nil:
			c.add(Unknown, check, "", "read the definition of %s: %v", crd.Spec.Names.Kind, err)
		case install.VersionOf(live) != "" && install.VersionOf(live) != c.Version:
			c.add(Warning, check, "use the same version on both sides: `serin install` brings the cluster to this program's", "%s is of serin %s, this program is %s", crd.Spec.Names.Kind, install.VersionOf(live), c.Version)
		default:
			c.ok(check, "%s is known", crd.Spec.Names.Kind)
		}
	}
	return known
}

// policy looks for what holds Deployments.
func (c *cluster) policy(ctx context.Context) {
	const check = "admission policy"
	version, err := install.ServedPolicy(c.Client)
	switch {
	case err != nil:
		c.add(Unknown, check, "", "%v", err)
		return
	case version == "" && c.args != nil && !slices.Contains(c.args, "--hold-always"):
		c.add(Missing, check, "run `serin install` again: it then starts the controller with --hold-always",
			"the API server has no MutatingAdmissionPolicy, and the controller does not keep Deployments paused: a new template would be rolled out to everybody at once")
		return
	case version == "":
		c.add(Warning, check, "Kubernetes 1.36 and newer have it; until then nothing needs to be done",
			"the API server has no MutatingAdmissionPolicy, so Serin keeps Deployments paused all the time")
		return
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: version, Kind: "MutatingAdmissionPolicy"})
	switch err := c.Client.Get(ctx, client.ObjectKey{Name: policy.Name}, live); {
	case apierrors.IsNotFound(err):
		c.add(Missing, check, "run `serin install`, or let an administrator run `serin install --part cluster`",
			"the MutatingAdmissionPolicy %s is not there: a new template would be rolled out to everybody at once", policy.Name)
	case apierrors.IsForbidden(err):
		c.add(Unknown, check, "let an administrator run `serin doctor`", "MutatingAdmissionPolicies may not be read")
	case err != nil:
		c.add(Unknown, check, "", "read the policy %s: %v", policy.Name, err)
	default:
		c.binding(ctx, version)
	}
}

// binding looks for what puts the policy into effect, and where.
func (c *cluster) binding(ctx context.Context, version string) {
	const check = "admission policy"
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: version, Kind: "MutatingAdmissionPolicyBinding"})
	switch err := c.Client.Get(ctx, client.ObjectKey{Name: policy.Name}, live); {
	case apierrors.IsNotFound(err):
		c.add(Missing, check, "run `serin install`, or let an administrator run `serin install --part cluster`",
			"the policy %s has no MutatingAdmissionPolicyBinding, so it holds nothing: a new template would be rolled out to everybody at once", policy.Name)
		return
	case apierrors.IsForbidden(err):
		c.add(Unknown, check, "let an administrator run `serin doctor`", "MutatingAdmissionPolicyBindings may not be read")
		return
	case err != nil:
		c.add(Unknown, check, "", "read the binding of the policy %s: %v", policy.Name, err)
		return
	}
	var selector metav1.LabelSelector
	raw, _, err := unstructured.NestedMap(live.Object, "spec", "matchResources", "namespaceSelector")
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &selector)
	}
	if err == nil {
		c.bound, err = metav1.LabelSelectorAsSelector(&selector)
	}
	if err != nil {
		c.add(Unknown, check, "", "read where the policy %s is bound: %v", policy.Name, err)
		return
	}
	c.ok(check, "%s holds a Deployment when its template changes", policy.Name)
}

// controller looks at the Deployment of the controller.
func (c *cluster) controller(ctx context.Context) {
	const check = "controller"
	var d appsv1.Deployment
	switch err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: install.Controller}, &d); {
	case apierrors.IsNotFound(err):
		c.add(Missing, check, "run `serin install`, or name its namespace with --controller-namespace", "there is no Deployment %s in %s", install.Controller, c.Namespace)
		return
	case apierrors.IsForbidden(err):
		c.add(Unknown, check, "let an administrator run `serin doctor`", "Deployments in %s may not be read", c.Namespace)
		return
	case err != nil:
		c.add(Unknown, check, "", "read the Deployment %s in %s: %v", install.Controller, c.Namespace, err)
		return
	}
	switch ready, now, err := install.Readiness(ctx, c.Client, c.Namespace); {
	case err != nil:
		c.add(Unknown, check, "", "%v", err)
	case !ready:
		c.add(Missing, check, fmt.Sprintf("see `kubectl -n %s describe pod` and its logs", c.Namespace), "the controller in %s is not ready: %s", c.Namespace, now)
	default:
		c.ok(check, "%d of %d replicas are ready in %s", d.Status.AvailableReplicas, d.Status.Replicas, c.Namespace)
	}
	c.args = []string{}
	for _, container := range d.Spec.Template.Spec.Containers {
		c.args = append(c.args, container.Args...)
	}
	c.carried = install.Carried(&d)
}

// controllerRights asks the API server what the controller's service account
// may do.
func (c *cluster) controllerRights(ctx context.Context) {
	const check = "controller's permissions"
	namespaces := c.carried
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	asked, refused := 0, []string{}
	for _, namespace := range namespaces {
		for _, r := range c.Rules {
			for _, a := range attributes(r, namespace) {
				review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
					User:               install.ServiceAccountUser(c.Namespace),
					Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + c.Namespace, "system:authenticated"},
					ResourceAttributes: &a,
				}}
				if err := c.Client.Create(ctx, review); err != nil {
					c.add(Unknown, check, "let an administrator run `serin doctor`", "what the controller may do cannot be asked: %v", err)
					return
				}
				asked++
				if !review.Status.Allowed {
					refused = append(refused, said(a))
				}
			}
		}
	}
	if len(refused) > 0 {
		c.add(Missing, check, "run `serin install` again, or let an administrator do so", "the controller may not %s", strings.Join(refused, ", nor "))
		return
	}
	c.ok(check, "the controller may do all %d things that it needs", asked)
}

func attributes(r rbacv1.PolicyRule, namespace string) []authorizationv1.ResourceAttributes {
	var all []authorizationv1.ResourceAttributes
	for _, group := range r.APIGroups {
		for _, resource := range r.Resources {
			name, sub, _ := strings.Cut(resource, "/")
			for _, verb := range r.Verbs {
				all = append(all, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: name, Subresource: sub})
			}
		}
	}
	return all
}

// said names a permission as people do.
func said(a authorizationv1.ResourceAttributes) string {
	s := a.Verb + " " + a.Resource
	if a.Subresource != "" {
		s += "/" + a.Subresource
	}
	if a.Group != "" {
		s += "." + a.Group
	}
	if a.Namespace != "" {
		s += " in " + a.Namespace
	}
	return s
}

// personRights asks what the person who asks may do.
func (c *cluster) personRights(ctx context.Context) {
	const check = "your permissions"
	namespace := c.Rollouts
	if namespace == "" {
		namespace = c.Connection.Namespace
	}
	var refused []string
	for _, need := range []struct{ verb, resource string }{
		{"list", "canaryrollouts"}, {"list", "canaryruns"}, {"list", "canaryrecords"}, {"patch", "canaryruns"},
	} {
		a := authorizationv1.ResourceAttributes{Namespace: namespace, Verb: need.verb, Group: serinv1.GroupVersion.Group, Resource: need.resource}
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a}}
		if err := c.Client.Create(ctx, review); err != nil {
			c.add(Unknown, check, "", "what you may do cannot be asked: %v", err)
			return
		}
		if !review.Status.Allowed {
			refused = append(refused, said(a))
		}
	}
	if len(refused) > 0 {
		c.add(Warning, check, fmt.Sprintf("ask for the role %s to look, or %s to promote, pause and roll back", install.ViewRole, install.OperateRole), "you may not %s", strings.Join(refused, ", nor "))
		return
	}
	c.ok(check, "you may look at rollouts in %s and act on their runs", namespace)
}

// rollouts looks at each rollout.
func (c *cluster) rollouts(ctx context.Context) {
	const check = "rollouts"
	var list serinv1.CanaryRolloutList
	var opts []client.ListOption
	if c.Rollouts != "" {
		opts = append(opts, client.InNamespace(c.Rollouts))
	}
	err := c.Client.List(ctx, &list, opts...)
	if apierrors.IsForbidden(err) && c.Rollouts == "" {
		c.add(Unknown, check, "", "rollouts of all namespaces may not be listed; only those in %s are looked at", c.Connection.Namespace)
		err = c.Client.List(ctx, &list, client.InNamespace(c.Connection.Namespace))
	}
	if err != nil && !meta.IsNoMatchError(err) {
		c.add(Unknown, check, "", "list the rollouts: %v", err)
		return
	}
	seen := 0
	for i := range list.Items {
		if c.Name != "" && list.Items[i].Name != c.Name {
			continue
		}
		seen++
		c.about = list.Items[i].Namespace + "/" + list.Items[i].Name
		c.rollout(ctx, &list.Items[i])
	}
	c.about = ""
	switch {
	case seen == 0 && c.Name != "":
		c.add(Missing, check, "`serin get` lists them", "there is no rollout %s", c.Name)
	case seen == 0:
		c.add(Warning, check, "write a CanaryRollout and apply it", "there is none yet")
	}
}

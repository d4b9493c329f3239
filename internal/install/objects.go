package install

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// Object is one object of an installation.
type Object struct {
	*unstructured.Unstructured
	// Part says who may write it.
	Part Part
}

// Objects returns an installation in the order in which it is applied: what
// others need comes first, and the controller last.
func Objects(o Options) ([]Object, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var all []Object
	var errs []error
	add := func(part Part, objects ...client.Object) {
		for _, obj := range objects {
			u, err := plain(obj)
			errs = append(errs, err)
			if o.Part == All || o.Part == part {
				all = append(all, Object{u, part})
			}
		}
	}
	definitions, err := o.definitions()
	errs = append(errs, err)
	add(Cluster, o.namespaceObject())
	add(Cluster, definitions...)
	add(Cluster, o.policy()...)
	add(Namespaced, o.serviceAccount())
	if len(o.Namespaces) == 0 {
		add(Cluster, o.clusterRoles()...)
	}
	for _, n := range o.Namespaces {
		add(Namespaced, o.rolesIn(n)...)
	}
	add(Namespaced, o.leaderRoles()...)
	add(Namespaced, o.metricsService())
	if o.Replicas > 1 {
		add(Namespaced, o.disruptionBudget())
	}
	if len(o.Confine) > 0 {
		add(Namespaced, o.networkPolicy())
	}
	add(Namespaced, o.deployment())
	return all, errors.Join(errs...)
}

// scheme holds the kinds that an installation is made of.
func scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(corev1.AddToScheme(s), appsv1.AddToScheme(s), rbacv1.AddToScheme(s), policyv1.AddToScheme(s), networkingv1.AddToScheme(s))
}

// plain returns an object with its kind and without what only the API server
// writes.
func plain(obj client.Object) (*unstructured.Unstructured, error) {
	u, already := obj.(*unstructured.Unstructured)
	if !already {
		s, err := scheme()
		if err != nil {
			return nil, err
		}
		gvk := obj.GetObjectKind().GroupVersionKind()
		if gvk.Empty() {
			if gvk, err = apiutil.GVKForObject(obj, s); err != nil {
				return nil, fmt.Errorf("an object of the installation: %w", err)
			}
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return nil, fmt.Errorf("write %s %s: %w", gvk.Kind, obj.GetName(), err)
		}
		u = &unstructured.Unstructured{Object: content}
		u.SetGroupVersionKind(gvk)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	dropEmptyTimes(u.Object)
	return u, nil
}

// dropEmptyTimes removes creation times that are null, at any depth.
func dropEmptyTimes(v map[string]any) {
	for k, e := range v {
		switch e := e.(type) {
		case nil:
			if k == "creationTimestamp" {
				delete(v, k)
			}
		case map[string]any:
			dropEmptyTimes(e)
			if k == "strategy" && len(e) == 0 {
				delete(v, k)
			}
		}
	}
}

// YAML writes objects as one stream of documents.
func YAML(objects []Object) ([]byte, error) {
	var b bytes.Buffer
	for i, o := range objects {
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", o.Title(), err)
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(data)
	}
	return b.Bytes(), nil
}

// Title names an object as kubectl does.
func (o Object) Title() string {
	return Title(o.Unstructured)
}

// Title names an object as kubectl does, with its namespace.
func Title(u client.Object) string {
	kind := bytes.ToLower([]byte(u.GetObjectKind().GroupVersionKind().Kind))
	if u.GetNamespace() != "" {
		return fmt.Sprintf("%s/%s in %s", kind, u.GetName(), u.GetNamespace())
	}
	return fmt.Sprintf("%s/%s", kind, u.GetName())
}

// OfKind returns the objects of some kinds.
func OfKind(objects []Object, kinds ...string) []Object {
	var some []Object
	for _, o := range objects {
		if slices.Contains(kinds, o.GetKind()) {
			some = append(some, o)
		}
	}
	return some
}

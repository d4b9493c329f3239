// Package kube is what everything that speaks to a Kubernetes API server
// shares: the scheme, names, template hashes, guarded patches, and the
// translation between objects and the vocabulary of internal/rollout. It knows
// no adapter, no run and no decision.
package kube

import (
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Scheme returns a new scheme with every typed object that Serin reads or
// writes. Routes of meshes and gateways are read unstructured.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(authorizationv1.AddToScheme(s))
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(appsv1.AddToScheme(s))
	utilruntime.Must(discoveryv1.AddToScheme(s))
	utilruntime.Must(serinv1.AddToScheme(s))
	return s
}

// ManagedLabel marks objects that Serin has made beside the user's.
const ManagedLabel = "app.kubernetes.io/managed-by"

// StableService and CanaryService are the Services through which the arms of a
// rollout are reached.
func StableService(name string) string { return name + "-stable" }

// CanaryService is StableService's counterpart.
func CanaryService(name string) string { return name + "-canary" }

// BaselineService is that of the baseline, in a plan with one.
func BaselineService(name string) string { return name + "-baseline" }

// Package v1alpha1 holds the objects that Serin keeps in a Kubernetes API
// server: types and generated code, no logic.
//
// What a user writes is the rollout of internal/rollout, the same document as
// on one machine; here its spec is carried as it was written, and
// internal/kube turns it into rollout's types.
//
// +kubebuilder:object:generate=true
// +groupName=serin.dev
package v1alpha1

//go:generate go tool -modfile=../../tools/go.mod controller-gen object crd paths=. output:crd:dir=../../internal/kube/crds

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and its version.
var GroupVersion = schema.GroupVersion{Group: "serin.dev", Version: "v1alpha1"}

// AddToScheme makes the types known to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&CanaryRollout{}, &CanaryRolloutList{},
		&CanaryRun{}, &CanaryRunList{},
		&CanaryRecord{}, &CanaryRecordList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// What Serin writes on objects that users own.
const (
	// RolloutLabel on a Deployment names its CanaryRollout: changes of its
	// template are held until they are released by a run.
	RolloutLabel = "serin.dev/rollout"
	// WeightAnnotation on a Service keeps the weight that pod ratios are meant
	// to make.
	WeightAnnotation = "serin.dev/weight"
	// RetryAnnotation on a CanaryRollout names a run that was rolled back and
	// whose revision is to be tried again.
	RetryAnnotation = "serin.dev/retry"
	// StableAnnotation and CanaryAnnotation keep beside it which groups of pods
	// the arms are, by their pod-template-hash.
	StableAnnotation = "serin.dev/stable-hash"
	CanaryAnnotation = "serin.dev/canary-hash"
	// HashLabel is the label by which a Deployment tells its ReplicaSets' pods
	// apart. It is Kubernetes' own.
	HashLabel = "pod-template-hash"
	// RunLabel on a CanaryRecord names its CanaryRun.
	RunLabel = "serin.dev/run"
	// FieldManager is the name under which Serin writes.
	FieldManager = "serin"
	// Finalizer on a CanaryRun that has not ended: its traffic goes back first.
	Finalizer = "serin.dev/run"
	// Superseded is the reason of a CanaryRun's Ready condition when it went back
	// because another template was asked for.
	Superseded = "Superseded"
)

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// CanaryRollout describes how a Deployment is released by canary.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cro,categories=serin
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Weight",type=integer,JSONPath=`.status.weight`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verdict`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CanaryRollout struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the spec of a rollout file, as it was written.
	// +kubebuilder:pruning:PreserveUnknownFields
	Spec runtime.RawExtension `json:"spec"`
	// Status is what Serin last saw.
	// +optional
	Status CanaryRolloutStatus `json:"status,omitzero"`
}

// CanaryRolloutStatus is how a rollout is.
type CanaryRolloutStatus struct {
	// ObservedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready always, Reconciling and Stalled only while true.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Phase is where the run that goes on is, or how the latest one ended; "idle"
	// before the first.
	// +optional
	Phase string `json:"phase,omitempty"`
	// Weight is the percent of traffic routed to the canary.
	// +optional
	Weight int32 `json:"weight"`
	// Verdict is the latest decision: wait, proceed, hold, rollback or complete.
	// +optional
	Verdict string `json:"verdict,omitempty"`
	// Reason is why, in one line.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Run is the latest run, which may have ended.
	// +optional
	Run string `json:"run,omitempty"`
	// Stable is the revision that serves.
	// +optional
	Stable *Revision `json:"stable,omitempty"`
	// Rejected is the revision that the Deployment asks for and that was rolled
	// back: it is not tried again until its template changes.
	// +optional
	Rejected *Revision `json:"rejected,omitempty"`
}

// Revision is one version of a workload.
type Revision struct {
	// Version is what people call it: an image's tag, or the template's hash.
	Version string `json:"version"`
	// Hash is the value of pod-template-hash on its pods.
	Hash string `json:"hash"`
	// ReplicaSet runs it; empty while there is none yet.
	// +optional
	ReplicaSet string `json:"replicaSet,omitempty"`
}

// CanaryRolloutList is a list of rollouts.
//
// +kubebuilder:object:root=true
type CanaryRolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CanaryRollout `json:"items"`
}

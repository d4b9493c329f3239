package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// CanaryRun is one attempt to release one revision of a rollout's Deployment.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=crun,categories=serin
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Weight",type=integer,JSONPath=`.status.weight`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verdict`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Canary",type=string,JSONPath=`.spec.canary.version`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CanaryRun struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the run is about, pinned when it began, and what people ask
	// of it.
	Spec CanaryRunSpec `json:"spec"`
	// Status is how far the run has come.
	// +optional
	Status CanaryRunStatus `json:"status,omitzero"`
}

// CanaryRunSpec is what a run is about. Only intents change while it goes on.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.intents) || has(self.intents)",message="an intent cannot be taken back; add one that undoes it, such as resume after pause"
type CanaryRunSpec struct {
	// Rollout is the name of the CanaryRollout.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="is pinned when the run begins and never changes"
	Rollout string `json:"rollout"`
	// Number counts the rollout's runs from 1.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="is pinned when the run begins and never changes"
	Number int32 `json:"number"`
	// Stable serves when the run begins.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="is pinned when the run begins and never changes"
	Stable Revision `json:"stable"`
	// Canary is the candidate.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="is pinned when the run begins and never changes"
	Canary Revision `json:"canary"`
	// Actor is who caused the run, as far as can be told.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="is pinned when the run begins and never changes"
	Actor string `json:"actor,omitempty"`
	// StartedAt is when the run began.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="is pinned when the run begins and never changes"
	StartedAt metav1.MicroTime `json:"startedAt"`
	// Pinned is the rollout as it was when the run began, with its defaults.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="is pinned when the run begins and never changes"
	Pinned runtime.RawExtension `json:"pinned"`
	// Begin is the start of the run's record and its first messages, compressed,
	// for the time until the status is first written.
	// +optional
	// Its schema is written out: the API server's rules cannot read format byte.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=524288
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="is pinned when the run begins and never changes"
	Begin []byte `json:"begin,omitempty"`
	// Intents are what people ask of the run, the newest last. Add one to act:
	// its id must be new. 100 of them leave no room but for a rollback.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=110
	// +kubebuilder:validation:XValidation:rule="size(self.filter(i, i.intent != 'rollback')) <= 100",message="the run holds 100 intents: only a rollback is taken now"
	// +kubebuilder:validation:XValidation:rule="sets.contains(self.map(i, i.id), oldSelf.map(o, o.id))",message="an intent cannot be taken back; add one that undoes it, such as resume after pause"
	Intents []Intent `json:"intents,omitempty"`
}

// Intent is what a person asks of a run.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an intent does not change once it was asked; add another with a new id"
type Intent struct {
	// ID is unique in the run; an intent is acted on once.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ID string `json:"id"`
	// Intent is what is asked.
	// +kubebuilder:validation:Enum=promote;pause;resume;rollback;complain
	Intent string `json:"intent"`
	// At is when; missing means when Serin saw it.
	// +optional
	At *metav1.MicroTime `json:"at,omitempty"`
	// Actor is who asks.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Actor string `json:"actor,omitempty"`
	// Reason is why, in the person's own words.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// Full, with promote, ends every remaining phase without waiting.
	// +optional
	Full bool `json:"full,omitempty"`
	// Arm, with complain, is the version that the user had; missing when that is
	// not known.
	// +optional
	// +kubebuilder:validation:Enum=stable;canary
	Arm string `json:"arm,omitempty"`
}

// CanaryRunStatus is how far a run has come.
type CanaryRunStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready is true when the run was promoted, false with the reason
	// when it was rolled back; Reconciling while it goes on; Stalled while it
	// waits for a person or cannot go on.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Phase is where the run is: its position in words.
	// +optional
	Phase string `json:"phase,omitempty"`
	// Weight is the percent of traffic wanted for the canary.
	// +optional
	Weight int32 `json:"weight"`
	// Verdict is the latest decision.
	// +optional
	Verdict string `json:"verdict,omitempty"`
	// Reason is why, in one line.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Checks is what the latest tick said, a line a check.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	Checks []Check `json:"checks,omitempty"`
	// EndedAt is missing while the run goes on.
	// +optional
	EndedAt *metav1.MicroTime `json:"endedAt,omitempty"`
	// Answers say what became of the intents.
	// +optional
	// +kubebuilder:validation:MaxItems=110
	Answers []Answer `json:"answers,omitempty"`
	// Archived says that record and report are in the archive; Report is where.
	// +optional
	Archived bool `json:"archived,omitempty"`
	// +optional
	Report string `json:"report,omitempty"`

	// Format is the form of the compressed fields below; a program that does not
	// know it leaves the run alone.
	// +optional
	Format int32 `json:"format,omitempty"`
	// StateVersion counts how often State was saved. Who saves names the version
	// it goes out from, so of two controllers one is refused; what people and
	// messages write meanwhile is no conflict.
	// +optional
	StateVersion int64 `json:"stateVersion,omitempty"`
	// Writes counts how often this status was written, so that of two readings
	// the later one is known.
	// +optional
	Writes int64 `json:"writes,omitempty"`
	// State is what Serin remembers between two looks, as compressed JSON.
	// +optional
	State []byte `json:"state,omitempty"`
	// Lines is the end of the run's record, as compressed JSON Lines: what is
	// not yet in a CanaryRecord. LinesBefore counts the lines that are.
	// +optional
	Lines []byte `json:"lines,omitempty"`
	// +optional
	LinesBefore int64 `json:"linesBefore,omitempty"`
	// LinesTotal counts all lines of the record so far.
	// +optional
	LinesTotal int64 `json:"linesTotal,omitempty"`
	// Heard are the ids of the intents that have their line in the record.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=110
	Heard []string `json:"heard,omitempty"`
	// Undelivered counts the messages to people that are still to be delivered.
	// +optional
	Undelivered int32 `json:"undelivered,omitempty"`
	// Outbox holds these messages, and the ids of all before them, as compressed
	// JSON.
	// +optional
	Outbox []byte `json:"outbox,omitempty"`
}

// Check is what one check says.
type Check struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	// Message is the verdict in words.
	// +optional
	Message string `json:"message,omitempty"`
}

// Answer says what became of an intent.
type Answer struct {
	ID       string `json:"id"`
	Accepted bool   `json:"accepted"`
	// +optional
	Message string `json:"message,omitempty"`
}

// CanaryRunList is a list of runs.
//
// +kubebuilder:object:root=true
type CanaryRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CanaryRun `json:"items"`
}

// CanaryRecord is a part of a run's record, or what was gathered when it was
// rolled back. It is written once and never changed; the run owns it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=serin
// +kubebuilder:printcolumn:name="Run",type=string,JSONPath=`.run`
// +kubebuilder:printcolumn:name="First",type=integer,JSONPath=`.first`
// +kubebuilder:printcolumn:name="Count",type=integer,JSONPath=`.count`
type CanaryRecord struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Run is the name of the CanaryRun.
	Run string `json:"run"`
	// First is the number of the first line, from 1; Count how many there are.
	First int64 `json:"first"`
	Count int64 `json:"count"`
	// Lines is the lines, as compressed JSON Lines.
	// +optional
	Lines []byte `json:"lines,omitempty"`
	// Evidence is what the record does not hold and a rollback's report needs, as
	// compressed JSON: events, ends of logs, what differs between the versions.
	// An object with evidence has no lines.
	// +optional
	Evidence []byte `json:"evidence,omitempty"`
}

// CanaryRecordList is a list of records.
//
// +kubebuilder:object:root=true
type CanaryRecordList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CanaryRecord `json:"items"`
}

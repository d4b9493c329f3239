// Package rollout is Serin's vocabulary: the rollout a user writes, its plan
// and phases, the arms, the samples of a tick, a person's intents. Every other
// package speaks these types.
//
// It is a pure room: no I/O, no clock, no goroutine, no randomness, and no
// knowledge of any adapter. An adapter appears here only as the name of its
// kind and its own, still encoded, configuration.
package rollout

// What a file declares itself to be.
const (
	APIVersion = "serin.dev/v1alpha1"
	Kind       = "CanaryRollout"
)

// Rollout is the standing description of how a workload is released: the
// document a user writes, the same on one machine and on a cluster.
type Rollout struct {
	// APIVersion is the version of the file's form.
	APIVersion string `json:"apiVersion" jsonschema:"required,enum=serin.dev/v1alpha1"`
	// Kind says that the document is a rollout.
	Kind string `json:"kind" jsonschema:"required,enum=CanaryRollout"`
	// Metadata names the rollout.
	Metadata Metadata `json:"metadata" jsonschema:"required,example={name: shop}"`
	// Spec says how the workload is released.
	Spec Spec `json:"spec" jsonschema:"required,example={workload: …}"`
}

// Metadata names a rollout.
type Metadata struct {
	// Name is unique on the machine, or in the namespace: up to 63 lower-case
	// letters, digits and hyphens.
	Name string `json:"name" jsonschema:"required,example=shop,pattern=^[a-z0-9]([a-z0-9-]*[a-z0-9])?$,maxLength=63"`
	// Namespace is where the rollout lives on a cluster.
	Namespace string `json:"namespace,omitempty"`
	// Labels are the user's own marks; Serin keeps them and does not read them.
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are the user's own notes; Serin keeps them and does not read
	// them.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Spec is everything a user may say about a rollout. Only Workload and Traffic
// have no default.
type Spec struct {
	// Workload says what is released; exactly one adapter.
	Workload Adapter `json:"workload" jsonschema:"required"`
	// Traffic says how requests are split; exactly one adapter.
	Traffic Adapter `json:"traffic" jsonschema:"required"`
	// Plan says in which phases the traffic grows.
	Plan Plan `json:"plan"`
	// Analysis says what is compared between the two versions.
	Analysis Analysis `json:"analysis"`
	// Tests run all through every phase against the canary directly.
	Tests []Test `json:"tests,omitempty"`
	// Hooks run once each, at the points they name.
	Hooks []Hook `json:"hooks,omitempty"`
	// Notify says who is told.
	Notify []Notifier `json:"notify,omitempty"`
	// Archive says where records, logs and reports end up; at most one adapter.
	Archive Adapter `json:"archive"`
}

// Arm is one of the two versions that share the traffic.
type Arm string

const (
	Stable Arm = "stable" // serves now
	Canary Arm = "canary" // the candidate
	// Baseline is fresh instances of stable's version, where a plan has them.
	Baseline Arm = "baseline"
)

// Full is the weight at which all traffic goes to the canary.
const Full = 100

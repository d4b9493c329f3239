// Package deployment is the workload of a rollout on Kubernetes: the user's own
// Deployment, held while a run goes on, and beside it one ReplicaSet with its
// new template, which becomes the Deployment's at the end. The pods that were
// tested are the pods that serve.
//
// The Deployment controller goes on doing its work: it heals and scales the
// version that serves, also while the Deployment is held. This package writes
// spec.paused and one label on the Deployment, creates and sizes the canary's
// ReplicaSet, and changes who owns it; nothing else.
//
// It knows two groups of pods. It must not know weights in effect, phases or
// verdicts, nor any router.
package deployment

package deployment

import rbacv1 "k8s.io/api/rbac/v1"

// Rules are the rights that this package needs in the namespaces of the
// Deployments, and no others.
func Rules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		// Hold and release, and the label.
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list", "watch", "patch"}},
		// An API server that checks who may block a Deployment's deletion asks for
		// this when a ReplicaSet becomes the Deployment's.
		{APIGroups: []string{"apps"}, Resources: []string{"deployments/finalizers"}, Verbs: []string{"update"}},
		// The canary's ReplicaSet.
		{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		// How pods are, and what they wrote.
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		// What a rollback's report tells of the canary's pods.
		{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"list"}},
	}
}

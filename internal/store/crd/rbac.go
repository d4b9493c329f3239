package crd

import (
	rbacv1 "k8s.io/api/rbac/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Rules are the permissions the store needs, and no more.
func Rules() []rbacv1.PolicyRule {
	group := []string{serinv1.GroupVersion.Group}
	return []rbacv1.PolicyRule{
		// Watch is for the cache it reads from; patch adds intents; delete keeps
		// the history short.
		{APIGroups: group, Resources: []string{runs}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{APIGroups: group, Resources: []string{runs + "/status"}, Verbs: []string{"update"}},
		// Records are written once and never changed. They go with their run.
		{APIGroups: group, Resources: []string{records}, Verbs: []string{"get", "list", "create"}},
		// A run is owned by its rollout.
		{APIGroups: group, Resources: []string{rollouts}, Verbs: []string{"get"}},
	}
}

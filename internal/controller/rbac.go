package controller

import (
	rbacv1 "k8s.io/api/rbac/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Rules are the permissions that the controller itself needs where rollouts
// are, besides those of its adapters and its store.
func Rules() []rbacv1.PolicyRule {
	group := []string{serinv1.GroupVersion.Group}
	return []rbacv1.PolicyRule{
		// Finalizers are written with the object.
		{APIGroups: group, Resources: []string{"canaryrollouts", "canaryruns"}, Verbs: []string{"get", "list", "watch", "update", "patch"}},
		{APIGroups: group, Resources: []string{"canaryrollouts/status"}, Verbs: []string{"update", "patch"}},
		// An object that Serin owns may block the deletion of its owner only with
		// this, where the API server asks for it.
		{APIGroups: group, Resources: []string{"canaryrollouts/finalizers", "canaryruns/finalizers"}, Verbs: []string{"update"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
	}
}

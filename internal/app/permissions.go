package app

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"serin.dev/serin/internal/builtin"
	"serin.dev/serin/internal/controller"
	"serin.dev/serin/internal/store/crd"
)

// Permissions are those that `serin controller` needs where rollouts are.
func Permissions() []rbacv1.PolicyRule {
	return slices.Concat(controller.Rules(), crd.Rules(), builtin.ClusterRules())
}

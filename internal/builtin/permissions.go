package builtin

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"serin.dev/serin/internal/traffic/gatewayapi"
	"serin.dev/serin/internal/traffic/istio"
	"serin.dev/serin/internal/traffic/service"
	"serin.dev/serin/internal/workload/deployment"
)

// ClusterRules are the permissions that the adapters of a cluster need where
// rollouts are.
func ClusterRules() []rbacv1.PolicyRule {
	return slices.Concat(deployment.Rules(), gatewayapi.Rules(), istio.Rules(), service.Rules())
}

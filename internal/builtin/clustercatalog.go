package builtin

import (
	"maps"

	"serin.dev/serin/internal/rollout"
)

// ClusterCatalog lists the adapters that a CanaryRollout on a cluster may name.
// Commands are missing: they would run in the controller, with its permissions.
func ClusterCatalog() rollout.Catalog {
	machine := Catalog()
	pick := func(port rollout.Port, kinds ...string) map[string]func() any {
		out := maps.Clone(machine[port])
		maps.DeleteFunc(out, func(kind string, _ func() any) bool {
			for _, k := range kinds {
				if k == kind {
					return false
				}
			}
			return true
		})
		return out
	}
	return rollout.Catalog{
		rollout.WorkloadPort: pick(rollout.WorkloadPort, "deployment"),
		rollout.TrafficPort:  configs(clusterRouters),
		rollout.MetricsPort:  pick(rollout.MetricsPort, "prometheus"),
		rollout.BusinessPort: machine[rollout.BusinessPort],
		rollout.TestPort:     pick(rollout.TestPort, "http"),
		rollout.HookPort:     pick(rollout.HookPort, "http", rollout.ApprovalKind),
		rollout.NotifyPort:   machine[rollout.NotifyPort],
		rollout.ArchivePort:  {},
	}
}

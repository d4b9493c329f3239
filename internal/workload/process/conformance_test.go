package process_test

import (
	"testing"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/workloadtest"
)

func TestProcessesConform(t *testing.T) {
	workloadtest.Run(t, func(t *testing.T) workloadtest.Harness {
		cfg, dir := config(), t.TempDir()
		cfg.Replicas = 3
		return workloadtest.Harness{
			Stable: "v1", Canary: "v2",
			Next: workload.Version{Version: "v3", Command: sample()},
			Open: func(t *testing.T) workload.Workload { return open(t, cfg, dir) },
			SetReady: func(t *testing.T, i rollout.Instance, ready bool) {
				fault(t, i, "ready", map[bool]string{true: "true", false: "false"}[ready])
			},
			Patience: patience,
		}
	})
}

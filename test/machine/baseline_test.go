package machine

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Fresh instances are slower than the one that serves already, of either version:
// what starts from now on takes 8 ms where stable takes 2.
func coldHome(t *testing.T, planExtra string) (h *home, cold string) {
	h = newHome(t)
	cold = filepath.Join(t.TempDir(), "cold")
	h.write(plan{
		stable: "-delay 2ms -cold-when " + cold, checks: "[{name: latency, type: responseTime}]",
		phases: "[{weight: 20, duration: 15s}, {weight: 33, duration: 5s}]", planExtra: planExtra,
	})
	h.serve()
	visit(t, h.addr)
	h.onlyPid("v1")
	if err := os.WriteFile(cold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return h, cold
}

func TestAColdCanaryNeedsABaseline(t *testing.T) {
	for _, c := range []struct {
		name, plan, canary string
		code               int
	}{
		{"without one it is taken for a slow version", "", "-delay 2ms", 2},
		{"with one it is promoted", "baseline: true", "-delay 2ms", 0},
		{"with one a slow version is rolled back", "baseline: true", "-delay 20ms", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, cold := coldHome(t, c.plan)
			release := h.start(h.releaseArgs("v2", c.canary+" -cold-when "+cold)...)
			release.wants(c.code)
			if c.code == 0 {
				h.onlyRuns("v2")
			} else {
				h.onlyRuns("v1")
				h.onlyPid("v1") // the baseline is gone too
			}
			dir := h.archivedRun()
			h.replays(dir)
			record := holds(t, dir, "record.jsonl")
			if with := strings.Contains(record, `"baseline":{"instances":1,"requests":`); with != (c.plan != "") {
				t.Errorf("the record has a baseline's figures: %v", with)
			}
			if logs, err := filepath.Glob(filepath.Join(dir, "logs", "shop-v1-1.log")); err != nil || len(logs) > 0 != (c.plan != "") {
				t.Errorf("the baseline's logs in the archive: %v (%v)", logs, err)
			}
			if c.plan != "" && c.code == 2 && !strings.Contains(holds(t, dir, "report.md"), "the baseline") {
				t.Error("the report does not say what the canary was compared with")
			}
		})
	}
}

// A baseline that dies is given up, and nobody notices but the record.
func TestABaselineThatDiesIsNoReasonAgainstTheCanary(t *testing.T) {
	h := newHome(t)
	h.write(plan{phases: "[{weight: 20, duration: 4s}, {weight: 50, duration: 2s}]", planExtra: "baseline: true"})
	h.serve()
	v := visit(t, h.addr)
	stable := h.onlyPid("v1")
	release := h.start(h.releaseArgs("v2", "")...)
	release.says("weight 20 %")
	eventually(t, "a second instance of v1, the baseline", func() bool {
		for _, pid := range instances(h.id)["v1"] {
			if pid != stable {
				return syscall.Kill(pid, syscall.SIGKILL) == nil
			}
		}
		return false
	})
	release.wants(0)
	v.stop()
	v.noneFailed()
	h.onlyRuns("v2")
	dir := h.archivedRun()
	h.replays(dir)
	if record := holds(t, dir, "record.jsonl"); !strings.Contains(record, `"reason":"noBaseline"`) {
		t.Error("the record does not say that the baseline was given up")
	}
	if report := holds(t, dir, "report.md"); !strings.Contains(report, "The baseline is given up: ") {
		t.Errorf("the report does not say that the baseline was given up:\n%s", report)
	}
	holds(t, dir, "logs/shop-v1-1.log") // of what died, too
}

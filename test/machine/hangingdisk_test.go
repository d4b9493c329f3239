package machine

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/internal/workload/workloadtest"
)

// A disk that hangs while something is to be written down keeps nobody from ending
// the daemon; the versions go on.
func TestTheDaemonEndsWhileItsDiskHangs(t *testing.T) {
	h := newHome(t)
	h.write(plan{})
	daemon := h.serve()
	v := visit(t, h.addr)
	workloadtest.Hang(t, filepath.Join(h.state, "rollouts", "shop", "instances", "shop-v1-0.json"))
	old := h.onlyPid("v1")
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is started again", func() bool { pids := h.pids("v1"); return len(pids) == 1 && pids[0] != old })
	v.sees("v1")
	began := time.Now()
	daemon.signal(syscall.SIGTERM)
	daemon.wants(1)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

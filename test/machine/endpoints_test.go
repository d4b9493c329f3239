package machine

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/test/plane/ports"
)

// server starts a version outside of Serin and returns its URL and how to kill
// it.
func (h *home) server(version, flags string) (url string, kill func()) {
	h.t.Helper()
	addr := ports.Keep(h.t)
	argv := h.argv(version, flags)
	for n := range argv {
		argv[n] = strings.ReplaceAll(argv[n], "$(ADDR)", addr)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", ownerEnv, os.Getpid()), testEnv+"="+h.id)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	kill = func() {
		_ = cmd.Process.Kill()
		<-done
	}
	h.t.Cleanup(kill)
	eventually(h.t, version+" to answer", func() bool {
		_, err := ask(http.DefaultClient, "http://"+addr+"/")
		return err == nil
	})
	return "http://" + addr, kill
}

// writeEndpoints writes a rollout of versions that somebody else runs.
func (h *home) writeEndpoints(stable, canary, phases, planExtra string) {
	h.writeFile(fmt.Sprintf(`apiVersion: serin.dev/v1alpha1
kind: CanaryRollout
metadata: {name: shop}
spec:
  workload:
    endpoints:
      stable: {version: v1, urls: [%q]}
      canary: {version: v2, urls: [%q]}
      health: {path: /healthz, interval: 250ms, failures: 2}
  traffic: {proxy: {listen: %q}}
  plan:
    phases: %s
%s
  analysis: {interval: 250ms, checks: [{name: errors, type: errorRate}]}
`, stable, canary, h.addr, phases, indent(4, planExtra)))
}

func TestVersionsThatSomebodyElseRuns(t *testing.T) {
	h := newHome(t)
	v1, _ := h.server("v1", "")
	v2, _ := h.server("v2", "")
	h.writeEndpoints(v1, v2, "[{weight: 20, duration: 1s}, {weight: 50, duration: 1s}]", "")
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.says("promoted after")
	from := time.Now().Add(200 * time.Millisecond)
	eventually(t, "a hundred requests after the promotion", func() bool { return len(v.seen(from, time.Time{})) > 100 })
	v.stop()
	v.noneFailed()
	if n := count(v.seen(from, time.Time{}), "v1"); n > 0 {
		t.Errorf("v1 answered %d requests after the promotion", n)
	}
	run.signal(syscall.SIGINT)
	run.wants(0)
	if len(h.pids("v1")) != 1 || len(h.pids("v2")) != 1 {
		t.Error("what somebody else runs was ended")
	}
	h.replays(h.archivedRun())
}

// A URL of the canary that dies gets nothing any more; when it stays away the
// run goes back.
func TestACanaryURLThatDies(t *testing.T) {
	h := newHome(t)
	v1, _ := h.server("v1", "")
	v2, kill := h.server("v2", "")
	h.writeEndpoints(v1, v2, "[{weight: 50, duration: 10m}]", "holdTimeout: 3s")
	run := h.start("run", "-f", h.file, "--keep")
	v := visit(t, h.addr)
	run.says("weight 50 %")
	v.sees("v2")
	kill()
	run.endsUnseen(v, 2)
	dir := h.archivedRun()
	h.replays(dir)
	held := false
	for _, l := range recordOf(t, dir) {
		held = held || l.Decision == "hold" && l.Weight != nil && *l.Weight == 0
	}
	if !held {
		t.Error("the canary was not taken out of the traffic before the rollback")
	}
	if len(h.pids("v1")) != 1 {
		t.Error("stable is gone")
	}
}

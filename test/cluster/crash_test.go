//go:build plane

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
	"serin.dev/serin/internal/engine"
	"serin.dev/serin/internal/record"
)

// controllers are the processes of the controller's pods, by pod.
func controllers(t *testing.T) map[string]int {
	t.Helper()
	found := map[string]int{}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		argv, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !bytes.HasPrefix(argv, []byte(program+"\x00controller\x00")) {
			continue // gone, or another
		}
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		for _, v := range strings.Split(string(env), "\x00") {
			if name, ok := strings.CutPrefix(v, "POD_NAME="); ok {
				found[name] = pid
			}
		}
	}
	return found
}

// kill ends processes of the controller as a crash does.
func kill(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

func killAll(t *testing.T) {
	t.Helper()
	var pids []int
	eventually(t, limit, func() error {
		pids = nil
		for _, pid := range controllers(t) {
			pids = append(pids, pid)
		}
		if len(pids) == 0 {
			return fmt.Errorf("no controller runs")
		}
		return nil
	})
	kill(t, pids...)
}

// archive is where the controller keeps records. Its pod is a process here, so it
// is a folder of this machine.
const archive = "/var/lib/serin/archive"

// recorded asks of a run's record that it replays and that no transition is in
// it twice.
func (s *shop) recorded(run string) {
	s.t.Helper()
	text := s.record(run)
	last := ""
	seen := map[string]int{}
	for line := range bytes.Lines(text) {
		var d record.Decision
		if json.Unmarshal(line, &d) != nil || d.Position == "" {
			continue
		}
		// A hold is entered and left as often as there is a reason for it.
		position, _, _ := strings.Cut(d.Position, " held:")
		if position != last {
			seen[position]++
			last = position
		}
	}
	for position, n := range seen {
		if n > 1 {
			s.t.Errorf("the run came to %q %d times", position, n)
		}
	}
	if len(seen) < 4 {
		s.t.Errorf("the record shows %d positions alone: %v", len(seen), seen)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, "replay", s.recordFile(run)).CombinedOutput(); err != nil {
		s.t.Errorf("serin replay: %v: %s", err, out)
	}
}

func (s *shop) recordFile(run string) string {
	return filepath.Join(archive, s.namespace, "shop", run, "record.jsonl")
}

// record reads a run's record, which is archived when it has ended.
func (s *shop) record(run string) (text []byte) {
	s.t.Helper()
	eventually(s.t, limit, func() (err error) {
		text, err = os.ReadFile(s.recordFile(run))
		return err
	})
	s.t.Cleanup(func() { _ = os.RemoveAll(filepath.Join(archive, s.namespace)) })
	return text
}

// crashPhases leave time for a controller to come back.
const crashPhases = "[{weight: 10, duration: 10s}, {weight: 50, duration: 10s}, {weight: 100, duration: 8s}]"

// A controller that is killed again and again on the way back brings it to the same
// end, and its run into the archive.
func TestTheControllerIsKilledInTheMiddleOfARollback(t *testing.T) {
	s, users := inARun(t, 50)
	s.says(0, "", "rollback", "shop")
	last := ""
	eventually(t, limit, func() error {
		now := s.runs()[0].Status
		if now.EndedAt != nil {
			return nil
		}
		if strings.HasPrefix(now.Phase, string(engine.RollingBack)) && now.Phase != last {
			last = now.Phase
			killAll(t)
		}
		return fmt.Errorf("the run is at %q", now.Phase)
	})
	s.rolledBack(1, "")
	s.unharmed(users)
	s.recorded("shop-1")

	// As if the last kill had come when the run had ended and was not archived.
	eventually(t, limit, func() error { return os.RemoveAll(filepath.Join(archive, s.namespace)) }) // it may be written to still
	s.kubectl("patch", "canaryrun", "shop-1", "--subresource=status", "--type=merge", "-p", `{"status":{"archived":false,"report":""}}`)
	s.recorded("shop-1")
	eventually(t, limit, func() error {
		if st := s.runs()[0].Status; !st.Archived || st.Report == "" {
			return fmt.Errorf("the run does not say where its report is: %+v", st)
		}
		return nil
	})
}

// unbroken asks of a run's record that no look is missing in it and none there
// twice, and returns the decisions.
func (s *shop) unbroken(run serinv1.CanaryRun) (all []record.Decision) {
	s.t.Helper()
	var lines int64
	answered := map[string]int{}
	err := record.Read(bytes.NewReader(s.record(run.Name)), func(e record.Entry) error {
		lines++
		switch {
		case e.Gap != nil:
			s.t.Errorf("line %d: %d looks are missing", e.Line, e.Gap.Gap)
		case e.Decision != nil:
			if n := len(all); n > 0 && !e.Decision.At.After(all[n-1].At) {
				s.t.Errorf("line %d: the decision of %s comes after that of %s", e.Line, e.Decision.At, all[n-1].At)
			}
			for _, a := range e.Decision.Answered {
				answered[a.ID]++
			}
			all = append(all, *e.Decision)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if lines != run.Status.LinesTotal {
		s.t.Errorf("%d lines are archived and %d were written", lines, run.Status.LinesTotal)
	}
	for _, i := range run.Spec.Intents {
		if answered[i.ID] != 1 {
			s.t.Errorf("who asked to %s was answered %d times", i.Intent, answered[i.ID])
		}
	}
	return all
}

// phasesOf are the phases that were entered, in their order.
func phasesOf(decisions []record.Decision) (entered []int) {
	for _, d := range decisions {
		if n := len(entered); strings.HasPrefix(d.Position, string(engine.Progressing)) && (n == 0 || entered[n-1] != d.Phase) {
			entered = append(entered, d.Phase)
		}
	}
	return entered
}

// Another replica takes over from a leader that is killed, twice. The release
// comes to the same end as without: no step is taken twice, what a person asked
// for while nobody led is done, and the pods that were tested serve.
func TestAnotherReplicaTakesOver(t *testing.T) {
	s := open(t, 2)
	scale := func(n int) {
		t.Helper()
		if err := apply(fmt.Sprintf("--replicas=%d", n)); err != nil {
			t.Fatal(err)
		}
		eventually(t, limit, func() error {
			if got := len(controllers(t)); got != n {
				return fmt.Errorf("%d controllers run", got)
			}
			return nil
		})
	}
	scale(2)
	defer scale(1)
	s.roll("[{weight: 10, duration: 5m}, {weight: 50, duration: 10s}, {weight: 100, duration: 8s}]")
	weights := s.history()
	users := send(t, s.host, 50)
	s.change("v2")
	s.weighs(10)
	first := s.podsOf("v2")
	killed := s.killLeader()
	s.says(0, "", "promote", "shop")
	s.weighs(50)
	if now := s.leader(); now == killed {
		t.Errorf("%s leads on", now)
	}
	s.killLeader()
	s.weighs(100)
	tested := s.podsOf("v2")
	s.released(1, 2)
	s.unharmed(users)
	if now := s.pods(); !slices.Equal(now, tested) || len(first) != 1 || !slices.Contains(now, first[0]) {
		t.Errorf("%v serve; in the first phase %v were tested, and in the last %v", now, first, tested)
	}
	if got := fmt.Sprint(weights()); got != "[0 10 50 100 0]" {
		t.Errorf("the canary's weights were %s", got)
	}
	s.recorded("shop-1")
	runs := s.runs()
	if len(runs) != 1 || runs[0].Spec.Number != 1 || len(runs[0].Spec.Intents) != 1 {
		t.Fatalf("there is to be run 1, of which one thing was asked: %+v", runs)
	}
	if got := phasesOf(s.unbroken(runs[0])); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("the phases %v were entered", got)
	}
}

// leader returns the pod that leads.
func (s *shop) leader() string {
	s.t.Helper()
	lease, err := cluster.Client.CoordinationV1().Leases("serin-system").Get(s.t.Context(), "serin.dev", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		s.t.Fatal("nobody leads")
	}
	return *lease.Spec.HolderIdentity
}

// killLeader ends the leader with its pod, as when its node is lost.
func (s *shop) killLeader() string {
	s.t.Helper()
	leader := s.leader()
	pid, ok := controllers(s.t)[leader]
	if !ok {
		s.t.Fatalf("the leader %s is none of %v", leader, controllers(s.t))
	}
	s.kubectlIn("serin-system", "delete", "pod", leader, "--grace-period=0", "--force", "--wait=false")
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
	return leader
}

// While the API server is away what serves goes on, and the run afterwards.
func TestTheAPIServerIsAway(t *testing.T) {
	s, users := inARun(t, 50)
	cluster.APIServer.Kill()
	time.Sleep(time.Minute)
	s.restartAPIServer()
	s.says(0, "", "promote", "shop")
	s.weighs(50)
	s.says(0, "", "rollback", "shop")
	if err := cluster.APIServer.Freeze(); err != nil { // somewhere on the way back
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	if err := cluster.APIServer.Thaw(); err != nil {
		t.Fatal(err)
	}
	s.rolledBack(1, "")
	s.unharmed(users)
	s.recorded("shop-1")
	structured(t) // also what is said of an API server that is away
}

func (s *shop) restartAPIServer() {
	s.t.Helper()
	if err := cluster.APIServer.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

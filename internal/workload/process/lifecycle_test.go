package process_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
)

func TestCanaryIsSizedForItsWeight(t *testing.T) {
	cfg := config()
	cfg.Replicas = 3
	w := open(t, cfg, t.TempDir())
	for _, c := range []struct{ weight, instances, capacity int }{{5, 1, 33}, {34, 2, 66}, {67, 3, 100}, {100, 3, 100}, {10, 1, 33}} {
		apply(t, w, workload.Want{Stable: 100, Canary: c.weight})
		st := until(t, w, fmt.Sprintf("canary at %d %%", c.weight), func(st workload.Status) bool {
			return len(st.Canary.Instances) == c.instances && st.Canary.Ready() == c.instances
		})
		if st.Canary.Capacity != c.capacity {
			t.Errorf("at %d %%: capacity %d, want %d", c.weight, st.Canary.Capacity, c.capacity)
		}
	}
}

func TestInstanceLearnsItsAddressAndVersionAndNoneOfSerinsSecrets(t *testing.T) {
	t.Setenv("SERIN_SMTP_PASSWORD", "secret")
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	t.Setenv("SHOP_REGION", "north")
	cfg := config()
	cfg.Stable.Env = map[string]string{"LISTEN_ON": "tcp:$(PORT)", "LABEL": "$(VERSION)", "PLAIN": "$$(ADDR)"}
	w := open(t, cfg, t.TempDir())
	apply(t, w, workload.Want{Stable: 100})
	i := until(t, w, "stable is ready", stableReady).Stable.Instances[0]
	if got := get(t, i.URL+"/version"); got != "v1" {
		t.Errorf("version %q, want v1", got)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(i.URL, "http://"))
	env := "\n" + get(t, i.URL+"/env") + "\n"
	for _, want := range []string{"LISTEN_ON=tcp:" + port, "LABEL=v1", "PLAIN=$(ADDR)", "SHOP_REGION=north"} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("environment lacks %s", want)
		}
	}
	for _, secret := range []string{"secret", "NOTIFY_SOCKET"} {
		if strings.Contains(env, secret) {
			t.Errorf("environment has %s", secret)
		}
	}
	if !strings.HasPrefix(i.URL, "http://127.0.0.1:") {
		t.Errorf("%s is not on the loopback interface", i.URL)
	}
}

func TestRelativeProgramIsBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "shop-v1")); err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.Stable.Command[0] = "./shop-v1"
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100})
	until(t, w, "stable is ready", stableReady)
}

func TestWhatCannotBeStartedFailsWithItsReason(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain.txt")
	if err := os.WriteFile(plain, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	nonsense := filepath.Join(dir, "nonsense")
	if err := os.WriteFile(nonsense, []byte("\x01\x02\x03"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		version process.Version
		want    string
	}{
		"missing binary":          {process.Version{Command: []string{"./shop-v2", "$(ADDR)"}}, "there is no " + filepath.Join(dir, "shop-v2")},
		"not in PATH":             {process.Version{Command: []string{"no-such-program-anywhere", "$(ADDR)"}}, "is not in PATH"},
		"not executable":          {process.Version{Command: []string{plain, "$(ADDR)"}}, "chmod +x"},
		"no program":              {process.Version{Command: []string{nonsense, "$(ADDR)"}}, "is no program for this machine"},
		"no working directory":    {process.Version{Command: sample(), Dir: "nowhere"}, "working directory"},
		"exits at once":           {process.Version{Command: sample("-exit", "7")}, "crash loop: shop-v2-0 ended by itself 3 times in a row, last with status 7: sample: told to end at once"},
		"panics":                  {process.Version{Command: sample("-panic", "no database")}, "panic: no database"},
		"exits with success":      {process.Version{Command: sample("-exit", "0")}, "must stay in the foreground"},
		"unknown flag of its own": {process.Version{Command: sample("-colour")}, "last with status 64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, own := config(), t.TempDir()
			cfg.Canary = c.version
			cfg.Canary.Version = "v2"
			w, err := process.New(cfg, process.Env{Rollout: "shop", BaseDir: dir, StateDir: own})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Close() })
			apply(t, w, workload.Want{Stable: 100, Canary: 5})
			st := until(t, w, "canary has failed and stable serves", func(st workload.Status) bool {
				return st.Canary.Failed != "" && st.Stable.Capacity == 100
			})
			if !strings.Contains(st.Canary.Failed, c.want) || !strings.Contains(st.Canary.Failed, "shop-v2-0") {
				t.Errorf("Failed is %q, want it to name shop-v2-0 and to say %q", st.Canary.Failed, c.want)
			}
			if st.Canary.Capacity != 0 || st.Canary.Ready() != 0 {
				t.Errorf("canary is %+v, want no capacity", st.Canary)
			}
			if st.Stable.Failed != "" || st.Stable.Restarts != 0 {
				t.Errorf("stable is %+v, want no trouble", st.Stable)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := w.StopAll(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNeverReadyHasNoCapacityAndSaysWhy(t *testing.T) {
	cfg := config()
	cfg.Canary.Command = sample("-unready")
	w := open(t, cfg, t.TempDir())
	apply(t, w, workload.Want{Stable: 100, Canary: 5})
	st := until(t, w, "a detail", func(st workload.Status) bool {
		return stableReady(st) && strings.Contains(st.Canary.Detail, "503")
	})
	if st.Canary.Capacity != 0 || st.Canary.Failed != "" {
		t.Errorf("canary is %+v, want no capacity, and no failure for waiting may help", st.Canary)
	}
	fault(t, st.Canary.Instances[0], "ready", "true")
	until(t, w, "canary is ready", bothReady)
}

func TestKilledInstanceIsUnreadyAtOnceAndRestarted(t *testing.T) {
	cfg := config()
	cfg.Readiness.Interval = rollout.Duration(time.Hour)    // only the exit can tell
	cfg.Restart.Backoff = rollout.Duration(2 * time.Second) // long enough to be seen
	cfg.Restart.MaxBackoff = cfg.Restart.Backoff
	w := open(t, cfg, t.TempDir())
	apply(t, w, workload.Want{Stable: 100})
	before := until(t, w, "stable is ready", stableReady).Stable.Instances[0]
	pid := pidOf(t, before)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	st := until(t, w, "stable is unready", func(st workload.Status) bool { return st.Stable.Capacity == 0 })
	if st.Stable.Restarts > 1 {
		t.Errorf("%d restarts, want 1", st.Stable.Restarts)
	}
	st = until(t, w, "stable is ready again", stableReady)
	after := st.Stable.Instances[0]
	if after.Name != before.Name || after.URL != before.URL {
		t.Errorf("instance %+v came back as %+v", before, after)
	}
	if pidOf(t, after) == pid || st.Stable.Restarts != 1 || !strings.Contains(st.Stable.Detail, "killed") {
		t.Errorf("stable is %+v, want another process, one restart and a detail that says killed", st.Stable)
	}
	if st.Stable.Failed != "" {
		t.Errorf("stable failed: %s", st.Stable.Failed)
	}
}

func TestStableIsRestartedForeverAndItsFailurePasses(t *testing.T) {
	cfg := config()
	cfg.Restart.ResetAfter = rollout.Duration(500 * time.Millisecond)
	w := open(t, cfg, t.TempDir())
	apply(t, w, workload.Want{Stable: 100})
	for n := range cfg.Restart.Max + 2 {
		st := until(t, w, fmt.Sprintf("ready after %d ends", n), stableReady)
		fault(t, st.Stable.Instances[0], "exit", "3")
		until(t, w, "the end is counted", func(st workload.Status) bool { return st.Stable.Restarts > n })
	}
	until(t, w, "ready and well again", func(st workload.Status) bool { return stableReady(st) && st.Stable.Failed == "" })
}

func TestTakenPortIsLeftToWhoHasIt(t *testing.T) {
	dir := t.TempDir()
	cfg := config()
	cfg.Restart.Backoff = rollout.Duration(2 * time.Second) // long enough to come in between
	cfg.Restart.MaxBackoff = cfg.Restart.Backoff
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100})
	before := until(t, w, "stable is ready", stableReady).Stable.Instances[0]
	pid := pidOf(t, before)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Within the pause before the restart somebody else takes the port.
	var ln net.Listener
	eventually(t, "the port is free", func() (bool, string) {
		var err error
		ln, err = net.Listen("tcp", strings.TrimPrefix(before.URL, "http://"))
		return err == nil, fmt.Sprint(err)
	})
	defer ln.Close()
	st := until(t, w, "stable is ready elsewhere", func(st workload.Status) bool {
		return stableReady(st) && st.Stable.Instances[0].URL != before.URL
	})
	if got := get(t, st.Stable.Instances[0].URL+"/version"); got != "v1" {
		t.Errorf("version %q answers at the new address, want v1", got)
	}
}

func TestFixedPortThatIsTakenIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cfg := config()
	cfg.Canary.Port = ln.Addr().(*net.TCPAddr).Port
	w := open(t, cfg, t.TempDir())
	apply(t, w, workload.Want{Stable: 100, Canary: 100})
	until(t, w, "canary has failed", func(st workload.Status) bool {
		return strings.Contains(st.Canary.Failed, "port "+strconv.Itoa(cfg.Canary.Port)+" is taken")
	})
	ln.Close()
	until(t, w, "canary is ready once the port is free", bothReady)
}

func TestGracefulStopIsRespectedAndNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	cfg := config()
	cfg.Stable.Command = sample("-linger", "300ms")
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100})
	st := until(t, w, "stable is ready", stableReady)
	pid := pidOf(t, st.Stable.Instances[0])
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.StopAll(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("stopped after %v, before the instance was done", took)
	}
	if !gone(pid) {
		t.Errorf("process %d is %s, want it gone", pid, processState(pid))
	}
	log, err := os.ReadFile(filepath.Join(dir, "state", "logs", "shop-v1-0.log"))
	if err != nil || !strings.Contains(string(log), "sample: ended") {
		t.Errorf("log is %q (%v), want the words of an orderly end", log, err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "state", "instances")); len(left) != 0 {
		t.Errorf("pid files are left: %v", left)
	}
	if n := zombies(t); n != 0 {
		t.Errorf("%d zombies are left", n)
	}
}

func TestProcessThatIgnoresSIGTERMIsKilledAfterItsGrace(t *testing.T) {
	cfg := config()
	cfg.Stable.Command = sample("-stubborn", "-child")
	cfg.Stop.Grace = rollout.Duration(200 * time.Millisecond)
	dir := t.TempDir()
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100})
	pid := pidOf(t, until(t, w, "stable is ready", stableReady).Stable.Instances[0])
	child := childOf(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	if err := w.StopAll(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("killed after %v, before its grace was over", took)
	}
	for _, p := range []int{pid, child} {
		eventually(t, fmt.Sprintf("process %d is gone", p), func() (bool, string) { return gone(p), processState(p) })
	}
}

func TestNoOrphanIsLeftOfAnInstanceThatDied(t *testing.T) {
	dir := t.TempDir()
	cfg := config()
	cfg.Stable.Command = sample("-child")
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100})
	pid := pidOf(t, until(t, w, "stable is ready", stableReady).Stable.Instances[0])
	child := childOf(t, dir)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child of the dead instance is gone", func() (bool, string) {
		return gone(child), ""
	})
	until(t, w, "stable is ready again", func(st workload.Status) bool { return stableReady(st) && st.Stable.Restarts == 1 })
}

// childOf reads which child the sample server said it has.
func childOf(t *testing.T, dir string) int {
	t.Helper()
	var child int
	eventually(t, "the child is told", func() (bool, string) {
		log, _ := os.ReadFile(filepath.Join(dir, "state", "logs", "shop-v1-0.log"))
		_, err := fmt.Sscanf(string(log), "child %d", &child)
		return err == nil, string(log)
	})
	return child
}

func TestChangedTellsOfEveryEnd(t *testing.T) {
	cfg := config()
	cfg.Readiness.Interval = rollout.Duration(time.Hour)
	w := open(t, cfg, t.TempDir())
	apply(t, w, workload.Want{Stable: 100, Canary: 100})
	st := until(t, w, "both are ready", bothReady)
	for drained := false; !drained; {
		select {
		case <-w.Changed():
		case <-time.After(100 * time.Millisecond):
			drained = true
		}
	}
	fault(t, st.Canary.Instances[0], "exit", "1")
	select {
	case <-w.Changed():
	case <-time.After(patience):
		t.Fatal("Changed said nothing of an instance that ended")
	}
	now, err := w.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now.Canary.Capacity != 0 && now.Canary.Restarts == 0 {
		t.Errorf("canary is %+v after Changed, want the end to be seen", now.Canary)
	}
}

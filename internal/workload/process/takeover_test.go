package process_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
	"serin.dev/serin/internal/workload/workloadtest"
)

var everything = workload.Want{Stable: 100, Canary: 100}

// managed runs a manager, waits until both groups answer, and returns it with
// the pids of its instances by name.
func managed(t *testing.T, cfg process.Config, dir string) (*exec.Cmd, map[string]int) {
	t.Helper()
	m := startManager(t, cfg, dir, everything)
	pids := map[string]int{}
	eventually(t, "the manager's instances run", func() (bool, string) {
		for _, name := range []string{"shop-v1-0", "shop-v2-0"} {
			r := readRecord(dir, name)
			if _, err := tryGet(fmt.Sprintf("http://127.0.0.1:%d/healthz", r.Port)); err != nil || r.PID == 0 {
				return false, fmt.Sprintf("%s: %+v, %v", name, r, err)
			}
			pids[name] = r.PID
		}
		return true, ""
	})
	return m, pids
}

// pidFile is what the tests know of an instance's pid file.
type pidFile struct {
	PID   int
	Start string
	Port  int
}

func recordPath(dir, name string) string {
	return filepath.Join(dir, "state", "instances", name+".json")
}

func readRecord(dir, name string) pidFile {
	var r pidFile
	data, err := os.ReadFile(recordPath(dir, name))
	if err != nil || json.Unmarshal(data, &r) != nil {
		return pidFile{}
	}
	return r
}

// takenOver opens dir after its manager died and checks that the very same
// processes are in place.
func takenOver(t *testing.T, cfg process.Config, dir string, pids map[string]int) *process.Workload {
	t.Helper()
	defer process.SetFirstLook(patience)() // of a busy machine
	w := open(t, cfg, dir)
	st, err := w.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !bothReady(st) {
		t.Errorf("status right after New is %+v, want both groups ready", st)
	}
	apply(t, w, everything)
	st = until(t, w, "both groups are ready", bothReady)
	for _, i := range append(st.Stable.Instances, st.Canary.Instances...) {
		if got := pidOf(t, i); got != pids[i.Name] {
			t.Errorf("%s is process %d, want %d as before", i.Name, got, pids[i.Name])
		}
	}
	if st.Stable.Restarts+st.Canary.Restarts != 0 {
		t.Errorf("instances were restarted: %+v", st)
	}
	return w
}

func TestInstancesOutliveAKilledManagerAndAreTakenOver(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	m, pids := managed(t, cfg, dir)
	kill9(m)
	w := takenOver(t, cfg, dir, pids)

	// What was taken over is watched, restarted and stopped like one's own.
	if err := syscall.Kill(pids["shop-v2-0"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, w, "the killed instance is replaced", func(st workload.Status) bool {
		return bothReady(st) && st.Canary.Restarts == 1
	})
	apply(t, w, workload.Want{Stable: 0, Canary: 100, Promoted: true})
	eventually(t, "the old version has ended", func() (bool, string) {
		return gone(pids["shop-v1-0"]), processState(pids["shop-v1-0"])
	})
	log, err := os.ReadFile(filepath.Join(dir, "state", "logs", "shop-v1-0.log"))
	if err != nil || !strings.Contains(string(log), "sample: ended") {
		t.Errorf("log is %q (%v), want what was written after the manager's death too", log, err)
	}
}

func TestInstancesAreTakenOverWithoutTheirPidFiles(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, path string){
		"missing": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"damaged": func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("{\"pid\":"), 0o600)) },
		"written before the start": func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			must(t, err)
			var fields map[string]any
			must(t, json.Unmarshal(data, &fields))
			delete(fields, "pid")
			delete(fields, "start")
			data, err = json.Marshal(fields)
			must(t, err)
			must(t, os.WriteFile(path, data, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, dir := config(), t.TempDir()
			m, pids := managed(t, cfg, dir)
			kill9(m)
			for instance := range pids {
				harm(t, recordPath(dir, instance))
			}
			takenOver(t, cfg, dir, pids)
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, data, 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnInstanceThatDiedMeanwhileIsReplaced(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	m, pids := managed(t, cfg, dir)
	kill9(m)
	must(t, syscall.Kill(pids["shop-v1-0"], syscall.SIGKILL))
	eventually(t, "it is gone", func() (bool, string) {
		return gone(pids["shop-v1-0"]), ""
	})
	w := open(t, cfg, dir)
	apply(t, w, everything)
	st := until(t, w, "both groups are ready", bothReady)
	if st.Stable.Restarts != 1 || st.Canary.Restarts != 0 {
		t.Errorf("restarts %d and %d, want 1 and 0", st.Stable.Restarts, st.Canary.Restarts)
	}
	if got := pidOf(t, st.Canary.Instances[0]); got != pids["shop-v2-0"] {
		t.Errorf("the other instance is process %d, want %d as before", got, pids["shop-v2-0"])
	}
}

// startTimeUnit is the resolution of the kernel's start times (USER_HZ).
const startTimeUnit = 10 * time.Millisecond

func TestAProcessOfAnotherIsNeverTouched(t *testing.T) {
	// A pid file names the pid of a stranger: the number was given out anew.
	stranger := exec.Command(os.Args[0], workloadtest.SampleArg, "-listen", "127.0.0.1:0")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(t, stranger.Start())
	t.Cleanup(func() { kill9(stranger) })
	// A number comes round after all others only, so its processes never start
	// in the same hundredth of a second, the kernel's unit of start times.
	time.Sleep(2 * startTimeUnit)

	cfg, dir := config(), t.TempDir()
	m, pids := managed(t, cfg, dir)
	kill9(m)
	path := recordPath(dir, "shop-v1-0")
	data, err := os.ReadFile(path)
	must(t, err)
	old := strconv.Itoa(pids["shop-v1-0"])
	must(t, os.WriteFile(path, []byte(strings.Replace(string(data), `"pid":`+old, `"pid":`+strconv.Itoa(stranger.Process.Pid), 1)), 0o600))

	w := takenOver(t, cfg, dir, pids) // by its marker
	must(t, w.StopAll(t.Context()))
	time.Sleep(50 * time.Millisecond)
	if gone(stranger.Process.Pid) {
		t.Error("a stranger's process was killed")
	}
}

func TestPromotionOutlivesAKilledManager(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	m, pids := managed(t, cfg, dir)
	kill9(m)
	m = startManager(t, cfg, dir, workload.Want{Canary: 100, Promoted: true})
	eventually(t, "the old version has ended", func() (bool, string) {
		return gone(pids["shop-v1-0"]), processState(pids["shop-v1-0"])
	})
	kill9(m)
	w := open(t, cfg, dir)
	if got := w.Serving().Version; got != "v2" {
		t.Errorf("%s serves, want v2", got)
	}
	must(t, w.EndRun(true))
	apply(t, w, workload.Want{Stable: 100})
	st := until(t, w, "the promoted version is stable", stableReady)
	if got := pidOf(t, st.Stable.Instances[0]); got != pids["shop-v2-0"] || st.Stable.Version != "v2" {
		t.Errorf("stable is %s, process %d; want v2, %d", st.Stable.Version, got, pids["shop-v2-0"])
	}
}

func TestAStopThatAKilledManagerBeganIsFinished(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	cfg.Canary.Command = sample("-stubborn")
	cfg.Stop.Grace = rollout.Duration(time.Hour)
	m, pids := managed(t, cfg, dir)
	kill9(m)
	m = startManager(t, cfg, dir, workload.Want{Stable: 100})
	eventually(t, "the canary is being stopped", func() (bool, string) {
		data, _ := os.ReadFile(recordPath(dir, "shop-v2-0"))
		return strings.Contains(string(data), `"stopping":true`), string(data)
	})
	kill9(m)
	cfg.Stop.Grace = rollout.Duration(100 * time.Millisecond)
	w := open(t, cfg, dir) // without any Apply
	eventually(t, "the canary has ended", func() (bool, string) {
		return gone(pids["shop-v2-0"]), processState(pids["shop-v2-0"])
	})
	st := until(t, w, "stable is ready", stableReady)
	if len(st.Canary.Instances) != 0 {
		t.Errorf("canary is %+v, want none", st.Canary)
	}
}

func TestFreshStartStopsWhatWasLeft(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	m, pids := managed(t, cfg, dir)
	kill9(m)
	w, err := process.New(cfg, process.Env{Rollout: "shop", BaseDir: dir, StateDir: filepath.Join(dir, "state"), Fresh: true})
	must(t, err)
	t.Cleanup(func() { w.Close(); stopLeftovers(t, cfg, dir) })
	apply(t, w, workload.Want{Stable: 100})
	for _, pid := range pids {
		eventually(t, "what was left is gone", func() (bool, string) { return gone(pid), processState(pid) })
	}
	st := until(t, w, "stable is ready", stableReady)
	if got := pidOf(t, st.Stable.Instances[0]); got == pids["shop-v1-0"] {
		t.Error("the process of before was kept")
	}
}

func TestOneFolderHasOneManager(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	w := open(t, cfg, dir)
	_, err := process.New(cfg, process.Env{Rollout: "shop", BaseDir: dir, StateDir: filepath.Join(dir, "state")})
	if !errors.Is(err, process.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second New: %v, want ErrLocked naming the folder", err)
	}
	must(t, w.Close())
}

func TestTwoRolloutsDoNotSeeEachOther(t *testing.T) {
	cfg, dirA, dirB := config(), t.TempDir(), t.TempDir()
	a, b := open(t, cfg, dirA), open(t, cfg, dirB)
	apply(t, a, workload.Want{Stable: 100})
	apply(t, b, workload.Want{Stable: 100})
	until(t, a, "one is ready", stableReady)
	other := pidOf(t, until(t, b, "the other is ready", stableReady).Stable.Instances[0])
	must(t, a.Close())
	a = open(t, cfg, dirA)
	must(t, a.StopAll(t.Context()))
	if gone(other) {
		t.Error("stopping one rollout's processes ended the other's")
	}
}

func TestStateThatCannotBeWrittenStopsNobody(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	// A folder in a file's place: nothing can be written there, as on a full
	// disk, not even by root.
	for _, path := range []string{
		recordPath(dir, "shop-v1-0"), recordPath(dir, "shop-v2-0"),
		recordPath(dir, "shop-v1-0") + ".new", recordPath(dir, "shop-v2-0") + ".new",
		filepath.Join(dir, "state", "logs", "shop-v1-0.log"),
		filepath.Join(dir, "state", "workload.json.new"),
		filepath.Join(dir, "state", "hour.jsonl"),
	} {
		must(t, os.MkdirAll(filepath.Join(path, "taken"), 0o700))
	}
	w := open(t, cfg, dir)
	apply(t, w, everything)
	st := until(t, w, "both groups are ready", bothReady)
	pids := map[string]int{}
	for _, i := range append(st.Stable.Instances, st.Canary.Instances...) {
		pids[i.Name] = pidOf(t, i)
	}
	must(t, w.Close())
	w = takenOver(t, cfg, dir, pids)
	must(t, w.StopAll(t.Context()))
	for name, pid := range pids {
		if !gone(pid) {
			t.Errorf("%s is still there", name)
		}
	}
}

package process_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
	"serin.dev/serin/internal/workload/workloadtest"
)

func memoryPath(dir string) string { return filepath.Join(dir, "state", "workload.json") }

// A disk that hangs holds up neither a restart nor the stop of a canary, nor
// whoever looks; when it goes on, a later Serin finds all as it is.
func TestADiskThatHangsStopsNobody(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	w := open(t, cfg, dir)
	apply(t, w, everything)
	st := until(t, w, "both groups are ready", bothReady)
	stable, canary := pidOf(t, st.Stable.Instances[0]), pidOf(t, st.Canary.Instances[0])
	goOn := workloadtest.Hang(t, memoryPath(dir), recordPath(dir, "shop-v1-0"), recordPath(dir, "shop-v2-0"))

	// What is to be remembered of the run hangs first.
	apply(t, w, workload.Want{Stable: 100, Canary: 100, Promoted: true})
	must(t, syscall.Kill(stable, syscall.SIGKILL))
	st = until(t, w, "stable was restarted", func(st workload.Status) bool { return bothReady(st) && st.Stable.Restarts == 1 })
	stable = pidOf(t, st.Stable.Instances[0])
	apply(t, w, workload.Want{Stable: 100})
	eventually(t, "the canary has ended", func() (bool, string) { return gone(canary), processState(canary) })
	must(t, w.EndRun(false))

	goOn()
	must(t, w.Close())
	w = open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100})
	st = until(t, w, "stable is ready", stableReady)
	if got := pidOf(t, st.Stable.Instances[0]); got != stable || st.Stable.Version != "v1" || st.Stable.Restarts != 1 {
		t.Errorf("stable is process %d, want %d: %+v", got, stable, st.Stable)
	}
	if got := readRecord(dir, "shop-v2-0"); got != (pidFile{}) {
		t.Errorf("the canary's pid file is still there: %+v", got)
	}
}

// No process of a canary is there before a later Serin would know it: that would
// end it, and begin another.
func TestACanaryIsNotStartedBeforeItIsRemembered(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	w := open(t, cfg, dir)
	must(t, w.EndRun(false))
	apply(t, w, workload.Want{Stable: 100})
	until(t, w, "stable is ready", stableReady)
	goOn := workloadtest.Hang(t, memoryPath(dir))

	begun := make(chan error, 1)
	go func() { begun <- w.BeginRun(workload.Version{Version: "v3", Command: sample()}) }()
	eventually(t, "the canary is known", func() (bool, string) {
		err := w.Apply(t.Context(), everything)
		return err == nil, fmt.Sprint(err)
	})
	st := until(t, w, "the canary waits", func(st workload.Status) bool { return st.Canary.Detail != "" })
	if want := "shop-v3-0 waits for the disk: that it is there cannot be written down yet"; st.Canary.Detail != want || st.Canary.Version != "v3" {
		t.Errorf("the canary is %+v, want the detail %q", st.Canary, want)
	}
	if len(st.Canary.Instances) != 0 || st.Stable.Capacity != 100 {
		t.Errorf("status %+v, want stable alone", st)
	}
	select {
	case err := <-begun:
		t.Errorf("a run can begin (%v) of which a later Serin knows nothing", err)
	default:
	}

	goOn()
	must(t, <-begun)
	until(t, w, "both groups are ready", bothReady)
	must(t, w.Close())
	w = open(t, cfg, dir)
	if err := w.BeginRun(workload.Version{Version: "v4", Command: sample()}); !errors.Is(err, workload.ErrRefused) {
		t.Errorf("after a restart another run can begin: %v", err)
	}
}

// Serin is killed while its disk hangs: what it started meanwhile is taken over.
func TestWhatWasStartedWhileTheDiskHungIsTakenOver(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	m, pids := managed(t, cfg, dir)
	kill9(m)
	port := readRecord(dir, "shop-v1-0").Port
	goOn := workloadtest.Hang(t, recordPath(dir, "shop-v1-0"), recordPath(dir, "shop-v2-0"))
	m = startManager(t, cfg, dir, everything)
	must(t, syscall.Kill(pids["shop-v1-0"], syscall.SIGKILL))
	eventually(t, "stable was restarted", func() (bool, string) {
		text, err := tryGet(fmt.Sprintf("http://127.0.0.1:%d/pid", port))
		pid, _ := strconv.Atoi(text)
		if err != nil || pid == 0 || pid == pids["shop-v1-0"] {
			return false, fmt.Sprint(text, err)
		}
		pids["shop-v1-0"] = pid
		return true, ""
	})
	kill9(m)
	goOn()
	takenOver(t, cfg, dir, pids)
}

// What is remembered was lost, by a disk that took nothing: the process of a
// group that is not known any more does not pass for one of the next run's.
func TestANewRunsGroupIsNotOneThatWasForgotten(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	cfg.Canary = process.Version{}
	w := open(t, cfg, dir)
	before := memoryPath(dir) + ".before"
	copyFile(t, memoryPath(dir), before)
	next := workload.Version{Version: "v3", Command: sample()}
	must(t, w.BeginRun(next))
	apply(t, w, everything)
	st := until(t, w, "both groups are ready", bothReady)
	old := pidOf(t, st.Canary.Instances[0])
	must(t, w.Close())
	copyFile(t, before, memoryPath(dir))

	w = open(t, cfg, dir)
	must(t, w.BeginRun(next))
	apply(t, w, everything)
	st = until(t, w, "both groups are ready", bothReady)
	if got := pidOf(t, st.Canary.Instances[0]); got == old || st.Canary.Version != "v3" {
		t.Errorf("the canary is process %d of before: %+v", got, st.Canary)
	}
	eventually(t, "the forgotten process has ended", func() (bool, string) { return gone(old), processState(old) })
}

package process_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
)

// fullDiskEnv names the folder in which the test runs again, inside of a mount
// namespace of its own, on a disk small enough to be filled.
const fullDiskEnv = "SERIN_TEST_FULL_DISK"

func TestFullDiskStopsNobodyAndForgetsNoPromotion(t *testing.T) {
	if dir := os.Getenv(fullDiskEnv); dir != "" {
		onFullDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), fullDiskEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || strings.Contains(string(out), "mounting: operation not permitted") {
		t.Skipf("this system lets nobody mount a small disk; TestStateThatCannotBeWrittenStopsNobody covers the rest: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func onFullDisk(t *testing.T, dir string) {
	if err := unix.Mount("serin", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatalf("mounting: %v", err)
	}
	cfg := config()
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100})
	until(t, w, "stable is ready", stableReady)
	fill(t, dir)

	// The canary gets no pid file and no log, and runs.
	apply(t, w, everything)
	st := until(t, w, "both groups are ready", bothReady)
	pids := map[string]int{}
	for _, i := range append(st.Stable.Instances, st.Canary.Instances...) {
		pids[i.Name] = pidOf(t, i)
	}
	must(t, syscall.Kill(pids["shop-v1-0"], syscall.SIGKILL))
	st = until(t, w, "stable was restarted", func(st workload.Status) bool { return bothReady(st) && st.Stable.Restarts == 1 })
	pids["shop-v1-0"] = pidOf(t, st.Stable.Instances[0])
	must(t, w.Close())
	w = sameOnFullDisk(t, dir, pids)

	apply(t, w, workload.Want{Canary: 100, Promoted: true})
	eventually(t, "the old version has ended", func() (bool, string) { return gone(pids["shop-v1-0"]), "" })
	must(t, w.EndRun(true))
	must(t, w.Close())
	w = open(t, cfg, dir)
	if got := w.Serving().Version; got != "v2" {
		t.Errorf("%s serves after a restart, want v2", got)
	}
	must(t, w.StopAll(t.Context()))
	if !gone(pids["shop-v2-0"]) {
		t.Error("the last instance was not stopped")
	}
}

// sameOnFullDisk opens dir anew and checks that the very same processes run.
func sameOnFullDisk(t *testing.T, dir string, pids map[string]int) *process.Workload {
	t.Helper()
	w := open(t, config(), dir)
	apply(t, w, everything)
	st := until(t, w, "both groups are ready", bothReady)
	for _, i := range append(st.Stable.Instances, st.Canary.Instances...) {
		if got := pidOf(t, i); got != pids[i.Name] {
			t.Errorf("%s is process %d, want %d as before", i.Name, got, pids[i.Name])
		}
	}
	return w
}

// fill leaves not a single block.
func fill(t *testing.T, dir string) {
	t.Helper()
	for n, size := range []int{64 << 10, 4 << 10, 1} {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("filler-", n)))
		if err != nil {
			if errors.Is(err, unix.ENOSPC) {
				return
			}
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		f.Close()
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("filling the disk: %v", err)
		}
	}
}

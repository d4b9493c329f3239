package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
)

func TestCloseLeavesNoGoroutineAndEveryInstance(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cfg, dir := config(), t.TempDir()
	w, err := process.New(cfg, process.Env{Rollout: "shop", BaseDir: dir, StateDir: filepath.Join(dir, "state")})
	must(t, err)
	t.Cleanup(func() { stopLeftovers(t, cfg, dir) })
	apply(t, w, everything)
	st := until(t, w, "both groups are ready", bothReady)
	must(t, w.Close())
	must(t, w.Close()) // twice is harmless
	eventually(t, "no goroutine is left", func() (bool, string) {
		err := goleak.Find(before)
		return err == nil, fmt.Sprint(err)
	})
	for _, i := range append(st.Stable.Instances, st.Canary.Instances...) {
		if got := get(t, i.URL+"/version"); got != "v1" && got != "v2" {
			t.Errorf("%s answers %q after Close", i.Name, got)
		}
	}
	if err := w.Apply(t.Context(), everything); err == nil {
		t.Error("Apply after Close returned no error")
	}
	if err := w.StopAll(t.Context()); err == nil {
		t.Error("StopAll after Close returned no error")
	}
}

// When what is remembered is lost, a process of a version that nobody knows any
// more must not pass for one that the file names.
func TestAnotherVersionsProcessIsNotAdoptedAsTheFiles(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	m, pids := managed(t, cfg, dir)
	kill9(m)
	must(t, os.Remove(filepath.Join(dir, "state", "workload.json")))
	cfg.Canary.Version = "v9"
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100, Canary: 100})
	st := until(t, w, "both groups are ready", bothReady)
	if got := pidOf(t, st.Stable.Instances[0]); got != pids["shop-v1-0"] {
		t.Errorf("stable is process %d, want %d as before", got, pids["shop-v1-0"])
	}
	if got := get(t, st.Canary.Instances[0].URL+"/version"); got != "v9" {
		t.Errorf("the canary answers as %q, want v9", got)
	}
	eventually(t, "the unknown version has ended", func() (bool, string) { return gone(pids["shop-v2-0"]), "" })
}

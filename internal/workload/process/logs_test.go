package process_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
)

// logs reads all logs of an arm, by name and in the order they come.
func logs(t *testing.T, w *process.Workload, arm rollout.Arm) (names []string, texts map[string]string) {
	t.Helper()
	texts = map[string]string{}
	err := w.Logs(t.Context(), arm, func(name string, open func() (io.ReadCloser, error)) error {
		r, err := open()
		if err != nil {
			return err
		}
		defer r.Close()
		text, err := io.ReadAll(r)
		names = append(names, name)
		texts[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatalf("Logs(%s): %v", arm, err)
	}
	return names, texts
}

func TestLogsAreRotatedWhileTheyAreWrittenAndStayBounded(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	cfg.Stable.Command = sample("-chatter", "100us")
	cfg.Logs = process.Logs{MaxSize: "64KiB", Keep: 2}
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100})
	folder := filepath.Join(dir, "state", "logs")
	eventually(t, "the log was rotated three times", func() (bool, string) {
		oldest, err := os.ReadFile(filepath.Join(folder, "shop-v1-0.log.2"))
		return err == nil && len(oldest) > 0 && !strings.Contains(string(oldest), "line 00000000 "), fmt.Sprint(err)
	})
	must(t, w.StopAll(t.Context()))
	must(t, w.Close()) // a rotation that had begun is over
	names, texts := logs(t, w, rollout.Stable)
	if want := []string{"shop-v1-0.log.2", "shop-v1-0.log.1", "shop-v1-0.log"}; !slices.Equal(names, want) {
		t.Errorf("logs are %v, want %v", names, want)
	}
	last := -1
	for _, name := range names {
		if strings.ContainsRune(texts[name], 0) {
			t.Errorf("%s has a hole of zero bytes", name)
		}
		for line := range strings.Lines(texts[name]) {
			var n int
			if _, err := fmt.Sscanf(line, "line %d ", &n); err != nil {
				continue // cut at the ends of a file, or the words at the end
			}
			if n <= last {
				t.Fatalf("%s: line %d comes after %d", name, n, last)
			}
			last = n
		}
	}
	if last < 1000 {
		t.Errorf("the last line is %d; the test saw too little", last)
	}
}

func TestLogsOfACanaryStayUntilTheNextRun(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	w := open(t, cfg, dir)
	apply(t, w, everything)
	until(t, w, "both are ready", bothReady)
	apply(t, w, workload.Want{Stable: 100})
	eventually(t, "the canary has written its last words", func() (bool, string) {
		_, texts := logs(t, w, rollout.Canary)
		return strings.Contains(texts["shop-v2-0.log"], "sample: ended"), fmt.Sprint(texts)
	})
	if names, _ := logs(t, w, rollout.Stable); !slices.Equal(names, []string{"shop-v1-0.log"}) {
		t.Errorf("stable's logs are %v, want only its own", names)
	}
	eventually(t, "the canary has left", func() (bool, string) { return readRecord(dir, "shop-v2-0").Port == 0, "" })
	must(t, w.Close())
	w = open(t, cfg, dir)
	must(t, w.EndRun(false))
	must(t, w.BeginRun(workload.Version{Version: "v2", Command: sample()}))
	if names, _ := logs(t, w, rollout.Canary); len(names) != 0 {
		t.Errorf("the new attempt begins with the logs %v of the earlier one", names)
	}
	if names, _ := logs(t, w, rollout.Stable); !slices.Equal(names, []string{"shop-v1-0.log"}) {
		t.Errorf("stable's logs are %v after the next run began, want them kept", names)
	}
}

func TestABaselinesLogsAreNotStables(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100, Canary: 100, Baseline: 100})
	until(t, w, "all are ready", func(st workload.Status) bool {
		return bothReady(st) && st.Baseline != nil && st.Baseline.Capacity == 100
	})
	apply(t, w, workload.Want{Stable: 100})
	eventually(t, "the baseline has written its last words", func() (bool, string) {
		_, texts := logs(t, w, rollout.Baseline)
		return strings.Contains(texts["shop-v1-1.log"], "sample: ended"), fmt.Sprint(texts)
	})
	check := func(when string, arm rollout.Arm, want ...string) {
		t.Helper()
		if names, _ := logs(t, w, arm); !slices.Equal(names, want) {
			t.Errorf("%s the logs of %s are %v, want %v", when, arm, names, want)
		}
	}
	check("in the run", rollout.Stable, "shop-v1-0.log")
	check("in the run", rollout.Baseline, "shop-v1-1.log")
	eventually(t, "the baseline has left", func() (bool, string) { return readRecord(dir, "shop-v1-1").Port == 0, "" })
	must(t, w.Close())
	w = open(t, cfg, dir)
	check("after a restart", rollout.Baseline, "shop-v1-1.log")
	must(t, w.EndRun(false))
	must(t, w.BeginRun(workload.Version{Version: "v3", Command: sample()}))
	check("in the next run", rollout.Baseline)
	check("in the next run", rollout.Stable, "shop-v1-0.log")
}

func TestUsageTellsWhoIsBusy(t *testing.T) {
	cfg := config()
	cfg.Canary.Command = sample("-burn", "-child")
	w := open(t, cfg, t.TempDir())
	apply(t, w, everything)
	until(t, w, "both are ready", bothReady)
	if _, err := w.Usage(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the busy canary is told from the idle stable", func() (bool, string) {
		usage, err := w.Usage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stable, canary := usage[rollout.Stable], usage[rollout.Canary]
		for arm, memory := range map[string]float64{"stable": stable.Memory["shop-v1-0"], "canary": canary.Memory["shop-v2-0"]} {
			if memory < 1<<20 || memory > 1<<30 {
				t.Fatalf("%s uses %.0f bytes of memory, which no such server does", arm, memory)
			}
		}
		busy, idle := canary.CPU["shop-v2-0"], stable.CPU["shop-v1-0"]
		return busy > 0.2 && busy < 3 && idle < busy/4, fmt.Sprintf("canary %v, stable %v", canary, stable)
	})
}

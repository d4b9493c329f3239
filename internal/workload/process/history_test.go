package process_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
)

// What stable's processes used is remembered as often as it was asked for, and
// only of the version that serves.
func TestStablesUseIsRemembered(t *testing.T) {
	cfg := config()
	cfg.Stable.Command = sample("-burn")
	w := open(t, cfg, t.TempDir())
	const tick = 200 * time.Millisecond
	if h, err := w.History(t.Context(), time.Now(), tick); h != nil || err != nil {
		t.Errorf("before anything was asked: %v, %v", h, err)
	}
	apply(t, w, everything)
	until(t, w, "both are ready", bothReady)
	for range 12 {
		if _, err := w.Usage(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tick)
	}
	h, err := w.History(t.Context(), time.Now(), tick)
	if err != nil || h == nil {
		t.Fatalf("%v, %v", h, err)
	}
	cpu, memory := h.CPU["shop-v1-0"], h.Memory["shop-v1-0"]
	if h.Interval != rollout.Duration(tick) || len(h.CPU) != 1 || len(h.Memory) != 1 || len(cpu) < 10 || len(memory) < 10 {
		t.Fatalf("the history is %+v", h)
	}
	var busy float64
	for i := range cpu {
		busy += cpu[i] / float64(len(cpu))
		if memory[i] < 1<<20 || memory[i] > 1<<30 {
			t.Errorf("stable used %.0f bytes", memory[i])
		}
	}
	if busy < 0.1 || busy > 4 {
		t.Errorf("a process that works all the time used %v cores", cpu)
	}
	// The canary serves now, and nothing is known of it as stable.
	apply(t, w, workload.Want{Stable: 100, Canary: 100, Promoted: true})
	must(t, w.EndRun(true))
	eventually(t, "the new version's use is what is remembered", func() (bool, string) {
		_, err := w.Usage(t.Context())
		must(t, err)
		h, err := w.History(t.Context(), time.Now(), tick)
		must(t, err)
		return h != nil && len(h.Memory) == 1 && h.Memory["shop-v2-0"] != nil && len(h.Memory["shop-v2-0"]) < 10, fmt.Sprintf("%+v", h)
	})
}

// used asks n times what is used, and returns the history of then.
func used(t *testing.T, w *process.Workload, n int) (h *rollout.History, now time.Time) {
	t.Helper()
	for range n {
		_, err := w.Usage(t.Context())
		must(t, err)
	}
	now = time.Now()
	return history(t, w, now), now
}

func history(t *testing.T, w *process.Workload, now time.Time) *rollout.History {
	t.Helper()
	h, err := w.History(t.Context(), now, time.Millisecond)
	must(t, err)
	return h
}

func TestARestartForgetsNothingOfTheHour(t *testing.T) {
	cfg, dir := config(), t.TempDir()
	w := open(t, cfg, dir)
	apply(t, w, workload.Want{Stable: 100})
	until(t, w, "stable is ready", stableReady)
	want, now := used(t, w, 6)
	if want == nil || len(want.Memory["shop-v1-0"]) == 0 || len(want.CPU["shop-v1-0"]) == 0 {
		t.Fatalf("the history is %+v", want)
	}
	must(t, w.Close())

	// A crash may cut the last line, and what is no figure must not reach a run.
	file := filepath.Join(dir, "state", "hour.jsonl")
	kept, err := os.ReadFile(file)
	must(t, err)
	last := bytes.TrimSpace(kept[bytes.LastIndexByte(kept[:len(kept)-1], '\n')+1:])
	absurd := strings.Replace(string(last), `"shop-v1-0":`, `"shop-v1-0":-1e300,"shop-v1-9":`, 1)
	must(t, os.WriteFile(file, []byte(string(kept)+absurd+"\n\x00\xff\n"+string(last[:len(last)/2])), 0o600))
	w = open(t, cfg, dir)
	if got := history(t, w, now); !reflect.DeepEqual(got, want) {
		t.Errorf("after a restart the history is\n%+v\nwant\n%+v", got, want)
	}

	// What comes after the cut line is kept too.
	want, now = used(t, w, 3)
	must(t, w.Close())
	w = open(t, cfg, dir)
	if got := history(t, w, now); !reflect.DeepEqual(got, want) {
		t.Errorf("after another restart the history is\n%+v\nwant\n%+v", got, want)
	}

	// The hour of a version that serves no more is none.
	must(t, w.BeginRun(workload.Version{Version: "v3", Command: sample()}))
	apply(t, w, workload.Want{Stable: 100, Canary: 100, Promoted: true})
	must(t, w.EndRun(true))
	must(t, w.Close())
	w = open(t, cfg, dir)
	if got := history(t, w, now); got != nil {
		t.Errorf("of v1 is remembered for v3: %+v", got)
	}

	// Nor is that of a group whose number another one has by now.
	apply(t, w, workload.Want{Stable: 100})
	until(t, w, "v3 is ready", stableReady)
	if want, now = used(t, w, 6); want == nil {
		t.Fatal("nothing is kept of v3")
	}
	must(t, w.StopAll(t.Context()))
	must(t, w.Close())
	must(t, os.Remove(memoryPath(dir)))
	for range 2 {
		w = open(t, cfg, dir)
		if got := history(t, w, now); got != nil {
			t.Errorf("without a memory something is remembered for v1: %+v", got)
		}
		must(t, w.Close())
	}
}

// A disk that hangs while what stable uses is kept holds up no end of Serin.
func TestTheHourHoldsUpNoEnd(t *testing.T) {
	dir := t.TempDir()
	w := open(t, config(), dir)
	apply(t, w, workload.Want{Stable: 100})
	until(t, w, "stable is ready", stableReady)
	file := filepath.Join(dir, "state", "hour.jsonl")
	must(t, unix.Mkfifo(file, 0o600)) // nobody reads it, so that it is never opened
	defer func() {
		reader, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
		must(t, err)
		must(t, reader.Close())
		must(t, os.Remove(file))
	}()
	used(t, w, 2)
	closed := make(chan error)
	go func() { closed <- w.Close() }()
	select {
	case err := <-closed:
		must(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the workload is not closed")
	}
}

package process_test

import (
	"fmt"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
	"serin.dev/serin/internal/workload"
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

package process

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"serin.dev/serin/internal/rollout"
)

// However long Serin runs, and whatever it finds, the file of the hour stays small
// and holds the whole hour.
func TestTheFileOfTheHourIsBounded(t *testing.T) {
	w := &Workload{env: Env{StateDir: t.TempDir()}, log: slog.New(slog.DiscardHandler)}
	file := filepath.Join(w.env.StateDir, "hour.jsonl")
	if err := os.WriteFile(file, bytes.Repeat([]byte("{}\n"), 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	crowd := map[string]float64{}
	for i := range 40 {
		crowd[fmt.Sprintf("shop-v1-%d", i)] = 1.0 / 3
	}
	w.hour = newHour(w)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w.usage.log = w.hour.load(at, 1)
	for range 5000 {
		at = at.Add(10 * time.Second)
		e := newEntry(at, 1, crowd, crowd)
		w.usage.log.add(e)
		w.hour.write(e)
		if info, err := os.Stat(file); err != nil || info.Size() > 1<<20 {
			t.Fatalf("the file has %d bytes, %v", info.Size(), err)
		}
	}
	again := newHour(w)
	log := again.load(at, 1)
	if len(log) != rollout.HistoryTicks || !log[len(log)-1].at.Equal(at) || len(log[0].Memory) != rollout.HistoryInstances || again.lines != w.hour.lines {
		t.Errorf("read are %d entries of %d lines, want the latest %d", len(log), again.lines, rollout.HistoryTicks)
	}
}

// A disk that cannot be written to keeps nobody from being measured.
func TestAnHourThatCannotBeKeptIsNoTrouble(t *testing.T) {
	var told bytes.Buffer
	w := &Workload{env: Env{StateDir: filepath.Join(t.TempDir(), "gone")}, log: slog.New(slog.NewTextHandler(&told, nil))}
	w.hour = newHour(w)
	for range 3 {
		w.hour.write(newEntry(time.Now(), 1, nil, map[string]float64{"shop-v1-0": 1}))
	}
	if n := bytes.Count(told.Bytes(), []byte("could not be kept")); n != 1 {
		t.Errorf("it is told %d times, want once:\n%s", n, &told)
	}
}

package process_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"serin.dev/serin/internal/workload"
	"serin.dev/serin/internal/workload/process"
)

// BenchmarkStart is the time from opening an empty state folder until the first
// instance is ready, of which the sample server itself takes a part.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		w, err := process.New(config(), process.Env{Rollout: "shop", BaseDir: dir, StateDir: filepath.Join(dir, "state")})
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Apply(b.Context(), workload.Want{Stable: 100}); err != nil {
			b.Fatal(err)
		}
		for {
			st, err := w.Observe(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if stableReady(st) {
				break
			}
			select {
			case <-w.Changed():
			case <-time.After(patience):
				b.Fatalf("not ready: %+v", st)
			}
		}
		b.StopTimer()
		ctx, cancel := context.WithTimeout(b.Context(), patience)
		if err := w.StopAll(ctx); err != nil {
			b.Fatal(err)
		}
		cancel()
		w.Close()
		b.StartTimer()
	}
}

// BenchmarkUsage is what one look at the use of two instances costs.
func BenchmarkUsage(b *testing.B) {
	dir := b.TempDir()
	w, err := process.New(config(), process.Env{Rollout: "shop", BaseDir: dir, StateDir: filepath.Join(dir, "state")})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	if err := w.Apply(b.Context(), everything); err != nil {
		b.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if st, err := w.Observe(b.Context()); err != nil || time.Now().After(deadline) {
			b.Fatalf("not ready: %+v, %v", st, err)
		} else if bothReady(st) {
			break
		}
	}
	for b.Loop() {
		if _, err := w.Usage(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.StopAll(context.Background()); err != nil {
		b.Fatal(err)
	}
}

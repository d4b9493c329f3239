//go:build unix

package simulate

import (
	"context"
	"syscall"
	"testing"
	"time"
)

// BenchmarkTwoHours is a simulated run of a healthy version over two hours,
// errors and response times judged every ten seconds, on every core. The runs in
// a second of processor time tell of a busy machine's speed too.
func BenchmarkTwoHours(b *testing.B) {
	plan := plan()
	plan.Phases = plan.Phases[:4]
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b.ReportAllocs()
	before := used()
	b.ResetTimer()
	out, err := Measure(context.Background(), Options{
		Plan: plan, Traffic: DefaultTraffic(), Scenarios: Library()[:1], Runs: b.N, Seed: 1,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(out[0].ticks)/720/b.Elapsed().Seconds(), "runs/s")
	b.ReportMetric(float64(out[0].ticks)/720/(used()-before).Seconds(), "runs/cpu-s")
}

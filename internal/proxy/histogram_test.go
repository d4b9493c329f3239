package proxy

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBucketsGrowByAtMostTwoPercent(t *testing.T) {
	if bounds[0] != 1e-5 || math.Abs(bounds[len(bounds)-1]-100) > 1e-9 {
		t.Fatalf("grid is %v to %v, want 10 µs to 100 s", bounds[0], bounds[len(bounds)-1])
	}
	for i := 1; i < len(bounds); i++ {
		if g := bounds[i] / bounds[i-1]; g <= 1 || g > 1.02 {
			t.Fatalf("bucket %d grows by %v", i, g)
		}
	}
}

func TestADurationLandsInItsBucket(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, v float64) {
		i := bucketOf(v)
		if i < boundCount && v > bounds[i] {
			t.Fatalf("%v landed in the bucket up to %v", v, bounds[i])
		}
		if i > 0 && v <= bounds[i-1] {
			t.Fatalf("%v landed above %v", v, bounds[i-1])
		}
	}
	for i, b := range bounds {
		if got := bucketOf(b); got != i {
			t.Fatalf("bound %d (%v) landed in bucket %d", i, b, got)
		}
		check(t, math.Nextafter(b, 0))
		check(t, math.Nextafter(b, 1000))
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.Float64Range(0, 1000).Draw(t, "seconds"))
		check(t, rapid.Float64Range(0, 0.01).Draw(t, "small"))
	})
}

func TestSnapshotsCanBeSubtracted(t *testing.T) {
	var l latencies
	l.record(time.Millisecond)
	before := l.snapshot()
	l.record(20 * time.Millisecond)
	l.record(time.Hour)
	after := l.snapshot()
	if got := after.Count() - before.Count(); got != 2 {
		t.Fatalf("%d recorded in between, want 2", got)
	}
	if got := after.Counts[boundCount] - before.Counts[boundCount]; got != 1 {
		t.Fatalf("an hour is not above all bounds: %d", got)
	}
	if got := after.Sum - before.Sum; math.Abs(got-3600.02) > 1e-6 {
		t.Fatalf("sum grew by %v s, want 3600.02", got)
	}
}

func BenchmarkRecord(b *testing.B) {
	var m meter
	for i := range b.N {
		m.finish(outcome{class: noError, timed: true, latency: time.Duration(i%1000) * time.Microsecond, bytesOut: 100})
	}
}

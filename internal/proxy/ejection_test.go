package proxy

import (
	"testing"
	"time"
)

func TestEjectionGrowsByRoundsNotByBursts(t *testing.T) {
	now := time.Unix(1000, 0)
	e := &ejection{after: 3, base: 100 * time.Millisecond, longest: 400 * time.Millisecond}
	for i := range 2 {
		if e.refused(now, now) || !e.admit(now) {
			t.Fatalf("ejected after %d failures", i+1)
		}
	}
	if !e.refused(now, now) || e.admit(now) {
		t.Fatal("not ejected after 3 failures in a row")
	}
	for range 50 { // they were connecting meanwhile
		e.refused(now.Add(-time.Second), now.Add(time.Millisecond))
	}
	for round, out := range []time.Duration{100, 200, 400, 400} {
		out *= time.Millisecond
		if e.admit(now.Add(out - time.Millisecond)) {
			t.Fatalf("round %d: admitted before %v were over", round, out)
		}
		now = now.Add(out)
		if !e.admit(now) {
			t.Fatalf("round %d: still out after %v", round, out)
		}
		if e.admit(now) {
			t.Fatalf("round %d: a second request is let through before the first has succeeded", round)
		}
		e.refused(now, now)
	}
	e.connected()
	if !e.admit(now) || e.refused(now, now) || !e.admit(now) {
		t.Fatal("a success does not wipe the failures out")
	}
}
